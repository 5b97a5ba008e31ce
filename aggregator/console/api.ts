/** The aggregator's HTTP API as the console uses it. Input: paths; output: typed answers, or an error that says what failed. */
import type { FleetEvent, HostView, PlanView, ResourceView, VmView } from '../http/service.ts';
import type { GroupView, TemplateView } from '../http/spawn-service.ts';
import type { LedgerEntry } from '../store/ledger-store.ts';

/** In JSON an age that was never is null. */
export type Resource = Omit<ResourceView, 'ageMs'> & { ageMs: number | null };
export type Vm = Omit<VmView, 'resources'> & { resources: Record<keyof VmView['resources'], Resource> };
export type Host = Omit<HostView, 'ageMs'> & { ageMs: number | null };
export type Plan = PlanView;
export type FleetEventView = FleetEvent;
export type Group = GroupView;
export type Template = TemplateView;

export interface Status {
  version: string;
  nowMs: number;
  startedAtMs: number;
  ready: boolean;
  reason: string;
  killSwitch: boolean;
  seriesStore: { problems: string[] };
}

type Column = (number | null)[];
export interface Series {
  unit: string;
  resolution: string;
  timesMs: number[];
  usage: Column;
  demand: Column;
  allocation: Column;
  forecastMedian: Column;
  forecastHigh: Column;
  forecastQuantile: number | null;
  stepMs: number | null;
}

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

async function get<T>(path: string): Promise<T> {
  const response = await fetch(path, { signal: AbortSignal.timeout(ANSWER_MS_MAX), headers: { accept: 'application/json' } });
  if (response.status === 401) throw new NotLoggedIn('the aggregator asks who you are');
  if (!response.ok) {
    const problem = (await response.json().catch(() => ({}))) as { detail?: string };
    throw new Error(problem.detail ?? `${path} answered with status ${response.status}`);
  }
  return (await response.json()) as T;
}

export const api = {
  async hosts(): Promise<Host[]> {
    return (await get<{ items: Host[] }>('/v1/hosts?limit=1000')).items;
  },
  async vms(): Promise<{ vms: Vm[]; more: boolean }> {
    const { items, cursor } = await get<{ items: Vm[]; cursor: string | null }>(`/v1/vms?limit=${VMS_MAX}`);
    return { vms: items, more: cursor !== null };
  },
  async latestPlan(): Promise<Plan | null> {
    return (await get<{ items: Plan[] }>('/v1/plans?limit=1')).items[0] ?? null;
  },
  async groups(): Promise<Group[]> {
    return (await get<{ items: Group[] }>('/v1/groups')).items;
  },
  async templates(): Promise<Template[]> {
    return (await get<{ items: Template[] }>('/v1/templates')).items;
  },
  async events(): Promise<FleetEventView[]> {
    return (await get<{ items: FleetEventView[] }>('/v1/events?format=json&limit=100')).items;
  },
  async status(): Promise<Status> {
    const status = await get<Status>('/v1/status');
    clockOffsetMs = status.nowMs - Date.now();
    return status;
  },
  series(vm: string, resource: string, fromMs: number, toMs: number, points: number): Promise<Series> {
    const query = new URLSearchParams({
      resource,
      fromMs: String(Math.round(fromMs)),
      toMs: String(Math.round(toMs)),
      points: String(points),
    });
    return get<Series>(`/v1/vms/${encodeURIComponent(vm)}/series?${query}`);
  },
  async explain(vm: string): Promise<string[]> {
    return (await get<{ text: string[] }>(`/v1/vms/${encodeURIComponent(vm)}/explain`)).text;
  },
  async outcomes(vm: string): Promise<LedgerEntry[]> {
    return (await get<{ items: LedgerEntry[] }>(`/v1/ledger?vm=${encodeURIComponent(vm)}&kind=outcome&limit=20`)).items;
  },
};
