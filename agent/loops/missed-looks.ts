/**
 * VMs whose last look failed, to be looked at again before the next round over all: soon at first, ever more seldom at one that goes
 * on failing, since a call to a stuck VM holds the hypervisor's daemon up. Input: looks that failed and that did not; output: what is
 * due.
 */
import type { VmId } from '../../shared/ids.ts';
import type { HostContext } from './host-context.ts';

export class MissedLooks {
  readonly #context: Pick<HostContext, 'clock' | 'settings'>;
  /** How long each is waited for now, and until when. */
  readonly #missed = new Map<VmId, { waitMs: number; dueMs: number }>();

  constructor(context: Pick<HostContext, 'clock' | 'settings'>) {
    this.#context = context;
  }

  /** The next round over values in force comes first; at most the round over all VMs is waited for. */
  failed(vm: VmId): void {
    const { clock, settings } = this.#context;
    const before = this.#missed.get(vm);
    const waitMs = Math.min(settings.inventoryMs, before === undefined ? settings.settingsMs / 2 : 2 * before.waitMs);
    this.#missed.set(vm, { waitMs, dueMs: clock.monotonicMs() + waitMs });
  }

  /** It was looked at, or is gone. */
  delete(vm: VmId): void {
    this.#missed.delete(vm);
  }

  due(): VmId[] {
    const nowMs = this.#context.clock.monotonicMs();
    return [...this.#missed].filter(([, { dueMs }]) => dueMs <= nowMs).map(([vm]) => vm);
  }
}
