/**
 * VMs whose last look failed, to be looked at again before the next round over all: soon at first, ever more seldom at one that goes
 * on failing, since a call to a stuck VM holds the hypervisor's daemon up. Input: looks that failed and that did not; output: what is
 * due, with what was told of each: what a VM does is known from a look only once that has succeeded.
 */
import type { VmId } from '../../shared/ids.ts';
import type { VmSummary } from '../hypervisor/hypervisor.ts';
import type { HostContext } from './host-context.ts';

/** A look that failed: at what, how long it is waited now, and until when. */
interface MissedLook {
  readonly summary: VmSummary;
  readonly waitMs: number;
  readonly dueMs: number;
}

/** Runs looks at one VM one after the other. */
export type InTurn = (vm: VmId, run: () => Promise<void> | void) => Promise<void>;

export class MissedLooks {
  readonly #context: Pick<HostContext, 'clock' | 'settings'>;
  readonly #missed = new Map<VmId, MissedLook>();

  constructor(context: Pick<HostContext, 'clock' | 'settings'>) {
    this.#context = context;
  }

  /** The next round over values in force comes first; at most the round over all VMs is waited for. */
  failed(summary: VmSummary): void {
    const { clock, settings } = this.#context;
    const before = this.#missed.get(summary.id);
    const waitMs = Math.min(settings.inventoryMs, before === undefined ? settings.settingsMs / 2 : 2 * before.waitMs);
    this.#missed.set(summary.id, { summary, waitMs, dueMs: clock.monotonicMs() + waitMs });
  }

  /** It was looked at, or is gone. */
  delete(vm: VmId): void {
    this.#missed.delete(vm);
  }

  /** Each in its VM's turn, unless something newer came since: what an event told meanwhile. Answers whether any was due. */
  async lookAgain(inTurn: InTurn, look: (summary: VmSummary) => Promise<void>): Promise<boolean> {
    const nowMs = this.#context.clock.monotonicMs();
    const due = [...this.#missed].filter(([, { dueMs }]) => dueMs <= nowMs);
    const again = (vm: VmId, one: MissedLook) => (this.#missed.get(vm) === one ? look(one.summary) : undefined);
    await Promise.all(due.map(([vm, one]) => inTurn(vm, () => again(vm, one))));
    return due.length > 0;
  }
}
