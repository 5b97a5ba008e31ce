/**
 * Demand of one VM, step by step: rows of telemetry in (any order within a step), one point per resource and finished step
 * out. A step's value is the largest of its windows' means (cpu, network, disk) or its largest reading (memory): the
 * forecaster learns what must be *covered*. Pure: time comes with the rows and with `closeUntil`.
 */
import type { Resource } from '../../../shared/resources.ts';
import type { TelemetryBlock } from '../../../shared/telemetry.ts';
import { BalloonHistory, GuestSize } from './demand-balloon.ts';
import { type DemandColumns, demandColumns, SIGNAL, SIGNALS } from './demand-columns.ts';
import { cpuDemand, type MemoryReading, memoryDemand, rateDemand, SHORT_GROWTH } from './demand-estimate.ts';
import { cell } from './field-plan.ts';

export interface DemandOptions {
  stepMs: number;
  /** Length of the windows whose mean counts: 60 s live (shorter bursts are the fast guard's), 2–5 s in the demo. */
  windowMs: number;
  /** How long after its end a step still takes rows. */
  graceMs: number;
}

/** What the composition knows of the VM beside its telemetry; absent or null = unknown, or no limit. */
export interface DemandFacts {
  vcpus: number;
  /** Claimed signals never raise demand beyond these. */
  guaranteedCores: number | null;
  guaranteedMiB: number | null;
  networkLimitBytesPerSecond: number | null;
  diskLimitBytesPerSecond: number | null;
  /** vCPUs online where some are offline by our order; absent = none are. */
  vcpusOnline?: number;
}

export interface DemandPoint {
  /** Estimated demand, null = unknown (under half of the step was covered). */
  value: number | null;
  /** Mean usage as seen (memory: the largest working set). */
  usage: number | null;
  suppressed: boolean;
}

/** Resources whose demand is a rate, and so a mean over each window. */
export type RateResource = 'cpu' | 'network';

export interface DemandStep {
  startMs: number;
  points: Record<Resource, DemandPoint>;
  /**
   * Demand in each of the step's windows, NaN = not seen: what several VMs want together is added up where it meets. By the host's
   * word alone: no guest may call for another VM.
   */
  windows: Record<RateResource, Float64Array>;
  /** The memory point rests on what the guest says. */
  memoryClaimed: boolean;
}

/** The present moment, for views; null = unknown. */
export interface MemoryNow {
  balloonMiB: number | null;
  workingSetMiB: number | null;
  pressure: boolean;
}

/** The step in progress, the one in its grace, and two for a clock that runs ahead. */
const OPEN_STEPS_MAX = 4;
/** A memory reading stays true this long: statistics come every few seconds, and memory moves slowly. */
export const MEMORY_HOLD_MS = 15_000;
/** What a short guest may want is bounded by what it was seen to hold within this time, and the one before. */
const RECENT_MS = 24 * 3_600_000;
/** Share of a step, or of a window, that must be covered by rows. */
const COVERAGE_MIN = 0.5;

/** Per window: [span, Σ value × span] of each signal. */
const WIDTH = SIGNALS.length * 2;

interface OpenStep {
  startMs: number;
  /** [windows × signals × 2], row-major. */
  sums: Float64Array;
  /** Largest working set that was seen. */
  workingSetMiB: number;
  /** The guest was short at some time. */
  memorySuppressed: boolean;
  /** Estimate of the newest reading. */
  memoryMiB: number;
  memoryTimeMs: number;
  /** It was short at the newest reading: how much more it wanted, the step does not tell. */
  endsShort: boolean;
  memoryClaimed: boolean;
  /** Fewest vCPUs that were online by our order; NaN = none were offline. */
  vcpusOnline: number;
}

/** Scratch: an object for each row would be the collector's work, and one for each VM misses in the cache. */
const reading: MemoryReading = {
  workingSetMiB: Number.NaN,
  balloonMiB: Number.NaN,
  availableMiB: Number.NaN,
  swapInMiBPerSecond: Number.NaN,
  pressureFullFraction: Number.NaN,
  guestSwapInMiBPerSecond: Number.NaN,
  guestRefaultsPerSecond: Number.NaN,
  guestPressureFullFraction: Number.NaN,
  guaranteedMiB: Number.NaN,
};

export class DemandAccumulator {
  readonly #options: DemandOptions;
  readonly #windows: number;
  readonly #open: OpenStep[] = [];
  /** Newest time at which each signal was known: a row covers the time since then. */
  readonly #lastMs = new Float64Array(SIGNALS.length).fill(Number.NaN);
  readonly #balloon = new BalloonHistory();
  readonly #vouchedSize = new GuestSize(this.#balloon);
  readonly #claimedSize = new GuestSize(this.#balloon);
  readonly #memory = { timeMs: Number.NaN, balloonMiB: Number.NaN, workingSetMiB: Number.NaN, value: Number.NaN, suppressed: false };
  /** Largest working sets of guests that were not short: since `sinceMs`, and in the time before. */
  readonly #recent = { sinceMs: Number.NEGATIVE_INFINITY, maxMiB: Number.NaN, earlierMaxMiB: Number.NaN };
  /** When memory was first told of; NaN = not yet. */
  #memorySinceMs = Number.NaN;
  /** Claimed signals of the newest guest row. */
  readonly #guest = { timeMs: Number.NaN, swapIn: Number.NaN, refaults: Number.NaN, full: Number.NaN };
  #facts: DemandFacts;
  #closedUntilMs = Number.NEGATIVE_INFINITY;
  /** Rows that came after their step was closed. */
  rowsLate = 0;
  /** Rows too far ahead of the open steps (a clock jumped) or older than all of them. */
  rowsOutOfRange = 0;

  constructor(options: DemandOptions, facts: DemandFacts) {
    this.#options = options;
    this.#windows = Math.max(1, Math.round(options.stepMs / options.windowMs));
    this.#facts = facts;
    // A step in which more came online was held down before.
    for (const step of this.#open) step.vcpusOnline = minKnown(step.vcpusOnline, facts.vcpusOnline ?? Number.NaN);
  }

  setFacts(facts: DemandFacts): void {
    this.#facts = facts;
  }

  /** Takes every row of a block of this VM. Unknown fields are ignored, NaN is unknown. */
  add(block: TelemetryBlock): void {
    const { fields, timesMs, values, source } = block;
    const columns = demandColumns(fields);
    for (let row = 0; row < timesMs.length; row++) {
      const timeMs = timesMs[row]!;
      const step = this.#stepAt(timeMs);
      if (step === null) continue;
      const at = row * fields.length;
      this.#addSignals(step, columns, values, at, timeMs);
      if (source === 'host') this.#addHostMemory(step, columns, values, at, timeMs);
      else this.#addGuestMemory(step, columns, values, at, timeMs);
    }
  }

  /** Points of the steps that ended (and whose grace passed) by `nowMs`, ascending. A step without any row is left out: a gap. */
  closeUntil(nowMs: number): DemandStep[] {
    const steps: DemandStep[] = [];
    const { stepMs } = this.#options;
    // A row from a clock far ahead opened a step that would never fill, and would keep honest rows out until then.
    while (this.#open.length > 0 && this.#open.at(-1)!.startMs > nowMs + OPEN_STEPS_MAX * stepMs) {
      this.#open.pop();
      this.rowsOutOfRange++;
    }
    while (this.#open.length > 0 && this.#open[0]!.startMs + stepMs + this.#options.graceMs <= nowMs) {
      const open = this.#open.shift()!;
      this.#closedUntilMs = open.startMs + stepMs;
      const unseen = (): Float64Array => new Float64Array(this.#windows).fill(Number.NaN);
      const windows = { cpu: unseen(), network: unseen() };
      steps.push({ startMs: open.startMs, points: this.#points(open, windows), windows, memoryClaimed: open.memoryClaimed });
    }
    return steps;
  }

  memoryNow(nowMs: number): MemoryNow {
    const fresh = this.#memoryFresh(nowMs);
    const orNull = (value: number) => (fresh && !Number.isNaN(value) ? value : null);
    return {
      balloonMiB: orNull(this.#memory.balloonMiB),
      workingSetMiB: orNull(this.#memory.workingSetMiB),
      pressure: fresh && this.#memory.suppressed,
    };
  }

  /** Two of `memoryNow`'s figures that are asked for with every block, without an object. NaN = unknown. */
  workingSetNowMiB(nowMs: number): number {
    return this.#memoryFresh(nowMs) ? this.#memory.workingSetMiB : Number.NaN;
  }

  shortNow(nowMs: number): boolean {
    return this.#memoryFresh(nowMs) && this.#memory.suppressed;
  }

  #memoryFresh(nowMs: number): boolean {
    return nowMs - this.#memory.timeMs <= Math.max(MEMORY_HOLD_MS, this.#options.stepMs);
  }

  #stepAt(timeMs: number): OpenStep | null {
    const { stepMs } = this.#options;
    if (!Number.isFinite(timeMs)) {
      this.rowsOutOfRange++;
      return null;
    }
    // A row stamped T tells of the time up to T, so one at a step's very end belongs to that step.
    const startMs = (Math.ceil(timeMs / stepMs) - 1) * stepMs;
    if (startMs < this.#closedUntilMs) {
      this.rowsLate++;
      return null;
    }
    // From the newest on: that is where nearly all rows belong.
    for (let i = this.#open.length - 1; i >= 0; i--) if (this.#open[i]!.startMs === startMs) return this.#open[i]!;
    const newest = this.#open.at(-1);
    // Steps beyond the limit wait for closeUntil; a lone far-away row must not close steps that still fill.
    if (newest && (this.#open.length >= OPEN_STEPS_MAX || Math.abs(startMs - newest.startMs) > OPEN_STEPS_MAX * stepMs)) {
      this.rowsOutOfRange++;
      return null;
    }
    const sums = new Float64Array(this.#windows * WIDTH);
    const memory = { workingSetMiB: Number.NaN, memorySuppressed: false, memoryMiB: Number.NaN, memoryTimeMs: Number.NEGATIVE_INFINITY };
    const step = { startMs, sums, ...memory, endsShort: false, memoryClaimed: false, vcpusOnline: this.#facts.vcpusOnline ?? Number.NaN };
    this.#open.push(step);
    this.#open.sort((a, b) => a.startMs - b.startMs);
    return step;
  }

  #addSignals(step: OpenStep, columns: DemandColumns, values: Float64Array, rowAt: number, timeMs: number): void {
    const { plainColumns, plainSignals } = columns;
    const at = this.#windowAt(step, timeMs);
    for (let i = 0; i < plainColumns.length; i++) this.#addSignal(step, at, plainSignals[i]!, values[rowAt + plainColumns[i]!]!, timeMs);
    const network = cell(values, rowAt, columns.receive) + cell(values, rowAt, columns.transmit);
    this.#addSignal(step, at, SIGNAL.network, network, timeMs);
    this.#addSignal(step, at, SIGNAL.disk, cell(values, rowAt, columns.read) + cell(values, rowAt, columns.write), timeMs);
  }

  /** Where the sums of the row's window begin. */
  #windowAt(step: OpenStep, timeMs: number): number {
    const into = Math.max(0, timeMs - step.startMs - 1) / this.#options.stepMs;
    return Math.min(this.#windows - 1, Math.floor(into * this.#windows)) * WIDTH;
  }

  #addSignal(step: OpenStep, windowAt: number, signal: number, value: number, timeMs: number): void {
    if (!(value >= 0)) return;
    const { windowMs } = this.#options;
    const since = timeMs - this.#lastMs[signal]!;
    // The first row, and one out of order, covers a second (the agents' pace); no row covers more than a window.
    const spanMs = since > 0 ? Math.min(since, windowMs) : since === 0 ? 0 : Math.min(1000, windowMs);
    if (!(since <= 0)) this.#lastMs[signal] = timeMs;
    const at = windowAt + signal * 2;
    step.sums[at]! += spanMs;
    step.sums[at + 1]! += spanMs * value;
  }

  #addHostMemory(step: OpenStep, columns: DemandColumns, values: Float64Array, rowAt: number, timeMs: number): void {
    const balloonMiB = cell(values, rowAt, columns.balloon);
    this.#balloon.add(timeMs, balloonMiB);
    const availableMiB = cell(values, rowAt, columns.available);
    if (Number.isNaN(availableMiB) && Number.isNaN(balloonMiB)) return;
    const totalMiB = cell(values, rowAt, columns.total);
    this.#vouchedSize.learn(timeMs, balloonMiB, totalMiB);
    const ageMs = cell(values, rowAt, columns.statsAge);
    const hadMiB = this.#vouchedSize.at(timeMs - (Number.isNaN(ageMs) ? 0 : Math.max(0, ageMs)), totalMiB);
    const workingSetMiB = availableMiB >= 0 ? Math.max(0, hadMiB - availableMiB) : Number.NaN;
    const guestFresh = timeMs - this.#guest.timeMs <= MEMORY_HOLD_MS;
    reading.workingSetMiB = workingSetMiB;
    reading.availableMiB = Number.isNaN(workingSetMiB) ? Number.NaN : availableMiB;
    reading.swapInMiBPerSecond = cell(values, rowAt, columns.swapIn);
    reading.pressureFullFraction = cell(values, rowAt, columns.pressureFull);
    reading.guestSwapInMiBPerSecond = guestFresh ? this.#guest.swapIn : Number.NaN;
    reading.guestRefaultsPerSecond = guestFresh ? this.#guest.refaults : Number.NaN;
    reading.guestPressureFullFraction = guestFresh ? this.#guest.full : Number.NaN;
    this.#noteMemory(step, timeMs, balloonMiB, hadMiB, false);
  }

  #addGuestMemory(step: OpenStep, columns: DemandColumns, values: Float64Array, rowAt: number, timeMs: number): void {
    const totalMiB = cell(values, rowAt, columns.guestTotal);
    const availableMiB = cell(values, rowAt, columns.guestAvailable);
    this.#claimedSize.learn(timeMs, this.#balloon.newestMiB, totalMiB);
    const sizeMiB = this.#claimedSize.at(timeMs, totalMiB);
    const workingSetMiB = Math.max(0, (Number.isNaN(sizeMiB) ? totalMiB : sizeMiB) - availableMiB);
    const guest = this.#guest;
    guest.timeMs = timeMs;
    guest.swapIn = cell(values, rowAt, columns.guestSwapIn);
    guest.refaults = cell(values, rowAt, columns.guestRefaults);
    guest.full = cell(values, rowAt, columns.guestPressureFull);
    // The host's own word counts where there is one; the guest's fills in where balloon statistics are missing.
    if (timeMs - this.#memory.timeMs <= MEMORY_HOLD_MS && !Number.isNaN(this.#memory.workingSetMiB)) return;
    const guaranteed = this.#facts.guaranteedMiB ?? Number.NaN;
    const hadMiB = this.#balloon.at(timeMs);
    reading.workingSetMiB = Math.min(workingSetMiB, guaranteed);
    reading.availableMiB = Number.NaN;
    reading.swapInMiBPerSecond = Number.NaN;
    reading.pressureFullFraction = Number.NaN;
    reading.guestSwapInMiBPerSecond = guest.swapIn;
    reading.guestRefaultsPerSecond = guest.refaults;
    reading.guestPressureFullFraction = guest.full;
    this.#noteMemory(step, timeMs, hadMiB, hadMiB, true);
  }

  /** Takes what `reading` holds, in which the size and the guarantee are filled in here. `told`: by the guest. */
  #noteMemory(step: OpenStep, timeMs: number, balloonMiB: number, hadMiB: number, told: boolean): void {
    const { workingSetMiB } = reading;
    reading.guaranteedMiB = this.#facts.guaranteedMiB ?? Number.NaN;
    // What the guest had when it told of a lack, not what it may have got since.
    reading.balloonMiB = Number.isNaN(hadMiB) ? balloonMiB : hadMiB;
    const estimate = memoryDemand(reading);
    if (!(timeMs < this.#memory.timeMs)) {
      if (!Number.isNaN(balloonMiB)) this.#memory.balloonMiB = balloonMiB;
      this.#memory.suppressed = estimate.suppressed;
      if (!Number.isNaN(estimate.value)) {
        this.#memory.timeMs = timeMs;
        this.#memory.value = estimate.value;
        this.#memory.workingSetMiB = workingSetMiB;
      }
    }
    if (Number.isNaN(estimate.value)) return;
    if (!(timeMs >= this.#memorySinceMs)) this.#memorySinceMs = timeMs;
    if (timeMs >= step.memoryTimeMs) {
      step.memoryTimeMs = timeMs;
      step.memoryMiB = estimate.value;
      step.endsShort = estimate.suppressed;
    }
    if (!estimate.suppressed) this.#noteRecent(timeMs, workingSetMiB);
    step.workingSetMiB = maxKnown(step.workingSetMiB, workingSetMiB);
    step.memorySuppressed ||= estimate.suppressed;
    // A guest that calls itself short is believed for its own memory, up to a bound, and for nothing else.
    step.memoryClaimed ||= told || (!estimate.suppressed && estimate.value > workingSetMiB);
  }

  #points(step: OpenStep, windows: DemandStep['windows']): Record<Resource, DemandPoint> {
    const facts = this.#facts;
    return {
      cpu: this.#peak(
        step,
        SIGNAL.cpu,
        (mean, window) => this.#cpuWindow(step, window, mean),
        (mean, window) => {
          windows.cpu[window] = this.#cpuWindow(step, window, mean, false).value;
        },
      ),
      memory: this.#memoryPoint(step),
      network: this.#peak(
        step,
        SIGNAL.network,
        (mean) => rateDemand(mean, facts.networkLimitBytesPerSecond ?? Number.NaN),
        (mean, window) => {
          windows.network[window] = rateDemand(mean, facts.networkLimitBytesPerSecond ?? Number.NaN).value;
        },
      ),
      disk: this.#peak(step, SIGNAL.disk, (mean) => rateDemand(mean, facts.diskLimitBytesPerSecond ?? Number.NaN)),
    };
  }

  #noteRecent(timeMs: number, workingSetMiB: number): void {
    const recent = this.#recent;
    if (timeMs - recent.sinceMs >= RECENT_MS) {
      const follows = timeMs - recent.sinceMs < 2 * RECENT_MS;
      recent.earlierMaxMiB = follows ? recent.maxMiB : Number.NaN;
      recent.maxMiB = Number.NaN;
      recent.sinceMs = timeMs;
    }
    recent.maxMiB = maxKnown(recent.maxMiB, workingSetMiB);
  }

  /**
   * A guest that was short and then had enough within the step has shown what it wanted. One that is still short at the end
   * wants all it has and an unknown amount more: a step of the fast guard, but no more than it was lately seen to hold.
   * Learning only what it had would have it short at this hour again.
   */
  #memoryPoint(step: OpenStep): DemandPoint {
    // What it needed at most in a step is not known from less than half of it.
    if (this.#memorySinceMs > step.startMs + COVERAGE_MIN * this.#options.stepMs) return UNKNOWN;
    if (!Number.isNaN(step.memoryMiB)) {
      const seen = maxKnown(step.memoryMiB, step.workingSetMiB);
      const held = maxKnown(this.#recent.maxMiB, this.#recent.earlierMaxMiB);
      const value = step.endsShort && held > seen ? Math.min(held, seen * SHORT_GROWTH) : seen;
      return { value, usage: nullable(step.workingSetMiB), suppressed: step.memorySuppressed };
    }
    // No reading within the step: the newest earlier one holds for a while (short steps, slow statistics).
    const ageMs = step.startMs + this.#options.stepMs - this.#memory.timeMs;
    const holds = ageMs >= 0 && ageMs <= MEMORY_HOLD_MS;
    return holds
      ? { value: nullable(this.#memory.value), usage: nullable(this.#memory.workingSetMiB), suppressed: this.#memory.suppressed }
      : UNKNOWN;
  }

  /** `seen`: is told the mean of each window that was seen. */
  #peak(
    step: OpenStep,
    signal: number,
    estimate: (mean: number, window: number) => { value: number; suppressed: boolean },
    seen?: (mean: number, window: number) => void,
  ): DemandPoint {
    let spanMs = 0;
    let total = 0;
    let value = Number.NaN;
    let suppressed = false;
    const windowMs = this.#options.stepMs / this.#windows;
    for (let window = 0; window < this.#windows; window++) {
      const span = step.sums[window * WIDTH + signal * 2]!;
      if (span === 0) continue;
      spanMs += span;
      total += step.sums[window * WIDTH + signal * 2 + 1]!;
      // A window seen for a moment only is not a mean over the window; it still counts towards the step's.
      if (span < COVERAGE_MIN * windowMs) continue;
      const window_ = estimate(step.sums[window * WIDTH + signal * 2 + 1]! / span, window);
      seen?.(step.sums[window * WIDTH + signal * 2 + 1]! / span, window);
      value = maxKnown(value, window_.value);
      suppressed ||= window_.suppressed;
    }
    if (spanMs < COVERAGE_MIN * this.#options.stepMs) return UNKNOWN;
    if (Number.isNaN(value)) value = estimate(total / spanMs, -1).value;
    return { value: nullable(value), usage: total / spanMs, suppressed };
  }

  #cpuWindow(step: OpenStep, window: number, usageCores: number, claims = true): { value: number; suppressed: boolean } {
    const mean = (signal: number) => {
      let span = 0;
      let total = 0;
      const until = window < 0 ? this.#windows : window + 1;
      for (let w = Math.max(0, window); w < until; w++) {
        span += step.sums[w * WIDTH + signal * 2]!;
        total += step.sums[w * WIDTH + signal * 2 + 1]!;
      }
      return span > 0 ? total / span : Number.NaN;
    };
    const online = mean(SIGNAL.vcpus);
    return cpuDemand({
      usageCores,
      throttledFraction: mean(SIGNAL.throttled),
      waitFraction: mean(SIGNAL.wait),
      capCores: mean(SIGNAL.cap),
      vcpus: online > 0 ? online : this.#facts.vcpus,
      guestStealFraction: claims ? mean(SIGNAL.steal) : Number.NaN,
      guestRunQueue: mean(SIGNAL.runQueue),
      guaranteedCores: this.#facts.guaranteedCores ?? Number.NaN,
      vcpusOnline: step.vcpusOnline,
    });
  }
}

const UNKNOWN: DemandPoint = { value: null, usage: null, suppressed: false };

function nullable(value: number): number | null {
  return Number.isNaN(value) ? null : value;
}

function minKnown(a: number, b: number): number {
  return Number.isNaN(a) ? b : Number.isNaN(b) ? a : Math.min(a, b);
}

function maxKnown(a: number, b: number): number {
  return Number.isNaN(a) ? b : Number.isNaN(b) ? a : Math.max(a, b);
}
