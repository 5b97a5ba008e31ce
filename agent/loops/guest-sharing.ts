/**
 * Between the wire and the guest's own programs: pools are written where they can be read, hints are passed on. Input: frames
 * and the guest's files; output: files and frames. What fails here costs nothing else.
 */
import { errorText } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import { type FrameOf, HINT_CAPABILITY } from '../../shared/protocol/frames.ts';
import type { GuestFiles } from '../guest-files.ts';
import type { Uplink } from './uplink.ts';

export interface GuestSharing {
  onPool(pool: FrameOf<'pool'>): void;
  /** Hints are left to lie until there is somebody to tell. */
  passHints(link: Uplink): void;
}

export function createGuestSharing(files: GuestFiles | undefined, vm: VmId, bootId: string, log: Logger): GuestSharing {
  let hints = 0;
  return {
    onPool({ atMs, entries }) {
      try {
        files?.writePool({ atMs, resources: entries });
      } catch (error) {
        log.warn('the pool could not be written', { error: errorText(error) });
      }
    },
    passHints(link) {
      if (files === undefined || !link.understands(HINT_CAPABILITY)) return;
      for (const hint of files.takeHints()) {
        link.send({ type: 'hint', hintId: `${bootId.slice(0, 40)}/${++hints}`, vm, ...hint }, HINT_CAPABILITY);
        log.info('hint', { ...hint });
      }
    },
  };
}
