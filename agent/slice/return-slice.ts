/**
 * Takes a borrowed slice back from its VM, whether or not the program that serves it still runs. Input: the VM, what its state file
 * says, whether somebody knows that the guest does not use it; output: nothing of it is left. The host cannot see a swapoff: what the guest ever
 * wrote there it may still want, so more than the swap area's head needs that word.
 */
import { type Clock, sleep } from '../../shared/clock.ts';
import { HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { SliceDisks } from '../hypervisor/slice-disks.ts';
import { clearAway } from './borrower.ts';
import { borrowedName, findSlices, readState } from './state-files.ts';

/** mkswap writes a page or two, and the kernel reads. */
const HEAD_MIB = 1 / 64;
/** A guest takes up to some seconds to let go of a device. */
const GONE_MS_MAX = 30_000;
const POLL_MS = 200;
/** The serving program tells every two seconds; one that has not by then hangs. */
const TELLS_MS_MAX = 10_000;

export interface ReturnOptions {
  vm: VmId;
  stateFolder: string;
  disks: SliceDisks;
  clock: Clock;
  unused: boolean;
}

/** Rejects with CONFLICT when the guest may still need it, NOT_FOUND when there is none, TIMEOUT when the guest does not let go. */
export async function returnSlice({ vm, stateFolder, disks, clock, unused }: ReturnOptions): Promise<string> {
  const state = readState(stateFolder, borrowedName(vm));
  const disk = await disks.look(vm);
  if (disk.target === null && state === null) throw new HeadroomError('NOT_FOUND', `VM ${vm} has no borrowed slice`);
  if (disk.running && disk.target !== null) {
    if (!unused && (await writtenMiB({ vm, stateFolder, clock })) > HEAD_MIB) {
      throw new HeadroomError(
        'CONFLICT',
        `the guest has written to ${disk.target} and may have pages there still; \`swapoff\` it in the guest, then return it with --unused`,
      );
    }
    await disks.detach(vm, disk.target);
    for (let waitedMs = 0; (await disks.look(vm)).target !== null; waitedMs += POLL_MS) {
      if (waitedMs > GONE_MS_MAX)
        throw new HeadroomError('TIMEOUT', `the guest has not let go of ${disk.target} within ${GONE_MS_MAX / 1000} s`);
      await sleep(clock, POLL_MS);
    }
  }
  if (state?.kind !== 'borrowed') return `${disk.target ?? 'the slice'} is detached`;
  await leftTo(state.pid, { vm, stateFolder, clock });
  await clearAway({ vm, stateFolder, store: state.store, socket: state.socket });
  return `${state.target} is detached, ${state.sizeMiB} MiB are returned`;
}

/** What the guest has written there until now; infinite = nobody can tell. */
async function writtenMiB({ vm, stateFolder, clock }: Pick<ReturnOptions, 'vm' | 'stateFolder' | 'clock'>): Promise<number> {
  const askedBootMs = clock.bootMs();
  for (let waitedMs = 0; waitedMs <= TELLS_MS_MAX; waitedMs += POLL_MS) {
    const found = findSlices(stateFolder).find(({ state }) => state.kind === 'borrowed' && state.vm === vm);
    if (found?.state.kind !== 'borrowed') break;
    // What a living program told before we asked may be outdated; without one nothing is written any more.
    if (!found.alive || found.state.bootMs >= askedBootMs) return found.state.writtenMiB;
    await sleep(clock, POLL_MS);
  }
  return Number.POSITIVE_INFINITY;
}

/** The serving program clears away itself when it sees that the disk is gone. */
async function leftTo(pid: number, { vm, stateFolder, clock }: { vm: VmId; stateFolder: string; clock: Clock }): Promise<void> {
  const serves = (): boolean =>
    findSlices(stateFolder).some(({ state, alive }) => alive && state.kind === 'borrowed' && state.vm === vm && state.pid === pid);
  for (let waitedMs = 0; serves() && waitedMs < GONE_MS_MAX; waitedMs += POLL_MS) await sleep(clock, POLL_MS);
}
