/**
 * The aggregator's HTTP API as the console uses it: the typed client that its OpenAPI document makes. Input: paths; output: typed
 * answers, or an error that says what failed.
 */
import type { paths } from '../client/api-types.ts';
import type { Answer, FleetEvent, Group, Host, LedgerEntry, Plan, Problem, Series, Status, Template, Vm } from '../client/words.ts';
import createClient from './vendor/openapi-fetch.js';

/** A healthy aggregator on the same network answers within this, also under load. */
const ANSWER_MS_MAX = 10_000;
/** VMs read for one view: beyond this the page says that it shows only a part. */
export const VMS_MAX = 1000;

let clockOffsetMs = 0;

/** The aggregator's time as of its latest status: the reader's own clock may be anything. */
export function serverNowMs(): number {
  return Date.now() + clockOffsetMs;
}

/** The aggregator asks who one is. */
export class NotLoggedIn extends Error {}

/** What the aggregator refused, in its own words. */
export class Refused extends Error {
  readonly problem: Partial<Problem>;
  constructor(problem: Partial<Problem>, status: number) {
    super(problem.detail ?? `the aggregator answered with status ${status}`);
    this.problem = problem;
  }
}

export const client = createClient<paths>({
  headers: { accept: 'application/json' },
  fetch: (request: Request) => fetch(new Request(request, { signal: AbortSignal.timeout(ANSWER_MS_MAX) })),
});

/** The answer, or a rejection: NotLoggedIn, Refused, or what kept it from being asked. */
export async function answer<T>(asked: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await asked;
  if (response.status === 401) throw new NotLoggedIn('the aggregator asks who you are');
  if (!response.ok || data === undefined) throw new Refused(typeof error === 'object' && error !== null ? error : {}, response.status);
  return data;
}

export const api = {
  async hosts(): Promise<Host[]> {
    return (await answer(client.GET('/v1/hosts', { params: { query: { limit: 1000 } } }))).items;
  },
  async vms(): Promise<{ vms: Vm[]; more: boolean }> {
    const { items, cursor } = await answer(client.GET('/v1/vms', { params: { query: { limit: VMS_MAX } } }));
    return { vms: items, more: cursor !== null };
  },
  async latestPlan(): Promise<Plan | null> {
    return (await answer(client.GET('/v1/plans', { params: { query: { limit: 1 } } }))).items[0] ?? null;
  },
  async groups(): Promise<Group[]> {
    return (await answer(client.GET('/v1/groups'))).items;
  },
  async templates(): Promise<Template[]> {
    return (await answer(client.GET('/v1/templates'))).items;
  },
  async events(): Promise<FleetEvent[]> {
    const latest = await answer(client.GET('/v1/events', { params: { query: { format: 'json', limit: 100 } } }));
    return (latest as Answer<'/v1/events'>).items;
  },
  async status(): Promise<Status> {
    const status = await answer(client.GET('/v1/status'));
    clockOffsetMs = status.nowMs - Date.now();
    return status;
  },
  series(vm: string, resource: 'cpu' | 'memory' | 'network' | 'disk', fromMs: number, toMs: number, points: number): Promise<Series> {
    const query = { resource, fromMs: Math.round(fromMs), toMs: Math.round(toMs), points };
    return answer(client.GET('/v1/vms/{id}/series', { params: { path: { id: vm }, query } }));
  },
  async explain(vm: string): Promise<string[]> {
    return (await answer(client.GET('/v1/vms/{id}/explain', { params: { path: { id: vm } } }))).text;
  },
  /** Its latest entries of one kind, newest first. */
  async entries(vm: string, kind: 'outcome' | 'event', limit: number): Promise<LedgerEntry[]> {
    return (await answer(client.GET('/v1/ledger', { params: { query: { vm, kind, limit } } }))).items as LedgerEntry[];
  },
};
