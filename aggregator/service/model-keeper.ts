/**
 * Models outlive a restart: checkpoints of VMs to the ledger's blobs, a few at a time, and back when a VM is first seen.
 * Input: live state, the ledger; output: blobs, restored models. A checkpoint that cannot be read costs that VM its models
 * and nothing else.
 */
import { errorText } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import type { FleetState } from '../core/state/fleet-state.ts';
import type { LedgerStore } from '../store/ledger-store.ts';

/** VMs written at a stretch before others have their turn. */
const BATCH = 16;
/** Restores under way at once: a host that connects may bring hundreds of VMs. */
const RESTORES_MAX = 10_000;

export class ModelKeeper {
  readonly #ledger: LedgerStore;
  readonly #state: FleetState;
  readonly #log: Logger;
  #restores = Promise.resolve();
  #waiting = 0;
  restored = 0;
  refused = 0;
  written = 0;
  dropped = 0;

  constructor(ledger: LedgerStore, state: FleetState, log: Logger) {
    this.#ledger = ledger;
    this.#state = state;
    this.#log = log;
  }

  /** A VM seen for the first time: its models, if there are any, come soon. */
  seen(vm: VmId): void {
    if (this.#waiting >= RESTORES_MAX) {
      this.dropped++;
      return;
    }
    this.#waiting++;
    this.#restores = this.#restores.then(async () => {
      this.#waiting--;
      await this.#restore(vm);
    });
  }

  async #restore(vm: VmId): Promise<void> {
    try {
      const bytes = await this.#ledger.getBlob(blobName(vm));
      if (bytes !== null) this.restored += this.#state.vm(vm)?.restore(bytes, this.#state.policy) ?? 0;
    } catch (error) {
      this.refused++;
      this.#log.warn('models of a VM could not be restored and start anew', { vm, problem: errorText(error) });
    }
  }

  /** Writes every VM's checkpoint; `pause` lets others work in between. Rejects when the ledger fails. */
  async checkpoint(pause: () => Promise<void>): Promise<void> {
    await this.#restores;
    const vms = this.#state.vmIds();
    for (let at = 0; at < vms.length; at += BATCH) {
      await Promise.all(vms.slice(at, at + BATCH).map((vm) => this.#write(vm)));
      await pause();
    }
  }

  async #write(vm: VmId): Promise<void> {
    const record = this.#state.vm(vm);
    if (record === undefined || record.models.stateBytes === 0) return;
    await this.#ledger.putBlob(blobName(vm), record.checkpoint());
    this.written++;
  }
}

function blobName(vm: VmId): string {
  return `model/${vm}`;
}
