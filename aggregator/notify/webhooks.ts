/**
 * Notifications to webhooks: signed, retried with jittered back-off, each target with a bounded queue of its own, so that one
 * that hangs delays no other. Input: notifications; output: POSTs, counters. At least once each: the id tells repetitions.
 *
 * The signature: header `headroom-signature: t=SECONDS,v1=HEX`, HMAC-SHA256 over `SECONDS.BODY` with the target's secret; the time
 * is signed along, so that an old message cannot be sent again unnoticed.
 */
import { createHmac } from 'node:crypto';
import { backoffMs } from '../../shared/backoff.ts';
import { type Clock, sleep } from '../../shared/clock.ts';
import { errorText, HeadroomError, isHeadroomError } from '../../shared/errors.ts';
import type { Prng } from '../../shared/prng.ts';
import { compileSelector } from '../core/plan/policy-match.ts';
import type { PolicySelector } from '../core/plan/policy-schema.ts';
import { alertmanagerMessage } from './alertmanager.ts';
import type { Post } from './http-post.ts';
import type { Notification, NotificationKind, Notifier } from './notifier.ts';

export interface WebhookTarget {
  url: string;
  secret: string;
  /** Which VMs; an empty selector means every one. */
  match: PolicySelector;
  /** Null = all. */
  kinds: readonly NotificationKind[] | null;
  /** Absent = headroom. */
  format?: WebhookFormat;
}

/** `alertmanager`: incidents alone, as Prometheus' Alertmanager tells its receivers. */
export const WEBHOOK_FORMATS = ['headroom', 'alertmanager'] as const;
export type WebhookFormat = (typeof WEBHOOK_FORMATS)[number];

export interface WebhookOptions {
  targets: readonly WebhookTarget[];
  post: Post;
  clock: Clock;
  prng: Prng;
  onProblem: (message: string) => void;
}

/** Waiting for one target: hours of a busy tenant; then the oldest go. */
const QUEUE_MAX = 1000;
/** With the back-off below about ten minutes: longer than a restart, shorter than anyone still cares. */
const ATTEMPTS_MAX = 8;
const BACKOFF = { baseMs: 1000, capMs: 300_000 };
/** These say that it will never be taken; the others may pass. */
const FINAL_STATUSES = new Set([400, 401, 403, 404, 405, 410, 413, 415, 422]);

export function signature(secret: string, seconds: number, body: string): string {
  return `t=${seconds},v1=${createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')}`;
}

interface Lane {
  target: WebhookTarget;
  matches: ReturnType<typeof compileSelector>;
  queue: Notification[];
  running: boolean;
}

export class Webhooks implements Notifier {
  readonly #options: WebhookOptions;
  readonly #lanes: Lane[];
  readonly counters = { delivered: 0, retried: 0, refused: 0, failed: 0, dropped: 0 };
  #stopped = false;

  constructor(options: WebhookOptions) {
    this.#options = options;
    this.#lanes = options.targets.map((target) => ({ target, matches: compileSelector(target.match), queue: [], running: false }));
  }

  notify(notification: Notification, labels: Readonly<Record<string, string>>, host: string): void {
    if (this.#stopped) return;
    for (const lane of this.#lanes) {
      const { kinds } = lane.target;
      const about = { id: notification.vm, name: notification.vmName, host: host as never, labels };
      if ((kinds !== null && !kinds.includes(notification.kind)) || !lane.matches(about)) continue;
      if (bodyOf(lane.target, notification) === null) continue;
      lane.queue.push(notification);
      if (lane.queue.length > QUEUE_MAX) {
        lane.queue.shift();
        this.counters.dropped++;
      }
      if (!lane.running) void this.#drain(lane);
    }
  }

  metrics(): Record<string, number> {
    const waiting = this.#lanes.reduce((sum, { queue }) => sum + queue.length, 0);
    const counted = Object.entries(this.counters).map(([name, count]) => [`webhooks_${name}_total`, count]);
    return { ...Object.fromEntries(counted), webhooks_waiting: waiting };
  }

  /** What waits is given up; what is under way ends by itself. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const lane of this.#lanes) {
      this.counters.dropped += lane.queue.length;
      lane.queue.length = 0;
    }
  }

  async #drain(lane: Lane): Promise<void> {
    lane.running = true;
    try {
      for (let next = lane.queue.shift(); next !== undefined; next = lane.queue.shift()) await this.#deliver(lane.target, next);
    } finally {
      // In one turn with the look at what waits: whoever comes next begins anew.
      lane.running = false;
    }
  }

  async #deliver(target: WebhookTarget, notification: Notification): Promise<void> {
    const { clock, prng, onProblem } = this.#options;
    for (let attempt = 0; !this.#stopped; attempt++) {
      const problem = await this.#attempt(target, notification);
      if (problem === null) {
        this.counters.delivered++;
        return;
      }
      if (problem.final || attempt + 1 >= ATTEMPTS_MAX) {
        this.counters[problem.final ? 'refused' : 'failed']++;
        onProblem(`notification ${notification.id} was not taken by ${new URL(target.url).host}: ${problem.what}`);
        return;
      }
      this.counters.retried++;
      await sleep(clock, backoffMs(attempt, BACKOFF, prng));
    }
    this.counters.dropped++;
  }

  async #attempt({ url, secret, format }: WebhookTarget, notification: Notification): Promise<{ what: string; final: boolean } | null> {
    const { post, clock } = this.#options;
    const body = JSON.stringify(bodyOf({ format: format ?? 'headroom' }, notification));
    const headers = {
      'content-type': 'application/json',
      'user-agent': 'headroom',
      'headroom-delivery': String(notification.id),
      'headroom-signature': signature(secret, Math.floor(clock.wallMs() / 1000), body),
    };
    try {
      const status = await post(url, headers, body);
      return status >= 200 && status < 300 ? null : { what: `it answered ${status}`, final: FINAL_STATUSES.has(status) };
    } catch (error) {
      return { what: errorText(error), final: isHeadroomError(error, 'PERMISSION') };
    }
  }
}

/** Null: not for this target. */
function bodyOf({ format }: Pick<WebhookTarget, 'format'>, notification: Notification): object | null {
  return format === 'alertmanager' ? alertmanagerMessage(notification) : notification;
}

/** Throws CONFIG_INVALID for what is no http(s) address, or has a name and password in it. */
export function checkWebhookUrl(url: string): void {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (!parsed || !/^https?:$/.test(parsed.protocol) || parsed.username !== '') {
    throw new HeadroomError(
      'CONFIG_INVALID',
      `"${url}" is no address for a webhook; it must be like https://example.org/hook, without user name`,
    );
  }
}
