/**
 * One plan: snapshot → plan → lint → ledger → leases and commands. Input: live state, policy, executor, ledger; output: what
 * was planned and what was struck out. Nothing is sent that is not on record; a ledger that fails ends the plan before. It
 * gives way between its parts: with thousands of hosts each takes tenths of a second, and connections wait meanwhile. The rows
 * that tell of a plan are handed over and not waited for: leases and growth must not hang on a series store that is slow.
 */
import type { HostId } from '../../shared/ids.ts';
import type { Prng } from '../../shared/prng.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import { lintPlan, withoutFindings } from '../core/lint/lint.ts';
import type { FleetSnapshot, HostGrant, LintFinding, Plan } from '../core/plan/plan.ts';
import { type PlanReport, plan } from '../core/plan/planner.ts';
import type { FleetPolicy } from '../core/plan/policy.ts';
import type { FleetState } from '../core/state/fleet-state.ts';
import { ownedPart } from '../core/state/owned-part.ts';
import { planBlocks } from '../core/state/plan-rows.ts';
import { decisionBlock } from '../core/state/series-rows.ts';
import type { Executor } from '../execute/executor.ts';
import type { VcpuOrders } from '../execute/vcpu-orders.ts';
import type { LedgerBody, LedgerStore } from '../store/ledger-store.ts';

/** Who decides and who checks: two pure functions of one snapshot. */
export interface Deciders {
  plan: typeof plan;
  lint: typeof lintPlan;
}

export const DECIDERS: Deciders = { plan, lint: lintPlan };

export interface PlanLoopOptions extends Deciders {
  nowMs: () => number;
  nowMonoMs: () => number;
  /** Lets others have their turn. */
  giveWay: () => Promise<void>;
  prng: Prng;
  epoch: number;
  /** Of our hold on a host; null = it is not ours now. */
  epochOf: (host: HostId) => number | null;
  /** Our part of what the fleet's policy allows within a time. */
  share: (policy: FleetPolicy) => FleetPolicy;
  state: FleetState;
  executor: Executor;
  vcpus: VcpuOrders;
  ledger: LedgerStore;
  send: (host: HostId, frame: FrameOf<'lease'>) => boolean;
  entryOf: (plan: Plan, findings: readonly LintFinding[], snapshot: FleetSnapshot) => LedgerBody | null;
  onPlan: (made: PlanMade, snapshot: FleetSnapshot) => void;
  /** Takes the rows that tell of the plan; whether they are stored is not our concern. */
  onRows: (blocks: TelemetryBlock[]) => void;
}

export interface PlanMade {
  plan: Plan;
  report: PlanReport;
  findings: LintFinding[];
}

export async function runPlan(options: PlanLoopOptions): Promise<void> {
  const { state, executor, ledger, giveWay } = options;
  const inForce = state.policy;
  const policy = options.share(inForce);
  const holds = new Map(state.hostIds().map((host) => [host, options.epochOf(host)]));
  const snapshot = ownedPart(state.snapshot(options.nowMs(), options.nowMonoMs()), (host) => (holds.get(host) ?? null) !== null);
  await giveWay();
  const made = options.plan(snapshot, policy, { epoch: options.epoch }, options.prng.stream(String(snapshot.nowMs)));
  await giveWay();
  const findings = options.lint(made.plan, snapshot, policy);
  await giveWay();
  // Made under rules that no longer hold: the next plan knows the new ones.
  if (state.policy !== inForce) return;
  const carriedOut = withoutFindings(made.plan, findings);
  const entry = options.entryOf(carriedOut, findings, snapshot);
  if (entry !== null) await ledger.append(snapshot.nowMs, entry);
  options.onPlan({ plan: carriedOut, report: made.report, findings }, snapshot);
  await grantLeases(options, carriedOut.grants, snapshot);
  // Either may have changed while the ledger wrote and others had their turn.
  if (!state.killSwitch && state.policy === inForce) {
    options.vcpus.execute(carriedOut, (host) => (options.epochOf(host) === holds.get(host) ? (holds.get(host) ?? null) : null));
    executor.execute(carriedOut, {
      ownEpoch: options.epoch,
      highest: (vm, resource) => state.vm(vm)?.pairs[resource],
      hostEpoch: (host) => Math.max(options.epochOf(host) ?? 0, state.host(host)?.highestEpoch ?? 0),
      leaseMs: policy.leaseMs,
      // Another may have had it in between.
      held: (host) => options.epochOf(host) === holds.get(host),
    });
  }
  options.onRows(rowsOf(snapshot, policy, carriedOut));
}

/** Leases sent at once: some 10 ms of work. */
const LEASES_PER_TURN = 250;

async function grantLeases(
  { send, state, nowMonoMs, giveWay }: PlanLoopOptions,
  grants: readonly HostGrant[],
  snapshot: FleetSnapshot,
): Promise<void> {
  const epochs = new Map(snapshot.hosts.map((host) => [host.id, host.epoch]));
  for (const [i, grant] of grants.entries()) {
    if (i % LEASES_PER_TURN === 0) await giveWay();
    const { host, reserveCores, reserveMiB, allowances } = grant;
    const sent = send(host, {
      type: 'lease',
      epoch: epochs.get(host) ?? 0,
      leaseMs: state.policy.leaseMs,
      reserveCores,
      reserveMiB,
      allowances,
    });
    if (sent) state.noteGrant(host, grant, nowMonoMs());
  }
}

function rowsOf(snapshot: FleetSnapshot, policy: FleetPolicy, plan: Plan): TelemetryBlock[] {
  const byVm = Map.groupBy(plan.steps, (step) => step.vm);
  const decisions = [...byVm].map(([vm, own]) =>
    decisionBlock(
      vm,
      plan.nowMs,
      own.map(({ resource, predictedDemand, to }) => ({ resource, predicted: predictedDemand, to })),
    ),
  );
  return [...planBlocks(snapshot, policy, plan), ...decisions];
}
