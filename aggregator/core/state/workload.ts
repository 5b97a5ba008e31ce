/**
 * What kind of work one VM does, learnt as its steps close, and what it lends to and borrows from its peers. Rows, closed
 * steps and forecasts in; a classification, and forecasts of a young VM mended by its peers', out.
 */
import type { VmId } from '../../../shared/ids.ts';
import type { Resource } from '../../../shared/resources.ts';
import { PROCESS_MEASUREMENT, type TelemetryBlock } from '../../../shared/telemetry.ts';
import { CLASS_LABEL, classify, TEMPLATE_LABEL } from '../classify/classify.ts';
import { borrowed, OWN_CONFIDENCE } from '../classify/cold-start.ts';
import type { BorrowedResource, PeerProfiles } from '../classify/peer-profiles.ts';
import { UsageShape } from '../classify/usage-shape.ts';
import type { Classification, ProcessUse } from '../classify/workload-class.ts';
import type { ForecastView } from '../plan/plan.ts';

export interface WorkloadFacts {
  id: VmId;
  name: string;
  labels: Readonly<Record<string, string>>;
  vcpus: number;
  bootMemoryMiB: number;
}

/** Demand of a closed step, null = unknown. */
export type StepDemand = Readonly<Record<Resource, { value: number | null }>>;

/** Whoever lends must know itself: some cycles of its own seasons. */
const LENDING_CONFIDENCE = 0.5;
/** A class that is a guess is no group to borrow from. */
const GROUP_CONFIDENCE = 0.6;
const SESSIONS_FIELD = 'vm_user.sessions';

export class Workload {
  readonly shape = new UsageShape();
  readonly #peers: PeerProfiles;
  #processes: ProcessUse[] = [];
  #sessions: number | null = null;
  /** Groups it belongs to in this step. */
  #kin: string[] | null = null;

  constructor(peers: PeerProfiles) {
    this.#peers = peers;
  }

  /** What a guest tells of its processes and users; other blocks are passed over. */
  addBlock(block: TelemetryBlock): void {
    const from = (block.timesMs.length - 1) * block.fields.length;
    if (from < 0) return;
    const sessions = block.fields.indexOf(SESSIONS_FIELD);
    if (sessions >= 0) this.#sessions = known(block.values[from + sessions]!);
    if (!block.fields[0]?.startsWith(`${PROCESS_MEASUREMENT}.`)) return;
    const uses = new Map<string, ProcessUse>();
    block.fields.forEach((field, i) => {
      const [, what, ...rest] = field.split('.');
      const name = rest.join('.');
      const use = uses.get(name) ?? { name, cpuCores: 0, rssMiB: 0 };
      const value = known(block.values[from + i]!) ?? 0;
      if (what === 'cpuCores') use.cpuCores = value;
      if (what === 'rssMiB') use.rssMiB = value;
      uses.set(name, use);
    });
    this.#processes = [...uses.values()];
  }

  closeStep({ cpu, memory, network, disk }: StepDemand, { vcpus, bootMemoryMiB }: WorkloadFacts): void {
    this.#kin = null;
    if (cpu.value === null || !(vcpus > 0)) return;
    const memoryShare = memory.value === null || !(bootMemoryMiB > 0) ? null : memory.value / bootMemoryMiB;
    this.shape.add({ cpuShare: cpu.value / vcpus, memoryShare, networkBytesPerSecond: network.value, diskBytesPerSecond: disk.value });
  }

  classification({ name, labels, vcpus }: WorkloadFacts): Classification {
    return classify({ name, labels, vcpus, processes: this.#processes, sessions: this.#sessions, shape: this.shape });
  }

  /** The forecast as it is, or mended while the VM is young; a VM that knows itself lends its step to others. */
  mend(resource: BorrowedResource, forecast: ForecastView, demand: number, facts: WorkloadFacts): ForecastView {
    const size = resource === 'cpu' ? facts.vcpus : facts.bootMemoryMiB;
    if (!(size > 0)) return forecast;
    if (forecast.confidence >= LENDING_CONFIDENCE) {
      this.#peers.add(facts.id, this.#kinOf(facts), resource, demand / size);
      return forecast;
    }
    if (forecast.confidence >= OWN_CONFIDENCE) return forecast;
    const peers = this.#peers.quantiles(this.#kinOf(facts), resource, forecast.quantiles);
    return peers === null ? forecast : borrowed(forecast, this.shape.steps, size, peers);
  }

  #kinOf(facts: WorkloadFacts): readonly string[] {
    this.#kin ??= this.#groups(facts);
    return this.#kin;
  }

  /**
   * Nearest kin first. What a guest claims of itself (processes, sessions) does not choose them: a tenant would borrow
   * whatever it likes.
   */
  #groups({ name, labels, vcpus }: WorkloadFacts): string[] {
    const found = classify({ name, labels, vcpus, processes: [], sessions: null, shape: this.shape });
    const template = labels[TEMPLATE_LABEL];
    return [
      ...(template ? [`${TEMPLATE_LABEL} "${template}"`] : []),
      ...(found.class !== null && found.confidence >= GROUP_CONFIDENCE ? [`${CLASS_LABEL} "${found.class}"`] : []),
      'every kind',
    ];
  }
}

const known = (value: number): number | null => (Number.isNaN(value) ? null : value);
