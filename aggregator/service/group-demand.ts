/**
 * What each group's members want together, learnt step by step as totals: a group behind a load balancer has the same work to do
 * with one member more. Input: finished steps of its members; output: forecasts of the total, per resource. Kept in the ledger's
 * store; what cannot be read back is learnt anew, and told.
 */
import { errorText } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { Forecast, Forecaster } from '../core/forecast/forecaster.ts';
import { AGGREGATE, forecasterFactory } from '../core/forecast/registry.ts';
import type { GroupResource } from '../core/plan/group-policy.ts';
import type { DemandResource } from '../core/spawn/demand-view.ts';
import { groupTotal, type MemberDemand } from '../core/spawn/group-total.ts';
import type { LedgerStore } from '../store/ledger-store.ts';

export interface GroupDemandOptions {
  ledger: LedgerStore;
  log: Logger;
  stepMs: number;
  seasonsMs: readonly number[];
}

export interface ServingMember {
  /** Its newest; null = none was finished. */
  step: MemberDemand | null;
  /** When it began to serve, UTC ms: in its first step it need not tell anything yet. Null: it leaves, and need not any more. */
  sinceMs: number | null;
}

interface Learnt {
  forecaster: Forecaster;
  /** Start of the newest step learnt, UTC ms. */
  stepMs: number;
  now: number | null;
}

const blobName = (group: string, resource: DemandResource): string => `group/${group}/${resource}`;

export class GroupDemands {
  readonly #options: GroupDemandOptions;
  readonly #learnt = new Map<string, Learnt>();

  constructor(options: GroupDemandOptions) {
    this.#options = options;
  }

  /**
   * After a step was closed. Answers whether the newest step is one that was not seen before and all members told theirs.
   * `startingMs`: how long a member is busy with its own start once it serves.
   */
  async observe(group: string, resource: GroupResource, members: readonly ServingMember[], startingMs: number): Promise<boolean> {
    const startMs = Math.max(...members.map(({ step }) => step?.startMs ?? Number.NEGATIVE_INFINITY));
    const told = members.map(({ sinceMs, step }) => ({
      step: step?.startMs === startMs ? step : null,
      mayBeSilent: sinceMs === null || sinceMs > startMs,
      starting: sinceMs !== null && sinceMs + startingMs > startMs,
    }));
    return this.learn(group, resource, startMs, groupTotal(told, resource));
  }

  /** One step's total; NaN = not known. Answers whether it is known and was not learnt before. */
  async learn(group: string, resource: DemandResource, startMs: number, total: number): Promise<boolean> {
    const learnt = await this.#of(group, resource);
    if (!Number.isFinite(startMs) || startMs <= learnt.stepMs || Number.isNaN(total)) return false;
    learnt.stepMs = startMs;
    learnt.now = total;
    learnt.forecaster.observe({ timeMs: startMs, value: total });
    return true;
  }

  now(group: string, resource: DemandResource): number | null {
    return this.#learnt.get(blobName(group, resource))?.now ?? null;
  }

  /** Null while there is nothing to say. */
  forecast(group: string, resource: DemandResource, horizons: readonly number[], quantiles: readonly number[]): Forecast | null {
    return this.#learnt.get(blobName(group, resource))?.forecaster.forecast(horizons, quantiles) ?? null;
  }

  /** What others learnt meanwhile is read when it is next asked for. */
  forget(): void {
    this.#learnt.clear();
  }

  /** Rejects when the ledger fails. */
  async checkpoint(): Promise<void> {
    for (const [name, { forecaster }] of this.#learnt) await this.#options.ledger.putBlob(name, forecaster.serialise());
  }

  async #of(group: string, resource: DemandResource): Promise<Learnt> {
    const name = blobName(group, resource);
    const known = this.#learnt.get(name);
    if (known !== undefined) return known;
    const { stepMs, seasonsMs, ledger, log } = this.#options;
    const factory = forecasterFactory(AGGREGATE);
    let forecaster = factory.create({ stepMs, seasonsMs });
    try {
      const bytes = await ledger.getBlob(name);
      if (bytes !== null) forecaster = factory.restore({ stepMs, seasonsMs }, bytes);
    } catch (error) {
      log.warn("a group's demand could not be restored and is learnt anew", { group, resource, problem: errorText(error) });
    }
    const learnt: Learnt = { forecaster, stepMs: Number.NEGATIVE_INFINITY, now: null };
    this.#learnt.set(name, learnt);
    return learnt;
  }
}
