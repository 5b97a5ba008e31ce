/**
 * An AggregatorService over a made fleet, for the tests of API, command line and console. Input: the time, and whether there
 * is a fleet yet; output: the service with knobs to make things happen. The policy parser and the ledger are real.
 */

import type { ForecastView, VmSnapshot } from '../../aggregator/core/plan/plan.ts';
import { parsePolicyFile } from '../../aggregator/core/plan/policy-file.ts';
import type {
  AggregatorService,
  CredentialView,
  FleetEvent,
  HostView,
  IncidentView,
  PlanView,
  PolicyVersionView,
  ResourceView,
  VmView,
} from '../../aggregator/http/service.ts';
import type { Notification } from '../../aggregator/notify/notifier.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';
import { HeadroomError } from '../../shared/errors.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { PublicKey } from '../../shared/protocol/frames.ts';
import { RESOURCES, type Resource, type Setting } from '../../shared/resources.ts';
import { madeCapacity } from './made-capacity.ts';
import { allocation, expectedDemand, MADE_HOSTS, MADE_VMS, type MadeVm, STEP_MS, stepDemand, usage } from './made-fleet.ts';
import { madeLoan, madeShortage } from './made-loans.ts';
import { madeSeries } from './made-series.ts';
import { madeSpawning } from './made-spawning.ts';
import { madeSuspending } from './made-suspending.ts';

export interface FakeServiceOptions {
  nowMs?: () => number;
  /** An aggregator that was just started: no host, no plan, no event. */
  empty?: boolean;
  /** How long ago the made data begin. */
  historyMs?: number;
}

export interface FakeService extends AggregatorService {
  /** Makes an event happen; subscribers are told. */
  emit(event: Omit<FleetEvent, 'id' | 'timeMs'>): FleetEvent;
  /** Tells the owner of a VM something. */
  tell(vm: VmId, message: string): void;
  /** What the kill switch was set to, in order. */
  killSwitchCalls: { scope: string; engaged: boolean; by: string; reason: string }[];
  /** What becomes of a login that was asked for, each time it is looked at; by default it stays pending. */
  onLogin: (login: CredentialView, publicKey: PublicKey) => CredentialView;
  /** How many listeners the event stream has now. */
  listeners(): number;
}

const UNITS = { cpu: 'cores', memory: 'MiB', network: 'bytes/s', disk: 'bytes/s' } as const;
const QUANTILES = [0.05, 0.5, 0.95, 0.99];
const SPREAD = [0.88, 1, 1.15, 1.24];
const HORIZONS = [1, 2, 3, 4, 5, 6, 9, 12];
export const FAKE_POLICY = `version: 1
defaults:
  cpu: { mode: observe }
  memory: { mode: observe }
rules:
  - name: shop-auto
    match: { labels: { team: shop } }
    cpu: { mode: auto, floor: 0.2, ceiling: 1 }
    memory: { mode: auto, floor: 192, ceiling: 640 }
`;

function forecastOf(vm: MadeVm, resource: Resource, nowMs: number): ForecastView | null {
  if (vm.state !== 'ready') return null;
  const fromMs = Math.floor(nowMs / STEP_MS) * STEP_MS;
  return {
    model: 'aggregate',
    stepMs: STEP_MS,
    fromMs,
    quantiles: QUANTILES,
    horizons: HORIZONS,
    values: HORIZONS.flatMap((h) => SPREAD.map((spread) => stepDemand(vm, resource, fromMs + (h - 1) * STEP_MS) * spread)),
    confidence: 0.86,
    explanation: 'a season of 2 min was found; it explains most of the change',
  };
}

function settingOf(vm: MadeVm, resource: Resource, nowMs: number): Setting {
  const amount = allocation(vm, resource, nowMs);
  switch (resource) {
    case 'cpu':
      return { resource, weight: 100, capCores: amount };
    case 'memory':
      return { resource, memoryMiB: amount ?? vm.memory.ceiling };
    case 'network':
      return { resource, inboundBytesPerSecond: null, outboundBytesPerSecond: null };
    case 'disk':
      return { resource, bytesPerSecond: null, iops: null };
  }
}

function decisionOf(vm: MadeVm, resource: Resource, nowMs: number): ResourceView['lastDecision'] {
  const mode = vm.modes[resource];
  if (mode === 'off' || mode === 'observe' || vm.state !== 'ready') return null;
  const atMs = Math.floor(nowMs / STEP_MS) * STEP_MS;
  const rising = expectedDemand(vm, resource, nowMs + 4 * STEP_MS) > expectedDemand(vm, resource, nowMs);
  const what = resource === 'cpu' ? 'CPU' : 'memory';
  const reason = rising
    ? `${what} raised ahead of the rise that begins within 20 s (quantile 0.95 of the forecast and a margin of 5 %)`
    : `${what} lowered: no step of the next minute is expected to need more`;
  return mode === 'auto'
    ? { atMs, planId: 'plan-41', done: true, reason, constraint: 'forecast', outcome: 'applied' }
    : { atMs, planId: 'plan-41', done: false, reason: `mode recommend: ${reason}`, constraint: 'mode', outcome: null };
}

function resourceView(vm: MadeVm, resource: Resource, nowMs: number): ResourceView {
  const live = vm.state === 'ready' && vm.modes[resource] !== 'off';
  const amount = allocation(vm, resource, nowMs);
  const bounds = resource === 'cpu' ? { floor: 0.2, ceiling: vm.cpu.ceiling } : { floor: 192, ceiling: vm.memory.ceiling };
  const bounded = vm.modes[resource] === 'auto' || vm.modes[resource] === 'recommend';
  return {
    mode: vm.modes[resource],
    rule: bounded ? `${vm.labels.team}-${vm.modes[resource]}` : 'built-in',
    eligible: vm.eligibility[resource],
    unit: UNITS[resource],
    allocation: amount,
    uncapped: amount === null,
    setting: settingOf(vm, resource, nowMs),
    baseline: resource === 'memory' ? { resource, memoryMiB: vm.memory.ceiling } : null,
    usage: live ? usage(vm, resource, nowMs) : null,
    demand: live ? expectedDemand(vm, resource, nowMs) : null,
    suppressed: false,
    ageMs: live ? 800 : Number.POSITIVE_INFINITY,
    floor: bounded ? bounds.floor : null,
    ceiling: bounded ? bounds.ceiling : null,
    forecast: live ? forecastOf(vm, resource, nowMs) : null,
    holds:
      vm.name === 'nightly-batch' && resource === 'memory'
        ? [{ reason: 'someone else changed it (virsh setmem): adopted as the new baseline', forMs: 82_800_000 }]
        : [],
    lastVerdict: null,
    coolUntilMs: null,
    infeasible: null,
    lastDecision: decisionOf(vm, resource, nowMs),
  };
}

export function vmView(vm: MadeVm, nowMs: number): VmView {
  const { id, name, host, state, labels, guestAgent, missingSignals } = vm;
  const resources = Object.fromEntries(RESOURCES.map((resource) => [resource, resourceView(vm, resource, nowMs)]));
  const workload = { class: 'web' as const, confidence: 0.82, setByHand: false, reasons: ['its name is "shop-web"'] };
  return {
    id,
    name,
    host,
    state,
    labels,
    guestAgent,
    missingSignals,
    contention: null,
    workload,
    resources: resources as VmView['resources'],
  };
}

function hostView(host: (typeof MADE_HOSTS)[number], nowMs: number, killed: ReadonlySet<string>): HostView {
  const vms = MADE_VMS.filter((vm) => vm.host === host.id);
  const used = vms.reduce((sum, vm) => sum + usage(vm, 'cpu', nowMs), 0.4);
  const allocatedMiB = vms.reduce((sum, vm) => sum + (allocation(vm, 'memory', nowMs) ?? 0), 0);
  return {
    id: host.id as HostId,
    connected: true,
    ageMs: 700,
    cpuCores: host.cpuCores,
    usageCores: used,
    cpuPressureFraction: 0.02,
    memoryMiB: host.memoryMiB,
    availableMiB: host.memoryMiB - allocatedMiB - 1800,
    swapping: false,
    numaNodes: [{ id: 0, memoryMiB: host.memoryMiB }],
    balloonManager: null,
    killSwitch: killed.has(host.id),
    epoch: 3,
    guardReserve: { cores: 0.5, memoryMiB: 256 },
    vms: vms.length,
    allocatedCores: vms.reduce((sum, vm) => sum + (allocation(vm, 'cpu', nowMs) ?? vm.cpu.ceiling), 0),
    allocatedMiB,
  };
}

function planView(n: number, nowMs: number): PlanView {
  const vm = MADE_VMS[0]!;
  const atMs = nowMs - (41 - n) * STEP_MS;
  const memory = settingOf(vm, 'memory', atMs);
  const step = { vm: vm.id, vmName: vm.name, host: vm.host, mode: 'auto' as const, model: 'aggregate', constraint: 'forecast' as const };
  return {
    id: `plan-${n}`,
    nowMs: atMs,
    steps: [
      {
        ...step,
        resource: 'cpu',
        direction: 'grow',
        from: settingOf(vm, 'cpu', atMs - STEP_MS),
        to: settingOf(vm, 'cpu', atMs),
        floor: 0.2,
        ceiling: 1,
        reason: 'CPU raised ahead of the rise that begins within 20 s',
        predictedDemand: expectedDemand(vm, 'cpu', atMs + STEP_MS),
      },
    ],
    notDone: [
      { vm: vm.id, resource: 'memory', constraint: 'hysteresis', reason: 'the target is within the dead band', wouldBe: memory },
      {
        vm: MADE_VMS[2]!.id,
        resource: 'cpu',
        constraint: 'mode',
        reason: 'mode recommend: an administrator decides',
        wouldBe: { resource: 'cpu', weight: 100, capCores: 3.1 },
      },
    ],
    grants: [{ host: vm.host, reserveCores: 0.5, reserveMiB: 256, allowances: [{ vm: vm.id, cpuCeilingCores: 1, memoryCeilingMiB: 640 }] }],
    inputsDigest: 'c0ffee'.padEnd(64, '0'),
    lint: [],
    verdicts: [],
    outcomes: [{ step: 0, outcome: 'applied', reason: 'read back from the hypervisor' }],
  };
}

function fill(service: FakeService, nowMs: number): Promise<unknown> {
  const [web, batch] = [MADE_VMS[0]!, MADE_VMS[1]!];
  service.emit({ kind: 'agent', vm: null, host: web.host, message: `host agent of ${web.host} connected`, data: {} });
  service.emit({
    kind: 'vm-state',
    vm: web.id,
    host: web.host,
    message: `${web.name} is ready: its agent answers`,
    data: { state: 'ready' },
  });
  service.emit({ kind: 'plan', vm: null, host: null, message: 'plan-41: 1 change, 2 not made', data: { planId: 'plan-41' } });
  service.emit({
    kind: 'notification',
    vm: batch.id,
    host: batch.host,
    message: `${batch.name}: someone else changed its memory; hands off for 24 h`,
    data: {},
  });
  service.emit({
    kind: 'outcome',
    vm: web.id,
    host: web.host,
    message: `${web.name}: CPU cap 0.62 → 0.80 cores, applied`,
    data: { planId: 'plan-41' },
  });
  const outcome = {
    kind: 'outcome',
    planId: 'plan-41',
    commandId: 'c-1',
    vm: web.id,
    host: web.host,
    resource: 'cpu',
    outcome: 'applied',
    reason: 'read back from the hypervisor',
    before: { resource: 'cpu', weight: 100, capCores: 0.62 },
    after: { resource: 'cpu', weight: 100, capCores: 0.8 },
  } as const;
  return Promise.all([
    service.ledger.append(nowMs - 60_000, { kind: 'start', version: '0.1.0', epoch: 3 }),
    service.ledger.append(nowMs - 50_000, { kind: 'policy', version: 1, by: 'start', digest: 'ab'.repeat(32) }),
    service.ledger.append(nowMs - 5000, outcome),
  ]);
}

/** Events remembered, as many as the real service keeps for replay. */
const EVENTS_MAX = 1000;

const MADE_INCIDENT: IncidentView = {
  id: 'leak-1',
  vm: MADE_VMS[0]!.id,
  vmName: 'shop-web',
  host: 'alpha',
  kind: 'leak',
  severity: 'page',
  startMs: 1_700_000_000_000,
  peakMs: 1_700_000_600_000,
  endMs: null,
  likelihood: 0.8,
  contributors: [{ name: 'memory: level over 24 points', share: 0.9 }],
  cause: 'memory went from 1000 to 1900 and keeps rising: memory is taken and not given back',
  vouched: true,
  explainedBy: null,
  actions: [],
  feedback: null,
};

export async function fakeService(options: FakeServiceOptions = {}): Promise<FakeService> {
  const nowMs = options.nowMs ?? (() => Date.now());
  const startedAtMs = nowMs();
  const vms = options.empty ? [] : MADE_VMS;
  const events: FleetEvent[] = [];
  const listeners = new Set<(event: FleetEvent) => void>();
  const killed = new Set<string>();
  const taken = new Set<string>();
  const told: Notification[] = [];
  const toldListeners = new Set<(notification: Notification) => void>();
  const logins = new Map<string, { login: CredentialView; publicKey: PublicKey }>();
  const policy = { version: 1, source: FAKE_POLICY };
  const versions: PolicyVersionView[] = [{ version: 1, atMs: startedAtMs, by: 'start', digest: 'ab'.repeat(32), source: FAKE_POLICY }];
  // What the API looks at of a snapshot: sizes, and where hands are off.
  const sizes = vms.map(
    ({ id, name, cpu, memory }) => ({ id, name, vcpus: cpu.ceiling, bootMemoryMiB: memory.ceiling, holds: [] }) as unknown as VmSnapshot,
  );
  const forecasters = ['aggregate', 'last-value'];
  const plans = (): PlanView[] => (options.empty ? [] : Array.from({ length: 41 }, (_, i) => planView(41 - i, nowMs())));
  const ledger = createMemoryLedgerStore();
  const hosts = (): HostView[] => (options.empty ? [] : MADE_HOSTS.map((host) => hostView(host, nowMs(), killed)));
  const service: FakeService = {
    version: '0.1.0',
    startedAtMs,
    epoch: 3,
    nowMs,
    ready: () =>
      options.empty ? { ready: false, reason: 'no plan was made yet: no host agent has connected' } : { ready: true, reason: 'ready' },
    hosts,
    vms: () => vms.map((vm) => vmView(vm, nowMs())),
    vm: (id) => {
      const found = vms.find((vm) => vm.id === id);
      return found ? vmView(found, nowMs()) : null;
    },
    snapshot: () => ({ nowMs: nowMs(), hosts: hosts(), vms: sizes, recentChanges: [], killSwitch: killed.has('fleet') }),
    plans: (limit) => plans().slice(0, limit),
    plan: (id) => plans().find((plan) => plan.id === id) ?? null,
    policies: () => ({ ...policy, parsed: parsePolicyFile(policy.source, { version: policy.version, forecasters }).document }),
    async applyPolicies(source, by, { dryRun, ifVersion }) {
      const { document } = parsePolicyFile(source, { version: policy.version + 1, forecasters });
      if (ifVersion !== null && ifVersion !== policy.version)
        throw new HeadroomError('VERSION_CHANGED', `policy version ${policy.version} is in force, not ${ifVersion}`);
      const changes = [`${document.rules?.length ?? 0} rules would be in force`];
      const nextPlan = dryRun ? { steps: planView(41, nowMs()).steps, stepsAll: 1, notDone: { mode: 2 } } : null;
      if (!dryRun) {
        Object.assign(policy, { version: policy.version + 1, source });
        versions.unshift({ version: policy.version, atMs: nowMs(), by, digest: 'ab'.repeat(32), source });
      }
      return { version: policy.version, changes, vms: [], nextPlan };
    },
    incidents: () => (options.empty ? [] : [MADE_INCIDENT]),
    capacity: () => (options.empty ? [] : MADE_HOSTS.map(({ id }) => madeCapacity(id))),
    judgeIncident(id, feedback) {
      if (options.empty || id !== MADE_INCIDENT.id) throw new HeadroomError('NOT_FOUND', `no incident "${id}" is remembered`);
      return { ...MADE_INCIDENT, feedback };
    },
    addKnownEvent: () => undefined,
    releaseVm: async (_vm, _by, dryRun = false) => ({ outcome: dryRun ? 'skipped' : 'applied', reason: 'it is not isolated' }),
    recommendations: () =>
      options.empty || taken.has('approved')
        ? []
        : [
            {
              ...{ id: `${MADE_VMS[2]!.id}.cpu`, vm: MADE_VMS[2]!.id, vmName: MADE_VMS[2]!.name, host: MADE_VMS[2]!.host, resource: 'cpu' },
              ...{ direction: 'shrink', planId: 'plan-41', atMs: nowMs(), approval: null },
              from: { resource: 'cpu', weight: 100, capCores: null },
              to: { resource: 'cpu', weight: 100, capCores: 3.1 },
              reason: 'recommended only: CPU lowered, no step of the next hour is expected to need more than 2.9 cores',
            },
          ],
    async approve(id, to, by, dryRun) {
      const found = service.recommendations().find((each) => each.id === id);
      if (found === undefined) throw new HeadroomError('NOT_FOUND', `nothing like "${id}" is recommended now`);
      if (!dryRun) taken.add('approved');
      return { ...found, approval: { by, atMs: nowMs(), untilMs: nowMs() + 600_000, to: to ?? found.to } };
    },
    async takeBack(vm, resource, _by, dryRun) {
      if (resource !== 'cpu') throw new HeadroomError('CONFLICT', `the last change of ${resource} was no shrink`);
      const [from, to] = [0.41, 0.8].map((capCores) => ({ resource, weight: 100, capCores }));
      return { vm, vmName: 'shop-web', resource, from: from!, to: to!, changedAtMs: nowMs() - 60_000, dryRun };
    },
    slas: () => [
      {
        ...{ name: 'shop-cpu', resource: 'cpu', objective: 0.99, windowMs: 604_800_000, vms: 1, steps: 200, sinceMs: startedAtMs },
        ...{ attainment: 0.985, kept: false, budgetLeft: -0.5 },
        worst: [{ vm: MADE_VMS[0]!.id, name: 'shop-web', attainment: 0.985, steps: 200 }],
      },
    ],
    loans: () => (options.empty ? [] : [madeLoan(MADE_VMS[1]!.id, MADE_VMS[0]!.id, startedAtMs)]),
    shortages: () => (options.empty ? [] : [madeShortage(MADE_VMS[0]!.id, startedAtMs)]),
    policyVersions: async (limit, before) =>
      versions
        .filter(({ version }) => before === null || version < before)
        .slice(0, limit)
        .map((each) => ({ ...each, source: null })),
    policyVersion: async (version) => versions.find((each) => each.version === version) ?? null,
    async setKillSwitch(scope, engaged, by, reason) {
      const target = scope.kind === 'fleet' ? 'fleet' : scope.kind === 'host' ? scope.host : scope.vm;
      if (engaged) killed.add(target);
      else killed.delete(target);
      service.killSwitchCalls.push({ scope: target, engaged, by, reason });
    },
    killSwitchCalls: [],
    onLogin: (login) => login,
    askForLogin(vm, publicKey, by, dryRun = false) {
      const blank = { state: 'pending', reason: '', account: null, method: null, expiresAtMs: null, sealed: null, delay: null } as const;
      const times = { totalMs: 0, phases: [], unaccountedMs: 0 };
      const login: CredentialView = { id: `login-3-${logins.size + 1}`, vm, by, askedAtMs: nowMs(), ...blank, ...times };
      if (dryRun) return { ...login, id: 'none' };
      logins.set(login.id, { login, publicKey });
      return login;
    },
    login(vm, id) {
      const found = logins.get(id);
      return found && found.login.vm === vm ? service.onLogin(found.login, found.publicKey) : null;
    },
    notifications: {
      recent: (vm, limit) => told.filter((each) => each.vm === vm).slice(-limit),
      subscribe(vm, listener) {
        const own = (each: Notification): void => (each.vm === vm ? listener(each) : undefined);
        toldListeners.add(own);
        return () => toldListeners.delete(own);
      },
    },
    tell(vm, message) {
      const vmName = MADE_VMS.find((each) => each.id === vm)?.name ?? '';
      const made: Notification = {
        id: (told.at(-1)?.id ?? 0) + 1,
        timeMs: nowMs(),
        vm,
        vmName,
        kind: 'change',
        resource: 'cpu',
        message,
        data: {},
      };
      told.push(made);
      for (const listener of toldListeners) listener(made);
    },
    events: {
      recent: (limit) => events.slice(-limit),
      subscribe(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    emit(event) {
      const made = { id: (events.at(-1)?.id ?? 0) + 1, timeMs: nowMs(), ...event };
      events.push(made);
      if (events.length > EVENTS_MAX) events.shift();
      for (const listener of listeners) listener(made);
      return made;
    },
    listeners: () => listeners.size,
    suspending: madeSuspending(nowMs(), options.empty === true),
    spawning: await madeSpawning(createMemoryLedgerStore(), nowMs, options.empty),
    series: madeSeries(nowMs, startedAtMs - (options.historyMs ?? 900_000)),
    ledger,
    ledgerEntries: (query) => ledger.entries(query),
    metrics: () => ({ plans_total: 41, ingest_rows_total: 123_456, loop_plan_seconds: 0.012 }),
  };
  if (!options.empty) await fill(service, startedAtMs);
  return service;
}
