/** One VM's boots among those of its kind: watches the one that goes on, tells what to expect of the next. Pure. */
import type { VmInventory } from '../../../shared/protocol/frames.ts';
import type { VmState } from '../../../shared/resources.ts';
import type { TelemetryBlock } from '../../../shared/telemetry.ts';
import type { Boot, BootFacts, BootPrediction, BootProfiles } from './boot-profiles.ts';
import { BootWatch } from './boot-watch.ts';

export class VmBoots {
  readonly #profiles: BootProfiles;
  readonly #watch = new BootWatch();
  #facts: BootFacts | null = null;
  #state: VmState = 'unknown';

  constructor(profiles: BootProfiles) {
    this.#profiles = profiles;
  }

  applyInventory({ vm, vcpus, labels, state }: Pick<VmInventory, 'vm' | 'vcpus' | 'labels' | 'state'>): void {
    this.#facts = { id: vm as BootFacts['id'], vcpus, template: labels.template ?? null, class: labels.class ?? null };
    this.#state = state;
    const ended = this.#watch.become(state);
    if (ended !== null) this.#profiles.add(this.#facts, ended);
  }

  addBlock(block: TelemetryBlock): void {
    if (this.#facts !== null) this.#watch.add(block, this.#facts.vcpus);
  }

  /** Of the boot that goes on; null = it does not boot, or nothing like it was ever seen to. */
  expected(): BootPrediction | null {
    return this.#state === 'launching' && this.#facts !== null ? this.#profiles.predict(this.#facts) : null;
  }

  seen(): readonly Boot[] {
    return this.#facts === null ? [] : this.#profiles.boots(this.#facts.id);
  }

  restore(boots: readonly Boot[]): void {
    if (this.#facts !== null) this.#profiles.restore(this.#facts, boots);
  }
}
