/** The aggregator as its faces read and steer it: views of live state, decisions and logs, policies and kill switches. */
import type { VmId } from '../../shared/ids.ts';
import type { AggregatorService, VmView } from '../http/service.ts';
import type { KillSwitchDesk } from './kill-switch-desk.ts';
import type { Parts } from './parts.ts';
import type { PolicyDesk } from './policy-desk.ts';
import type { RecommendationDesk } from './recommendation-desk.ts';
import { hostViews, vmView } from './views.ts';

export interface Desks {
  policies: PolicyDesk;
  killSwitches: KillSwitchDesk;
  recommendations: RecommendationDesk;
  metrics: () => Record<string, number>;
}

/**
 * A store that has not answered since the start is a start that is not over. Later it may be away for a while: hosts are
 * looked after, agents keep their rows, and taking us from behind a load balancer would cost them that.
 */
function readiness({ latestPlan, series }: Parts): { ready: boolean; reason: string } {
  if (latestPlan() === null) return { ready: false, reason: 'no plan was made yet' };
  const trouble = series.trouble?.() ?? null;
  return { ready: trouble?.unopened !== true, reason: trouble === null ? '' : `telemetry is not stored now: ${trouble.problem}` };
}

export function createService(parts: Parts, desks: Desks): AggregatorService {
  const {
    clock,
    time,
    series,
    ledger,
    version,
    epoch,
    state,
    decisions,
    policies,
    events,
    notifications,
    anomalies,
    credentials,
    snapshot,
  } = parts;
  const view = (id: VmId): VmView | null => {
    const record = state.vm(id);
    const nowMs = time.nowMs();
    const vm = record?.snapshot(state.policy, nowMs, clock.monotonicMs());
    return record && vm ? vmView(vm, record, state.policy, decisions, nowMs) : null;
  };
  return {
    version,
    startedAtMs: time.nowMs(),
    epoch,
    spawning: parts.spawning.service,
    suspending: parts.suspending.desk,
    series,
    ledger,
    snapshot,
    nowMs: () => time.nowMs(),
    ready: () => readiness(parts),
    hosts: () => hostViews(snapshot()),
    vms: () => state.vmIds().flatMap((id) => view(id) ?? []),
    vm: view,
    plans: (limit) => decisions.plans(limit),
    plan: (id) => decisions.plan(id),
    policies: () => policies.view(),
    applyPolicies: (source, by, applying) => desks.policies.apply(source, by, applying),
    policyVersions: (limit, before) => policies.versions(limit, before),
    policyVersion: (wanted) => policies.version(wanted),
    recommendations: () => desks.recommendations.current(),
    approve: (id, to, by, dryRun) => desks.recommendations.approve(id, to, by, dryRun),
    takeBack: (vm, resource, by, dryRun) => desks.recommendations.takeBack(vm, resource, by, dryRun),
    incidents: () => anomalies.incidents(),
    judgeIncident: (id, feedback, by, dryRun) => anomalies.judge(id, feedback, by, dryRun),
    addKnownEvent: (event, by) => anomalies.addKnownEvent(event, by),
    releaseVm: (vm, by, dryRun) => anomalies.release(vm, by, dryRun),
    slas: () => state.slas(time.nowMs()),
    capacity: () => parts.capacity.views(snapshot()),
    loans: () => state.loans.all(),
    shortages: () => parts.shortages.current(),
    setKillSwitch: (scope, engaged, by, reason) => desks.killSwitches.set(scope, engaged, by, reason),
    notifications: {
      recent: (vm, limit) => notifications.recent(vm, limit),
      subscribe: (vm, listener) => notifications.subscribe(vm, listener),
    },
    events: { recent: (limit) => events.recent(limit), subscribe: (listener) => events.subscribe(listener) },
    askForLogin: (vm, publicKey, by, dryRun) => credentials.request(vm, publicKey, by, dryRun),
    login: (vm, id) => credentials.view(vm, id),
    ledgerEntries: (query) => ledger.entries(query),
    metrics: desks.metrics,
  };
}
