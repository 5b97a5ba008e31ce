/**
 * What the policy only recommends, and people's leave to do it. Input: the latest plan, who approves of what; output: approvals for
 * the next plan, which is made at once, and what waits for somebody. An approval is on record before it counts, covers one change as
 * far as it was seen, and lapses. A change can be taken back the same way.
 */
import { HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { Resource, Setting } from '../../shared/resources.ts';
import { takes } from '../core/lint/lint-rule.ts';
import type { Approval, VcpuApproval } from '../core/plan/approval.ts';
import type { PlanStep, VcpuStep } from '../core/plan/plan.ts';
import type { VmRecord } from '../core/state/vm-record.ts';
import type { RecommendationView, TakenBack, VcpuNumber } from '../http/service.ts';
import type { Parts } from './parts.ts';

/** Long enough for several plans, short enough that nothing happens when nobody thinks of it any more. */
const APPROVAL_MS = 10 * 60_000;

type DeskParts = Pick<Parts, 'state' | 'ledger' | 'reporter' | 'time' | 'latestPlan'>;

export class RecommendationDesk {
  readonly #parts: DeskParts;
  readonly #planNow: () => void;

  /** `planNow`: a plan is made without waiting for its turn. */
  constructor(parts: DeskParts, planNow: () => void) {
    this.#parts = parts;
    this.#planNow = planNow;
  }

  current(): RecommendationView[] {
    return [...this.#ofResources(), ...this.#ofVcpus()];
  }

  #ofResources(): RecommendationView[] {
    const { state, latestPlan } = this.#parts;
    const plan = latestPlan()?.plan;
    return (plan?.notDone ?? []).flatMap(({ vm, resource, constraint, reason, wouldBe }) => {
      const record = state.vm(vm);
      const from = record?.current[resource];
      if (constraint !== 'mode' || wouldBe === null || record === undefined || from === undefined) return [];
      const { name: vmName, host } = record.matched;
      const direction = takes(from, wouldBe) ? ('shrink' as const) : ('grow' as const);
      const approval = this.#approvalOf(vm, resource);
      const id = `${vm}.${resource}`;
      return [{ id, vm, vmName, host, resource, direction, from, to: wouldBe, reason, planId: plan!.id, atMs: plan!.nowMs, approval }];
    });
  }

  /** Those whose number is still what it was when the plan was made. */
  #ofVcpus(): RecommendationView[] {
    const { state, latestPlan } = this.#parts;
    const plan = latestPlan()?.plan;
    return (plan?.vcpusRecommended ?? []).flatMap(({ vm, vmName, host, from, to, reason }) => {
      if (state.vm(vm)?.vcpus.online !== from) return [];
      const about = { id: `${vm}.vcpus`, vm, vmName, host, resource: 'vcpus', direction: 'shrink' } as const;
      const leave = this.#leaves().find((each) => each.vm === vm);
      const approval = leave === undefined ? null : { by: leave.by, atMs: leave.atMs, untilMs: leave.untilMs, to: numberOf(leave.to) };
      return [{ ...about, from: numberOf(from), to: numberOf(to), reason, planId: plan!.id, atMs: plan!.nowMs, approval }];
    });
  }

  /** `to`: as far as this, null = as recommended now. Throws NOT_FOUND when it is recommended no longer, CONFLICT when the other way round is. */
  async approve(id: string, to: Setting | VcpuNumber | null, by: string, dryRun: boolean): Promise<RecommendationView> {
    const { time } = this.#parts;
    const found = this.current().find((each) => each.id === id);
    if (found === undefined)
      throw new HeadroomError('NOT_FOUND', `nothing like "${id}" is recommended now; GET /v1/recommendations lists what is`);
    const asked = to ?? found.to;
    if (directionOf(found.from, asked) !== found.direction)
      throw new HeadroomError(
        'CONFLICT',
        `by now a ${found.direction} of ${found.resource} is recommended: ${found.reason}; look at it again`,
      );
    const { vm, resource, direction } = found;
    const leave = { vm, by, atMs: time.nowMs(), untilMs: time.nowMs() + APPROVAL_MS };
    const view = { ...found, approval: { by, atMs: leave.atMs, untilMs: leave.untilMs, to: asked } };
    if (dryRun) return view;
    await this.#onRecord('approve', vm, resource, by, found.reason);
    this.#give(leave, direction, asked);
    this.#parts.reporter.operator(vm, found.host, `${found.vmName}: approved by ${by}: ${found.reason}`, 'operator', { by, resource });
    this.#planNow();
    return view;
  }

  #give(leave: Omit<VcpuApproval, 'to'>, direction: Approval['direction'], to: Setting | VcpuNumber): void {
    const { state } = this.#parts;
    const { vm } = leave;
    if (to.resource === 'vcpus') state.vcpuApprovals = [...this.#leaves().filter((each) => each.vm !== vm), { ...leave, to: to.online }];
    else state.approvals = [...this.#others(vm, to.resource), { ...leave, resource: to.resource, direction, to }];
  }

  /** Gives back what the last shrink took. Throws NOT_FOUND, CONFLICT when the last change was no shrink. */
  async takeBack(vm: VmId, resource: Resource | 'vcpus', by: string, dryRun: boolean): Promise<TakenBack> {
    const { state, time, reporter } = this.#parts;
    const record = state.vm(vm);
    if (record === undefined) throw new HeadroomError('NOT_FOUND', `no VM ${vm} is known`);
    const given = resource === 'vcpus' ? takenVcpus(record.vcpus) : takenOf(record, resource);
    if (given === null)
      throw new HeadroomError(
        'CONFLICT',
        `the last change of ${resource} of ${record.matched.name} was no shrink: there is nothing to give back`,
      );
    const taken: TakenBack = { vm, vmName: record.matched.name, resource, ...given, dryRun };
    if (dryRun) return taken;
    await this.#onRecord('rollback', vm, resource, by, `the change of ${new Date(given.changedAtMs).toISOString()} is taken back`);
    const nowMs = time.nowMs();
    const why = `taken back by ${by}`;
    // What brings vCPUs back needs no leave.
    if (resource === 'vcpus') record.vcpus.takeBack(why, nowMs);
    else record.verdicts.takeBack(resource, why, nowMs);
    if (given.to.resource !== 'vcpus') this.#give({ vm, by, atMs: nowMs, untilMs: nowMs + APPROVAL_MS }, 'grow', given.to);
    reporter.operator(vm, record.host, `${record.matched.name}: ${by} takes back the last shrink of ${resource}`, 'operator', {
      by,
      resource,
    });
    this.#planNow();
    return taken;
  }

  /** A step came to its end: what it was approved for is done with. */
  ended({ vm, resource, approvedBy }: PlanStep): void {
    if (approvedBy !== undefined) this.#parts.state.approvals = this.#others(vm, resource);
  }

  endedVcpus({ vm, approvedBy }: VcpuStep): void {
    if (approvedBy !== undefined) this.#parts.state.vcpuApprovals = this.#leaves().filter((each) => each.vm !== vm);
  }

  /** About vCPUs, in force. */
  #leaves(): VcpuApproval[] {
    const nowMs = this.#parts.time.nowMs();
    return this.#parts.state.vcpuApprovals.filter(({ untilMs }) => untilMs > nowMs);
  }

  #others(vm: VmId, resource: Resource): Approval[] {
    const nowMs = this.#parts.time.nowMs();
    return this.#parts.state.approvals.filter((each) => each.untilMs > nowMs && (each.vm !== vm || each.resource !== resource));
  }

  #approvalOf(vm: VmId, resource: Resource): RecommendationView['approval'] {
    const nowMs = this.#parts.time.nowMs();
    const found = this.#parts.state.approvals.find((each) => each.vm === vm && each.resource === resource && each.untilMs > nowMs);
    return found === undefined ? null : { by: found.by, atMs: found.atMs, untilMs: found.untilMs, to: found.to };
  }

  async #onRecord(action: string, vm: VmId, resource: Resource | 'vcpus', by: string, reason: string): Promise<void> {
    await this.#parts.ledger.append(this.#parts.time.nowMs(), { kind: 'operator', action, by, target: `vm ${vm} ${resource}`, reason });
  }
}

type Given = Pick<TakenBack, 'from' | 'to' | 'changedAtMs'>;

function takenOf({ verdicts, current }: VmRecord, resource: Resource): Given | null {
  const [change, from] = [verdicts.lastShrink(resource), current[resource]];
  return change === null || from === undefined ? null : { from, to: change.from, changedAtMs: change.atMs };
}

/** Null, too, where they are back already. */
function takenVcpus({ lastTaken, online }: VmRecord['vcpus']): Given | null {
  if (lastTaken === null || online === null || online >= lastTaken.from) return null;
  return { from: numberOf(online), to: numberOf(lastTaken.from), changedAtMs: lastTaken.atMs };
}

function numberOf(online: number): VcpuNumber {
  return { resource: 'vcpus', online };
}

/** Null: they are not of one kind. */
function directionOf(from: Setting | VcpuNumber, to: Setting | VcpuNumber): Approval['direction'] | null {
  if (from.resource === 'vcpus') return to.resource !== 'vcpus' ? null : to.online < from.online ? 'shrink' : 'grow';
  if (to.resource === 'vcpus' || from.resource !== to.resource) return null;
  return takes(from, to) ? 'shrink' : 'grow';
}
