/**
 * Rests after harm outlive a restart and a change of owner: of each VM that has any, one small blob, which all aggregators share; it goes
 * with the last rest. Input: live state, the ledger, the time; output: blobs, and what an earlier run wrote brought into live state. What
 * could not be read is read again at the next turn, and nothing is written in its place before.
 */
import { errorText } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import type { FleetState } from '../core/state/fleet-state.ts';
import { isEmpty } from '../core/state/kept-rests.ts';
import { areRestsOver, bringVmRests, type KeptVmRests, keptVmRests } from '../core/state/vm-rests.ts';
import type { LedgerStore } from '../store/ledger-store.ts';

export interface RestKeeperOptions {
  ledger: Pick<LedgerStore, 'getBlob' | 'putBlob' | 'removeBlob' | 'blobNames'>;
  state: Pick<FleetState, 'vm' | 'vmIds'>;
  log: Pick<Logger, 'warn'>;
  nowMs: () => number;
  /** The longest there is. */
  restMsMax: number;
}

export const RESTS_PREFIX = 'rests/';
/** Reads at once: a host that connects may bring hundreds of VMs. */
const READS_AT_ONCE = 16;

export class RestKeeper {
  readonly #options: RestKeeperOptions;
  /** Not read yet. */
  readonly #unread = new Set<VmId>();
  /** As last written or read, without times of writing. */
  readonly #written = new Map<VmId, string>();
  #turning: Promise<void> = Promise.resolve();
  /** Comes after it, and has not begun. */
  #next: Promise<void> | null = null;

  constructor(options: RestKeeperOptions) {
    this.#options = options;
  }

  /** A VM seen for the first time here: what it rests from comes at the next turn, which begins at once. */
  seen(vm: VmId): void {
    this.#unread.add(vm);
    this.#written.delete(vm);
    // The rest of the same inventory is about to be seen.
    void Promise.resolve().then(() => this.turn());
  }

  /** Rests of VMs that never came back go. Rejects when the ledger fails. */
  async tidy(): Promise<void> {
    const { ledger, nowMs, restMsMax } = this.#options;
    for (const name of await ledger.blobNames(RESTS_PREFIX)) {
      const bytes = await ledger.getBlob(name);
      if (bytes !== null && areRestsOver(textOf(bytes), nowMs(), restMsMax)) await ledger.removeBlob(name);
    }
  }

  /** Reads what is to be read, writes what has changed. Never rejects. */
  turn(): Promise<void> {
    this.#next ??= this.#turning.then(() => {
      this.#next = null;
      return this.#turn();
    });
    this.#turning = this.#next;
    return this.#turning;
  }

  async #turn(): Promise<void> {
    const { state } = this.#options;
    const unread = [...this.#unread];
    for (let i = 0; i < unread.length; i += READS_AT_ONCE) {
      const read = await Promise.all(unread.slice(i, i + READS_AT_ONCE).map((vm) => this.#tried(vm, this.#read(vm))));
      // A ledger that is away answers none of them, each after a while.
      if (read.includes(false)) break;
    }
    for (const vm of state.vmIds()) if (this.#isToWrite(vm) && !(await this.#tried(vm, this.#write(vm)))) break;
    for (const vm of this.#written.keys()) if (state.vm(vm) === undefined) this.#written.delete(vm);
  }

  /** Another may have written meanwhile, or the ledger failed: what is there is looked at again first. */
  async #tried(vm: VmId, work: Promise<void>): Promise<boolean> {
    try {
      await work;
      return true;
    } catch (error) {
      // Behind all others.
      this.#unread.delete(vm);
      this.#unread.add(vm);
      this.#options.log.warn('what a VM rests from could not be read or kept; it is tried again', { vm, problem: errorText(error) });
      return false;
    }
  }

  async #read(vm: VmId): Promise<void> {
    const { ledger, state, nowMs } = this.#options;
    const bytes = state.vm(vm) === undefined ? null : await ledger.getBlob(RESTS_PREFIX + vm);
    const record = state.vm(vm);
    this.#unread.delete(vm);
    if (bytes === null || record === undefined) return;
    // What is there is written anew, or goes, by what was understood of it.
    this.#written.set(vm, 'read');
    bringVmRests(record, textOf(bytes), nowMs());
  }

  #isToWrite(vm: VmId): boolean {
    if (this.#unread.has(vm)) return false;
    const kept = this.#restsNow(vm);
    return (kept === null ? undefined : JSON.stringify(kept)) !== this.#written.get(vm);
  }

  /** Null: nothing, as of nearly every VM. */
  #restsNow(vm: VmId): KeptVmRests | null {
    const record = this.#options.state.vm(vm);
    const kept = record === undefined ? null : keptVmRests(record);
    return kept === null || (isEmpty(kept.settings) && isEmpty(kept.vcpus)) ? null : kept;
  }

  async #write(vm: VmId): Promise<void> {
    const { ledger, nowMs } = this.#options;
    const kept = this.#restsNow(vm);
    if (kept === null) {
      await ledger.removeBlob(RESTS_PREFIX + vm);
      this.#written.delete(vm);
    } else {
      const text = JSON.stringify(kept);
      await ledger.putBlob(RESTS_PREFIX + vm, Buffer.from(JSON.stringify({ writtenMs: nowMs(), ...kept })));
      this.#written.set(vm, text);
    }
  }
}

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');
