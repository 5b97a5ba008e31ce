/**
 * Tells what happened to everyone who should hear of it: ledger, event stream, log. Input: news of the live state, plans,
 * outcomes; output: entries and events. One place decides what is worth an entry and how it is worded.
 */
import type { HostId, VmId } from '../../shared/ids.ts';
import { changeNotice } from '../core/notify/change-words.ts';
import { type Loan, loanWords } from '../core/plan/loan.ts';
import type { LintFinding, Plan } from '../core/plan/plan.ts';
import type { News, VmVerdict } from '../core/state/fleet-state.ts';
import type { StepOutcome } from '../execute/executor.ts';
import type { VcpuOutcome } from '../execute/vcpu-orders.ts';
import type { FleetEvent } from '../http/service.ts';
import type { NotificationKind } from '../notify/notifier.ts';
import type { ReportTo } from './report-to.ts';
import type { ShortageChange } from './shortage-watch.ts';

const EVENT_KINDS: Readonly<Record<News['kind'], FleetEvent['kind']>> = {
  'vm-state': 'vm-state',
  'vm-new': 'vm-state',
  'vm-gone': 'vm-state',
  'foreign-writer': 'notification',
  verdict: 'notification',
  infeasible: 'notification',
  hold: 'notification',
  'agent-event': 'agent',
};

/** What of the news the VM's owner should hear. */
const NEWS_NOTIFIED: Partial<Record<News['kind'], NotificationKind>> = {
  'vm-state': 'state',
  'foreign-writer': 'hands-off',
  verdict: 'harm',
  hold: 'hands-off',
  'agent-event': 'guard',
};

export class Reporter {
  readonly #to: ReportTo;

  constructor(to: ReportTo) {
    this.#to = to;
  }

  news({ kind, vm, host, resource, message, after }: News): void {
    const nowMs = this.#to.nowMs();
    this.#to.events.add(nowMs, { kind: EVENT_KINDS[kind], vm, host, message, data: { event: kind, resource, after } });
    this.#to.queue.append(nowMs, { kind: 'event', event: kind, vm, host, resource, message, after });
    const told = NEWS_NOTIFIED[kind];
    if (vm !== null && told !== undefined)
      this.#to.notifications.add({ timeMs: nowMs, vm, kind: told, resource, message, data: { event: kind } });
    if (kind === 'foreign-writer' || kind === 'verdict') this.#to.log.warn(message, { vm, host, resource });
  }

  /** Each change's verdict is on record; what did harm is told by its news. */
  verdict({ vm, host, resource, planId, atMs, verdict, reason, judgedAtMs, before, after, vcpus }: VmVerdict): void {
    const change = { resource, ...(vcpus === undefined ? {} : { vcpus }), planId, changedAtMs: atMs };
    this.#to.queue.append(judgedAtMs, { kind: 'verdict', vm, host, ...change, verdict, reason, before, after });
  }

  agent(host: HostId, message: string): void {
    this.#to.events.add(this.#to.nowMs(), { kind: 'agent', vm: null, host, message, data: {} });
    this.#to.log.info(message, { host });
  }

  plan(plan: Plan, findings: readonly LintFinding[]): void {
    const message = `plan ${plan.id}: ${plan.steps.length} steps, ${plan.notDone.length} things not done`;
    const data = { planId: plan.id, steps: plan.steps.length, notDone: plan.notDone.length, lint: findings.length };
    this.#to.events.add(plan.nowMs, { kind: 'plan', vm: null, host: null, message, data });
    for (const finding of findings) this.#to.log.error('the lint struck out a step of our own planner', { plan: plan.id, ...finding });
  }

  outcome(ended: StepOutcome): void {
    const nowMs = this.#to.nowMs();
    const { planId, commandId, step, outcome, reason, readBack } = ended;
    const { vm, host, resource, from } = step;
    this.#to.queue.append(nowMs, {
      kind: 'outcome',
      planId,
      commandId,
      vm,
      host,
      resource,
      outcome,
      reason,
      before: from,
      after: readBack,
    });
    if (readBack !== null) this.#to.queue.allocate(vm, host, readBack, nowMs);
    const data = { planId, commandId, resource, outcome, reason, before: from, target: step.to, after: readBack };
    const words = outcome === 'applied' ? step.reason : `${resource} not changed (${outcome}): ${reason}`;
    const message = `${step.vmName}: ${words}`;
    this.#to.events.add(nowMs, { kind: 'outcome', vm, host, message, data });
    this.#to.notifications.add({
      ...{ timeMs: nowMs, vm, resource },
      kind: outcome === 'applied' ? 'change' : 'not-changed',
      message: outcome === 'applied' ? changeNotice(step, nowMs) : words,
      data: { planId, before: from, after: readBack, outcome },
    });
    if (outcome === 'applied') this.#to.events.add(nowMs, { kind: 'notification', vm, host, message, data: { planId, resource } });
    else this.#to.log.info(message, { plan: planId, vm, host });
  }

  /** Of vCPUs on and offline: the guest's own answer, which its owner hears of like of any change. */
  vcpus({ planId, commandId, step, outcome, reason, online }: VcpuOutcome): void {
    const nowMs = this.#to.nowMs();
    const { vm, host, vmName, from, to, of } = step;
    const applied = outcome === 'applied';
    const words = applied ? step.reason : `number of vCPUs not changed (${outcome}): ${reason}`;
    const data = { event: 'vcpus-online', planId, commandId, outcome, reason, before: from, target: to, after: online, of };
    const message = `${vmName}: ${words}`;
    const told = `${message} (${outcome}; ${from} to ${to} of ${of} vCPUs${online === null ? '' : `, ${online} online by the guest's word`})`;
    const vcpus = { planId, from, to, of, online, outcome, reason: words };
    this.#to.queue.append(nowMs, { kind: 'event', event: 'vcpus-online', vm, host, resource: 'cpu', message: told, after: null, vcpus });
    this.#to.events.add(nowMs, { kind: 'outcome', vm, host, message, data });
    this.#to.notifications.add({ timeMs: nowMs, vm, resource: 'cpu', kind: applied ? 'change' : 'not-changed', message: words, data });
    if (!applied) this.#to.log.info(message, { plan: planId, vm, host });
  }

  /** A loan changed its state: both VMs' owners hear of it, the ledger keeps it whole. */
  loan(loan: Loan): void {
    const nowMs = this.#to.nowMs();
    const { resource, host, lender, borrower } = loan;
    this.#to.queue.append(nowMs, { kind: 'loan', loan });
    const message = `${loan.lenderName}: ${loanWords(loan, 'lender')}`;
    this.#to.events.add(nowMs, { kind: 'notification', vm: lender, host, message, data: { event: 'loan', loan } });
    for (const [vm, side] of [
      [lender, 'lender'],
      [borrower, 'borrower'],
    ] as const) {
      this.#to.notifications.add({ timeMs: nowMs, vm, kind: 'loan', resource, message: loanWords(loan, side), data: { loan } });
    }
    this.#to.log.info(message, { loan: loan.id, state: loan.state });
  }

  /** Nothing that Headroom may do itself settles it: somebody has to know. */
  shortage({ change, shortage }: ShortageChange): void {
    const { vm, vmName, host, resource, measures } = shortage;
    const words =
      change === 'over'
        ? `${resource} is no longer short on host ${host}`
        : `${resource} is short on host ${host}: ${measures.map((measure) => `${measure.kind}: ${measure.words}`).join('; ')}`;
    const nowMs = this.#to.nowMs();
    const data = { event: 'shortage', change, shortage };
    this.#to.events.add(nowMs, { kind: 'notification', vm, host, message: `${vmName}: ${words}`, data });
    this.#to.queue.append(nowMs, { kind: 'event', event: `shortage-${change}`, vm, host, resource, message: words, after: null });
    this.#to.notifications.add({ timeMs: nowMs, vm, kind: 'shortage', resource, message: words, data: { change, shortage } });
    if (change === 'alert') this.#to.log.warn(`${vmName}: ${words}`, { vm, host });
  }

  operator(vm: VmId | null, host: HostId | null, message: string, kind: 'operator' | 'policy', data: Record<string, unknown>): void {
    this.#to.events.add(this.#to.nowMs(), { kind, vm, host, message, data });
    this.#to.log.info(message, data);
  }
}
