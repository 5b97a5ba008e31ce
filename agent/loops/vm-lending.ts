/**
 * VMs suspended on this host that another may bring back. Input: what this host has of them; output: records that say where each may run:
 * here, or there, never on both.
 */
import { HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import { NOBODYS } from '../core/suspend-record.ts';
import type { Done, SuspendState } from './suspend-state.ts';

export class VmLending {
  readonly #state: SuspendState;

  constructor(state: SuspendState) {
    this.#state = state;
  }

  /** Another host may bring it back; it must not be ready here. Throws CONFLICT when it is not suspended into this host's store. */
  async lend(vm: VmId, host: string, key: string): Promise<Done> {
    const record = this.#state.suspended(vm);
    if (await this.#state.startedElsewhere(vm)) throw new HeadroomError('CONFLICT', `${record.name}: ${NOBODYS}`);
    if (record.recipe === 'managed-save' || record.snapshot === null)
      throw new HeadroomError('CONFLICT', `${record.name}: the hypervisor's own saving holds it, and stays on this host`);
    if (record.from !== null) throw new HeadroomError('CONFLICT', `${record.name}: its memory is not all here yet`);
    await this.#state.disks.whole(vm);
    this.#state.note(vm, { lentTo: { host, key } });
    return { reason: '', measured: { bytesFilled: record.filledBytes } };
  }

  /** The host it is lent to sets it going: from here on it is never brought back from this snapshot. */
  async goesElsewhere(vm: VmId): Promise<void> {
    // Once it has gone there nothing here keeps it from it.
    if (this.#state.book.phase(vm) === 'suspended') await this.#state.disks.asTaken(vm);
    const record = this.#state.book.find(vm);
    if (record?.lentTo == null || (record.phase !== 'suspended' && record.phase !== 'away'))
      throw new HeadroomError('CONFLICT', `VM ${vm} is not lent any more`);
    this.#state.note(vm, { phase: 'away' });
    this.#state.options.changed();
  }

  /** The host it is lent to has all of it: it is no VM of this host any more. */
  async isElsewhere(vm: VmId): Promise<void> {
    const { snapshotter, tell, changed } = this.#state.options;
    const record = this.#state.book.find(vm);
    if (record?.lentTo == null) return;
    if ((await snapshotter.definition(vm)) !== null && (await snapshotter.power(vm)) === 'off') await snapshotter.undefine(vm);
    await this.#state.disks.retire(record, record.lentTo);
    tell(vm, `host ${record.lentTo.host} has all of it now: it is not defined here any more`);
    this.#state.book.erase(vm);
    changed();
  }
}
