/**
 * What boots take, learnt from boots: those of the VM itself, else of VMs of the same template, else of the same class and
 * size. Input: seconds of VMs that launch, and their end; output: what the next boot is expected to take, in words too.
 * Nothing like it was ever seen: nothing is expected. Pure.
 */
import type { VmId } from '../../../shared/ids.ts';

/** One boot as the host saw it. */
export interface Boot {
  /** Highest mean over a few seconds of what it used, or would have used without a cap, cores. */
  peakCores: number;
  /** From the first second seen to ready. */
  seconds: number;
}

export interface BootFacts {
  id: VmId;
  vcpus: number;
  /** The administrator's labels `template` and `class`; null = not told. */
  template: string | null;
  class: string | null;
}

export interface BootPrediction {
  /** High: more than half of what its vCPUs can do. */
  level: 'high' | 'low';
  peakCores: number;
  seconds: number;
  /** What it rests on. */
  because: string;
}

/** Boots remembered per VM: software changes, and so does what it takes to start it. */
const BOOTS_MAX = 8;
/** VMs whose boots are remembered after they are gone, for others of their kind. */
const VMS_MAX = 20_000;
/** Above this share of its vCPUs a boot is busy: below it, more CPU would not end it sooner. */
const BUSY_SHARE = 0.5;

interface Known {
  facts: BootFacts;
  boots: Boot[];
}

export class BootProfiles {
  readonly #known = new Map<VmId, Known>();

  add(facts: BootFacts, boot: Boot): void {
    const boots = [...(this.#known.get(facts.id)?.boots ?? []), boot].slice(-BOOTS_MAX);
    this.#put(facts, boots);
  }

  /** Of before a restart. */
  restore(facts: BootFacts, boots: readonly Boot[]): void {
    if (boots.length > 0 && !this.#known.has(facts.id)) this.#put(facts, boots.slice(-BOOTS_MAX));
  }

  boots(vm: VmId): readonly Boot[] {
    return this.#known.get(vm)?.boots ?? [];
  }

  /** Null: nothing like it was ever seen to boot. */
  predict(facts: BootFacts): BootPrediction | null {
    const own = this.boots(facts.id);
    if (own.length > 0) return predicted(own, facts, `${counted(own.length)} of its own`);
    const template = this.#of((other) => facts.template !== null && other.template === facts.template && other.vcpus === facts.vcpus);
    if (template.length > 0) return predicted(template, facts, `${counted(template.length)} of template ${facts.template}`);
    const peers = this.#of((other) => facts.class !== null && other.class === facts.class && other.vcpus === facts.vcpus);
    return peers.length > 0 ? predicted(peers, facts, `${counted(peers.length)} of class ${facts.class}`) : null;
  }

  #of(like: (facts: BootFacts) => boolean): Boot[] {
    return [...this.#known.values()].flatMap(({ facts, boots }) => (like(facts) ? boots : []));
  }

  #put(facts: BootFacts, boots: Boot[]): void {
    this.#known.delete(facts.id);
    this.#known.set(facts.id, { facts, boots });
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= VMS_MAX) break;
      this.#known.delete(oldest);
    }
  }
}

const counted = (boots: number): string => `${boots} ${boots === 1 ? 'boot' : 'boots'}`;

/** By the busiest boot there was: a boot that waits for CPU is late for everybody who waits for it. */
function predicted(boots: readonly Boot[], { vcpus }: BootFacts, which: string): BootPrediction {
  const peakCores = Math.min(vcpus, Math.max(...boots.map((boot) => boot.peakCores)));
  const seconds = Math.max(...boots.map((boot) => boot.seconds));
  const level = peakCores > BUSY_SHARE * vcpus ? 'high' : 'low';
  return { level, peakCores, seconds, because: `${which} took up to ${peakCores.toFixed(2)} cores and ${seconds.toFixed(0)} s` };
}
