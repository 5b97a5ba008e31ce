/**
 * How well a VM's service level agreements were kept. Input: finished steps of demand and what was granted, policy; output: steps
 * met over each agreement's window. Counted where demand and grant are both known.
 */
import type { Resource, Setting } from '../../../shared/resources.ts';
import { headline } from '../plan/plan.ts';
import type { FleetPolicy } from '../plan/policy.ts';
import { Attainment, type Kept } from './attainment.ts';
import type { DemandPoint } from './demand.ts';

type Matched = Parameters<NonNullable<FleetPolicy['slas']>[number]['matches']>[0];
type Saved = Record<string, ReturnType<Attainment['toJSON']>>;

export class Agreements {
  /** By the agreement's name. */
  readonly #attainment = new Map<string, Attainment>();

  /** Was what is granted enough in this step? */
  closeStep(
    { slas = [] }: Pick<FleetPolicy, 'slas'>,
    vm: Matched,
    startMs: number,
    points: Readonly<Record<Resource, DemandPoint>>,
    granted: Partial<Record<Resource, Setting>>,
  ): void {
    for (const { name, resource, windowMs, matches } of slas) {
      const { value, suppressed } = points[resource];
      const setting = granted[resource];
      if (value === null || setting === undefined || !matches(vm)) continue;
      const known = this.#of(name, windowMs);
      known.setWindow(windowMs);
      known.add(startMs, !suppressed && value <= headline(setting, Number.POSITIVE_INFINITY));
    }
  }

  /** Of one agreement, over its window. */
  kept(name: string, nowMs: number): Kept {
    return this.#attainment.get(name)?.kept(nowMs) ?? { steps: 0, met: 0, sinceMs: null };
  }

  toJSON(): Saved {
    return Object.fromEntries([...this.#attainment].map(([name, each]) => [name, each.toJSON()]));
  }

  /** Agreements that the policy no longer has are not taken over. */
  restore(saved: Saved, { slas = [] }: Pick<FleetPolicy, 'slas'>): void {
    for (const { name, windowMs } of slas) this.#of(name, windowMs).restore(saved[name] ?? []);
  }

  #of(name: string, windowMs: number): Attainment {
    const known = this.#attainment.get(name) ?? new Attainment(windowMs);
    this.#attainment.set(name, known);
    return known;
  }
}
