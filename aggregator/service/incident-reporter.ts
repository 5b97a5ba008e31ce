/**
 * Tells of incidents and of what is done about them: ledger, event stream, notifications, log. Input: what happened; output:
 * entries in one wording. What is done to a VM is always written down; what is seen only when somebody is to be told.
 */
import type { HostId, VmId } from '../../shared/ids.ts';
import type { VmAction } from '../../shared/protocol/vm-action-frames.ts';
import type { Outcome } from '../../shared/resources.ts';
import type { Feedback } from '../core/anomaly/feedback.ts';
import type { FleetChange } from '../core/anomaly/fleet-incidents.ts';
import type { KnownEvent } from '../core/anomaly/known-events.ts';
import type { IncidentView } from '../http/service.ts';
import type { ReportTo } from './report-to.ts';

const DONE: Readonly<Record<VmAction, string>> = {
  isolate: 'cut off its network',
  release: 'network given back',
  restart: 'restarted',
};

export class IncidentReporter {
  readonly #to: ReportTo;

  constructor(to: ReportTo) {
    this.#to = to;
  }

  /** Only what somebody is to be told of: the rest is in the list of incidents. */
  incident({ change, alert, together, news }: FleetChange, incident: IncidentView): void {
    if (!alert || (change === 'updated' && news === undefined)) return;
    const { vmName, host, kind, cause } = incident;
    const vm = incident.vm as VmId;
    const others = together.length > 1 ? ` (with ${together.length - 1} other VMs of ${host})` : '';
    const since = news === undefined ? '' : ` (${news})`;
    const words = change === 'closed' ? `${kind} is over` : `${kind}: ${cause}${since}${others}`;
    const nowMs = this.#to.nowMs();
    const data = { event: 'incident', change, incident };
    this.#to.events.add(nowMs, { kind: 'notification', vm, host: host as HostId, message: `${vmName}: ${words}`, data });
    this.#to.queue.append(nowMs, {
      kind: 'event',
      event: `incident-${change}`,
      vm,
      host: host as HostId,
      resource: null,
      message: words,
      after: null,
    });
    this.#to.notifications.add({ timeMs: nowMs, vm, kind: 'anomaly', resource: null, message: words, data });
    this.#to.log.warn(`${vmName}: ${words}`, { vm, host });
  }

  action(vm: VmId, host: HostId, action: VmAction, { outcome, reason }: { outcome: Outcome | 'asked'; reason: string }): void {
    const nowMs = this.#to.nowMs();
    const words = outcome === 'applied' ? `${DONE[action]}${reason === '' ? '' : `: ${reason}`}` : `${action} ${outcome}: ${reason}`;
    this.#to.queue.append(nowMs, {
      kind: 'event',
      event: `vm-action-${outcome}`,
      vm,
      host,
      resource: null,
      message: words.slice(0, 1024),
      after: null,
    });
    this.#to.events.add(nowMs, { kind: 'notification', vm, host, message: words, data: { event: 'vm-action', action, outcome } });
    if (outcome !== 'asked')
      this.#to.notifications.add({ timeMs: nowMs, vm, kind: 'anomaly', resource: null, message: words, data: { action, outcome } });
    this.#to.log.warn(words, { vm, host, action, outcome });
  }

  judged({ id, vm, host, vmName, kind }: IncidentView, feedback: Feedback, by: string): void {
    const nowMs = this.#to.nowMs();
    const message = `${kind} of ${vmName} was said to be ${feedback} by ${by}`;
    this.#to.queue.append(nowMs, { kind: 'operator', action: `anomaly feedback: ${feedback}`, by, target: id, reason: message });
    this.#to.events.add(nowMs, {
      kind: 'operator',
      vm: vm as VmId,
      host: host as HostId,
      message,
      data: { event: 'feedback', id, feedback, by },
    });
  }

  knownEvent({ vm, fromMs, toMs, why }: KnownEvent, by: string): void {
    const nowMs = this.#to.nowMs();
    const message = `known event of ${vm === null ? 'every VM' : vm} by ${by}: ${why}`;
    this.#to.queue.append(nowMs, { kind: 'operator', action: 'known event', by, target: vm ?? 'fleet', reason: why });
    this.#to.events.add(nowMs, {
      kind: 'operator',
      vm: vm as VmId | null,
      host: null,
      message,
      data: { event: 'known-event', fromMs, toMs, why },
    });
  }
}
