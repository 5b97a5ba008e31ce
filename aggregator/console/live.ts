/**
 * What the page knows, kept fresh: figures by polling, happenings by server-sent events, and by polling too where those do
 * not get through. Input: the API; output: the state, to whoever listens. A hidden page asks for nothing.
 */
import type { FleetEvent, Group, Host, Plan, Status, Template, Vm } from '../client/words.ts';
import { api, NotLoggedIn } from './api.ts';

export interface FleetState {
  /** `live`: events stream in; `polling`: only asked for; `lost`: no answer; `locked`: it asks who one is, and is asked no more. */
  connection: 'connecting' | 'live' | 'polling' | 'lost' | 'locked';
  /** When the first of the unanswered questions was asked, by this machine's clock. */
  lostSinceMs: number | null;
  error: string | null;
  hosts: Host[];
  vms: Vm[];
  /** There are more VMs than were read. */
  more: boolean;
  plan: Plan | null;
  groups: Group[];
  templates: Template[];
  /** Newest first. */
  events: FleetEvent[];
  status: Status | null;
  /** An answer has come at least once. */
  known: boolean;
}

const POLL_MS = 2000;
const EVENTS_KEPT = 200;
const KINDS = ['plan', 'outcome', 'agent', 'notification', 'vm-state', 'policy', 'operator'];
/** After something happened the figures are asked for at once, but not for each of a burst. */
const NUDGE_MS = 250;

export class Live {
  state: FleetState = {
    connection: 'connecting',
    lostSinceMs: null,
    error: null,
    hosts: [],
    vms: [],
    more: false,
    plan: null,
    groups: [],
    templates: [],
    events: [],
    status: null,
    known: false,
  };
  readonly #listeners = new Set<(state: FleetState) => void>();
  #streaming = false;
  #asking = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  start(): void {
    const source = new EventSource('/v1/events');
    source.addEventListener('open', () => this.#streams(true));
    source.addEventListener('error', () => this.#streams(false));
    for (const kind of KINDS) {
      source.addEventListener(kind, (message) => {
        this.#happened([JSON.parse((message as MessageEvent<string>).data) as FleetEvent]);
        this.#next(NUDGE_MS);
      });
    }
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.#next(0);
    });
    window.addEventListener('pagehide', () => source.close());
    // What happened before the stream opened; afterwards the stream tells.
    void api.events().then(
      (events) => this.#happened(events),
      () => {},
    );
    void this.#ask();
  }

  listen(listener: (state: FleetState) => void): void {
    this.#listeners.add(listener);
    listener(this.state);
  }

  #streams(streaming: boolean): void {
    this.#streaming = streaming;
    if (!['lost', 'locked'].includes(this.state.connection)) this.#change({ connection: streaming ? 'live' : 'polling' });
  }

  #happened(events: readonly FleetEvent[]): void {
    // Ids begin anew with each start of the aggregator; together with the time they name an event.
    const named = new Map([...this.state.events, ...events].map((event) => [`${event.timeMs}/${event.id}`, event]));
    const newestFirst = [...named.values()].sort((a, b) => b.timeMs - a.timeMs || b.id - a.id).slice(0, EVENTS_KEPT);
    this.#change({ events: newestFirst });
  }

  #next(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#ask(), delayMs);
  }

  async #ask(): Promise<void> {
    if (document.hidden || this.#asking) return this.#next(POLL_MS);
    this.#asking = true;
    const askedAtMs = Date.now();
    try {
      const [hosts, { vms, more }, plan, groups, templates, status, events] = await Promise.all([
        api.hosts(),
        api.vms(),
        api.latestPlan(),
        api.groups(),
        api.templates(),
        api.status(),
        this.#streaming ? [] : api.events(),
      ]);
      const connection = this.#streaming ? 'live' : 'polling';
      this.#change({ connection, lostSinceMs: null, error: null, known: true, hosts, vms, more, plan, groups, templates, status });
      if (events.length > 0) this.#happened(events);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (error instanceof NotLoggedIn) this.#change({ connection: 'locked', error: message });
      else this.#change({ connection: 'lost', lostSinceMs: this.state.lostSinceMs ?? askedAtMs, error: message });
    } finally {
      this.#asking = false;
      if (this.state.connection !== 'locked') this.#next(POLL_MS);
    }
  }

  #change(part: Partial<FleetState>): void {
    this.state = { ...this.state, ...part };
    for (const listener of this.#listeners) listener(this.state);
  }
}
