/**
 * Takes a borrowed slice back from its VM, whether or not the program that serves it still runs. Input: the VM, what its state file
 * says, whether somebody knows that the guest does not use it; output: nothing of it is left. The host cannot see a swapoff: what the guest ever
 * wrote there it may still want, so more than the swap area's head needs that word.
 */
import { type Clock, sleep } from '../../shared/clock.ts';
import { HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { BorrowedState, SliceKind, SliceState } from '../core/slice-state.ts';
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
  /** Which of the VM's slices; `disks` knows those of this kind. */
  kind: SliceKind;
  unused: boolean;
}

/** Rejects with CONFLICT when the guest may still need it, NOT_FOUND when there is none, TIMEOUT when the guest does not let go. */
export async function returnSlice({ vm, stateFolder, disks, clock, kind, unused }: ReturnOptions): Promise<string> {
  const state = readState(stateFolder, borrowedName(vm, kind));
  const disk = await disks.look(vm);
  if (disk.target === null && state === null) throw new HeadroomError('NOT_FOUND', `VM ${vm} has no borrowed ${kind}`);
  if (disk.running && disk.target !== null) {
    if (!unused && (await writtenMiB({ vm, stateFolder, clock, kind })) > HEAD_MIB) {
      const [what, how] = kind === 'memory' ? ['pages there still', 'swapoff'] : ['it mounted', 'umount'];
      throw new HeadroomError(
        'CONFLICT',
        `the guest may have written to ${disk.target}, and have ${what}; \`${how}\` it in the guest, then return it with --unused`,
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
  await leftTo(state.pid, { vm, stateFolder, clock, kind });
  await clearAway({ vm, stateFolder, kind, store: state.store, socket: state.socket });
  const kept = kind === 'storage' ? '; what it holds stays with the lender, until its file is removed there' : '';
  return `${state.target} is detached, ${state.sizeMiB} MiB are returned${kept}`;
}

type Which = Pick<ReturnOptions, 'vm' | 'stateFolder' | 'clock' | 'kind'>;

const isOf = (state: SliceState, vm: VmId, kind: SliceKind): state is BorrowedState =>
  state.kind === 'borrowed' && state.vm === vm && (state.of ?? 'memory') === kind;

/** What the guest has written there until now; infinite = nobody can tell. */
async function writtenMiB({ vm, stateFolder, clock, kind }: Which): Promise<number> {
  const askedBootMs = clock.bootMs();
  for (let waitedMs = 0; waitedMs <= TELLS_MS_MAX; waitedMs += POLL_MS) {
    const found = findSlices(stateFolder).find(({ state }) => isOf(state, vm, kind));
    if (found?.state.kind !== 'borrowed') break;
    // What a living program told before we asked may be outdated; without one nothing is written any more.
    if (!found.alive || found.state.bootMs >= askedBootMs) return found.state.writtenMiB;
    await sleep(clock, POLL_MS);
  }
  return Number.POSITIVE_INFINITY;
}

/** The serving program clears away itself when it sees that the disk is gone. */
async function leftTo(pid: number, { vm, stateFolder, clock, kind }: Which): Promise<void> {
  const serves = (): boolean => findSlices(stateFolder).some(({ state, alive }) => alive && isOf(state, vm, kind) && state.pid === pid);
  for (let waitedMs = 0; serves() && waitedMs < GONE_MS_MAX; waitedMs += POLL_MS) await sleep(clock, POLL_MS);
}
