/**
 * Tells of incidents and of what is done about them: ledger, event stream, notifications, log. Input: what happened; output:
 * entries in one wording. What is done to a VM is always written down; what is seen only when somebody is to be told.
 */
import type { HostId, VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import type { VmAction } from '../../shared/protocol/vm-action-frames.ts';
import type { Outcome } from '../../shared/resources.ts';
import type { Feedback } from '../core/anomaly/feedback.ts';
import type { FleetChange } from '../core/anomaly/fleet-incidents.ts';
import type { KnownEvent } from '../core/anomaly/known-events.ts';
import type { IncidentView } from '../http/service.ts';
import type { EventLog } from './event-log.ts';
import type { LedgerQueue } from './ledger-queue.ts';
import type { NotificationLog } from './notification-log.ts';

const DONE: Readonly<Record<VmAction, string>> = {
  isolate: 'cut off its network',
  release: 'network given back',
  restart: 'restarted',
};

export class IncidentReporter {
  readonly #events: EventLog;
  readonly #queue: LedgerQueue;
  readonly #notifications: NotificationLog;
  readonly #log: Logger;
  readonly #nowMs: () => number;

  constructor(events: EventLog, queue: LedgerQueue, notifications: NotificationLog, log: Logger, nowMs: () => number) {
    this.#events = events;
    this.#queue = queue;
    this.#notifications = notifications;
    this.#log = log;
    this.#nowMs = nowMs;
  }

  /** Only what somebody is to be told of: the rest is in the list of incidents. */
  incident({ change, alert, together }: FleetChange, incident: IncidentView): void {
    if (!alert || change === 'updated') return;
    const { vmName, host, kind, cause } = incident;
    const vm = incident.vm as VmId;
    const others = together.length > 1 ? ` (with ${together.length - 1} other VMs of ${host})` : '';
    const words = change === 'closed' ? `${kind} is over` : `${kind}: ${cause}${others}`;
    const nowMs = this.#nowMs();
    const data = { event: 'incident', change, incident };
    this.#events.add(nowMs, { kind: 'notification', vm, host: host as HostId, message: `${vmName}: ${words}`, data });
    this.#queue.append(nowMs, {
      kind: 'event',
      event: `incident-${change}`,
      vm,
      host: host as HostId,
      resource: null,
      message: words,
      after: null,
    });
    this.#notifications.add({ timeMs: nowMs, vm, kind: 'anomaly', resource: null, message: words, data });
    this.#log.warn(`${vmName}: ${words}`, { vm, host });
  }

  action(vm: VmId, host: HostId, action: VmAction, { outcome, reason }: { outcome: Outcome | 'asked'; reason: string }): void {
    const nowMs = this.#nowMs();
    const words = outcome === 'applied' ? `${DONE[action]}${reason === '' ? '' : `: ${reason}`}` : `${action} ${outcome}: ${reason}`;
    this.#queue.append(nowMs, {
      kind: 'event',
      event: `vm-action-${outcome}`,
      vm,
      host,
      resource: null,
      message: words.slice(0, 1024),
      after: null,
    });
    this.#events.add(nowMs, { kind: 'notification', vm, host, message: words, data: { event: 'vm-action', action, outcome } });
    if (outcome !== 'asked')
      this.#notifications.add({ timeMs: nowMs, vm, kind: 'anomaly', resource: null, message: words, data: { action, outcome } });
    this.#log.warn(words, { vm, host, action, outcome });
  }

  judged({ id, vm, host, vmName, kind }: IncidentView, feedback: Feedback, by: string): void {
    const nowMs = this.#nowMs();
    const message = `${kind} of ${vmName} was said to be ${feedback} by ${by}`;
    this.#queue.append(nowMs, { kind: 'operator', action: `anomaly feedback: ${feedback}`, by, target: id, reason: message });
    this.#events.add(nowMs, {
      kind: 'operator',
      vm: vm as VmId,
      host: host as HostId,
      message,
      data: { event: 'feedback', id, feedback, by },
    });
  }

  knownEvent({ vm, fromMs, toMs, why }: KnownEvent, by: string): void {
    const nowMs = this.#nowMs();
    const message = `known event of ${vm === null ? 'every VM' : vm} by ${by}: ${why}`;
    this.#queue.append(nowMs, { kind: 'operator', action: 'known event', by, target: vm ?? 'fleet', reason: why });
    this.#events.add(nowMs, {
      kind: 'operator',
      vm: vm as VmId | null,
      host: null,
      message,
      data: { event: 'known-event', fromMs, toMs, why },
    });
  }
}
