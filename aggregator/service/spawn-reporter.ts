/** Tells of VMs that are made, serve, and go: event stream, the VM's notifications (and webhooks by them), log. One wording. */
import type { Logger } from '../../shared/log.ts';
import type { SpawnChange } from '../core/spawn/spawn-book.ts';
import type { SpawnPhase, SpawnRecord } from '../core/spawn/spawn-record.ts';
import type { EventLog } from './event-log.ts';
import type { NotificationLog } from './notification-log.ts';

export class SpawnReporter {
  readonly #events: EventLog;
  readonly #notifications: NotificationLog;
  readonly #log: Logger;

  constructor(events: EventLog, notifications: NotificationLog, log: Logger) {
    this.#events = events;
    this.#notifications = notifications;
    this.#log = log;
  }

  /** `deadlineMs`: of a drain, UTC ms. */
  changed({ before, after, reason }: SpawnChange, nowMs: number, deadlineMs: number): void {
    const { vm, host, group, template, name } = before;
    const phase = after?.phase ?? 'gone';
    const data = { event: 'group', group, template, host, name, phase, reason, ...(phase === 'draining' ? { deadlineMs } : {}) };
    const message = wordsOf(before, after, reason, Math.max(0, deadlineMs - nowMs));
    this.#events.add(nowMs, { kind: 'notification', vm, host, message: `${name}: ${message}`, data });
    this.#notifications.add({ timeMs: nowMs, vm, kind: 'group', resource: null, message, data });
    if (after?.failed === true && !before.failed) this.#log.warn(`${name}: ${message}`, { vm, host, group });
    else this.#log.info(`${name}: ${message}`, { vm, host, group });
  }

  /** What should be done about a group, and is not. */
  notDone(group: string, desired: string, reason: string): void {
    this.#log.info(`group ${group}: ${desired}; not done: ${reason}`, { group });
  }
}

const WORDS: Readonly<Record<SpawnPhase, string>> = {
  building: 'it is made',
  booting: 'it boots',
  serving: 'in service',
  draining: 'it is no longer needed',
  stopping: 'it is asked to shut down',
  stopped: 'it has shut down',
  removing: 'it is removed',
};

function wordsOf(before: SpawnRecord, after: SpawnRecord | null, reason: string, leftMs: number): string {
  if (after === null) return `nothing is left of it: ${reason}`;
  const words = after.phase === 'serving' && before.phase !== 'booting' ? 'in service again' : WORDS[after.phase];
  const deadline = after.phase === 'draining' ? `; whoever uses it has ${Math.round(leftMs / 1000)} s to leave` : '';
  return `${words} (group ${after.group}): ${reason}${deadline}`;
}
