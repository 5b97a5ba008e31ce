/**
 * The joint forecast of a group of VMs (a host's, a project's): its aggregate demand as a series of its own, through the
 * same Forecaster as a VM's. Peaks of VMs do not coincide, so its quantiles lie below the sum of theirs. What is learnt is
 * the sum relative to the usual levels of those present, so that a VM that comes or goes moves the forecast by its own
 * usual demand and is no surprise. Members' demand in, quantiles of the group's demand out.
 */
import { assert } from '../../../shared/assert.ts';
import { HeadroomError } from '../../../shared/errors.ts';
import type { Forecast, Forecaster, ForecasterFactory, ForecasterOptions } from './forecaster.ts';

/** Usual levels forget half in so many steps: two days of five-minute steps, long beside the day whose shape is learnt. */
const LEVEL_RATE = 1 - 2 ** (-1 / 576);
/** Differences of 1 % of what the group usually wants do not matter. */
const RESOLUTION = 0.01;

interface Member {
  level: number;
  steps: number;
  /** Newest step it was seen in. */
  lastMs: number;
}

export class JointForecaster {
  readonly #options: ForecasterOptions;
  readonly #factory: ForecasterFactory;
  #shape: Forecaster;
  #members = new Map<string, Member>();
  #lastMs = Number.NEGATIVE_INFINITY;

  /** `options.resolution` is of no use here: the learnt series is relative. */
  constructor(options: ForecasterOptions, factory: ForecasterFactory) {
    this.#options = { ...options, resolution: RESOLUTION };
    this.#factory = factory;
    this.#shape = factory.create(this.#options);
  }

  /** Start of the newest step, -Infinity before the first. */
  get lastMs(): number {
    return this.#lastMs;
  }

  /**
   * One finished step: demand (headline unit) of each member present, NaN = present and not known: its usual level stands for
   * it. Who is absent is forgotten at once; an empty group, or one of which nothing is known, teaches nothing. Steps must come in
   * ascending time; a step at or before the last one is ignored. Infinite or negative demand throws.
   */
  observe(timeMs: number, demands: ReadonlyMap<string, number>): void {
    if (timeMs <= this.#lastMs) return;
    this.#lastMs = timeMs;
    let sum = 0;
    let known = 0;
    for (const [id, demand] of demands) {
      const before = this.#members.get(id);
      if (Number.isNaN(demand)) {
        if (before) before.lastMs = timeMs;
        sum += before?.level ?? 0;
        continue;
      }
      assert(Number.isFinite(demand) && demand >= 0, `demand of member ${id} must be finite and not negative, got ${demand}`);
      sum += demand;
      known++;
      this.#learn(id, demand, timeMs);
    }
    for (const [id, member] of this.#members) if (member.lastMs < timeMs) this.#members.delete(id);
    const usual = this.usual;
    if (usual > 0 && known > 0) this.#shape.observe({ timeMs, value: sum / usual });
  }

  #learn(id: string, demand: number, timeMs: number): void {
    const member = this.#members.get(id) ?? { level: demand, steps: 0, lastMs: timeMs };
    member.steps++;
    // At first a plain mean, so that the first value does not linger.
    member.level += Math.max(LEVEL_RATE, 1 / member.steps) * (demand - member.level);
    member.lastMs = timeMs;
    this.#members.set(id, member);
  }

  /** Sum of the usual levels of those present, headline unit. */
  get usual(): number {
    let usual = 0;
    for (const { level } of this.#members.values()) usual += level;
    return usual;
  }

  /** Quantiles of the group's demand in coming steps, headline unit; null while there is nothing to say. */
  forecast(horizons: readonly number[], quantiles: readonly number[]): Forecast | null {
    const { usual } = this;
    const shape = usual > 0 ? this.#shape.forecast(horizons, quantiles) : null;
    return shape === null ? null : { ...shape, values: shape.values.map((value) => value * usual) };
  }

  /** Length of a JSON list of the members (uint32, little-endian), the list, the bytes of the learnt shape. */
  serialise(): Uint8Array {
    const members: Kept = [this.#lastMs, [...this.#members].map(([id, { level, steps, lastMs }]) => [id, level, steps, lastMs])];
    const text = new TextEncoder().encode(JSON.stringify(members));
    const shape = this.#shape.serialise();
    const bytes = new Uint8Array(4 + text.length + shape.length);
    new DataView(bytes.buffer).setUint32(0, text.length, true);
    bytes.set(text, 4);
    bytes.set(shape, 4 + text.length);
    return bytes;
  }

  /** Takes over what `serialise` gave; STORE_CORRUPT when it is another build's or other seasons': then nothing has changed. */
  restoreFrom(bytes: Uint8Array): void {
    const length = bytes.length >= 4 ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) : -1;
    const [lastMs, members] = keptOf(bytes.subarray(4, 4 + Math.max(0, length)));
    this.#shape = this.#factory.restore(this.#options, bytes.slice(4 + length));
    this.#lastMs = lastMs ?? Number.NEGATIVE_INFINITY;
    this.#members = new Map(members.map(([id, level, steps, seenMs]) => [id, { level, steps, lastMs: seenMs }]));
  }
}

/** Before the first step its time is null, which is what JSON makes of -Infinity. */
type Kept = [lastMs: number | null, members: [id: string, level: number, steps: number, lastMs: number][]];

function keptOf(text: Uint8Array): Kept {
  try {
    const kept: unknown = JSON.parse(new TextDecoder().decode(text));
    if (Array.isArray(kept) && Array.isArray(kept[1])) return kept as Kept;
  } catch {
    // Told below.
  }
  throw new HeadroomError('STORE_CORRUPT', "a group's joint forecast cannot be read; it is learnt anew");
}
