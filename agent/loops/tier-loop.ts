/**
 * Has snapshots' chunks moved between the places they may lie in, from time to time. Input: the places, the clock; output: none, and words
 * in the log when something was moved or is not there.
 */
import type { Clock } from '../../shared/clock.ts';
import { errorText } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';

export type TierUse = NonNullable<FrameOf<'suspended'>['tiers']>[number];

export interface SnapshotTiers {
  /** Places that should be there and are not, in words. */
  problems: readonly string[];
  /** Quickest first. */
  use(): TierUse[];
  /** Moves what lies in the wrong place; answers how many packs were moved. */
  balance(): Promise<number>;
}

/** What was written spreads slowly: nobody waits for it to be moved. */
const BALANCE_MS = 30_000;

/** From time to time, one after another. */
export function balanceOf(
  tiers: SnapshotTiers | undefined,
  { clock, log }: { clock: Clock; log: Logger },
  moved: () => void,
): { close(): Promise<void> } {
  if (tiers === undefined) return { close: async () => undefined };
  for (const problem of tiers.problems) log.error('a place for snapshots is not there', { problem });
  let under: Promise<void> | null = null;
  const balance = async (): Promise<void> => {
    try {
      const packs = await tiers.balance();
      if (packs === 0) return;
      log.info('packs of snapshots were moved between tiers', { packs });
      moved();
    } catch (error) {
      log.warn('packs of snapshots stay where they are', { problem: errorText(error) });
    }
  };
  const timer = clock.setInterval(() => {
    under ??= balance().finally(() => {
      under = null;
    });
  }, BALANCE_MS);
  return {
    async close() {
      timer.cancel();
      await under;
    },
  };
}
