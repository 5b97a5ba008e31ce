/** Suspension of VMs, wired to live state: who may be suspended, what a VM will need when it is back. Parts in, desk out. */
import { randomBytes } from 'node:crypto';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import type { DecisionConfig } from '../config.ts';
import type { CapacityView } from '../core/capacity/host-capacity.ts';
import type { SoldResource } from '../core/capacity/host-demand.ts';
import { SuspendOrders, type SuspendOrdersOptions } from '../execute/suspend-orders.ts';
import { ChunkLocality } from './chunk-locality.ts';
import { ChunkSupply } from './chunk-supply.ts';
import type { KillSwitches } from './kill-switches.ts';
import type { Parts } from './parts.ts';
import { PrefetchTuner } from './prefetch-tuner.ts';
import { ResumeCalendar } from './resume-calendar.ts';
import { SuspendDesk } from './suspend-desk.ts';
import { SuspendPlanner } from './suspend-planner.ts';

const KEY_BYTES = 32;
/** A host answers within a second how far it is: one that does not for so long is gone, and tells what became of it when it is back. */
const SILENCE_MS = 60_000;

export interface SuspendingParts extends Pick<Parts, 'clock' | 'time' | 'state' | 'events' | 'queue' | 'notifications' | 'ledger'> {
  config: DecisionConfig;
  log: Logger;
  kills: KillSwitches;
  /** What hosts are expected to want; empty = nothing is known yet. */
  capacity: () => readonly CapacityView[];
  line: Pick<SuspendOrdersOptions, 'epochOf' | 'send'> & { understands: (host: HostId, capability: string) => boolean };
}

export interface Suspending {
  desk: SuspendDesk;
  planner: SuspendPlanner;
  supply: ChunkSupply;
  /** What was learnt before a restart. Rejects when the ledger fails. */
  load(): Promise<void>;
  /** It is gone for good. */
  forget(vm: VmId): void;
}

/** `onResumed`: a VM runs again. */
export function createSuspending(parts: SuspendingParts, onResumed: (vm: VmId) => void): Suspending {
  const { clock, time, state, events, queue, notifications, log, kills, config } = parts;
  const { epochOf, send, understands } = parts.line;
  const calendar = new ResumeCalendar(parts.ledger, log);
  const hosts = () => state.hostIds().map((id) => ({ id, connected: state.host(id)?.connected === true }));
  const freeMiB = (host: HostId): number | null => {
    const availableMiB = state.host(host)?.availableMiB ?? null;
    return availableMiB === null ? null : availableMiB - state.policy.reserve.memoryMiB;
  };
  const roomiest = (): HostId[] => {
    const there = hosts().filter(({ connected }) => connected);
    return there.map(({ id }) => id).toSorted((a, b) => (freeMiB(b) ?? 0) - (freeMiB(a) ?? 0));
  };
  const tuner = new PrefetchTuner(parts.ledger, log);
  const asking = { nowMs: () => clock.monotonicMs(), epochOf, send, understands, hosts: roomiest };
  const desk = new SuspendDesk({
    ...{ calendar, tuner },
    locality: new ChunkLocality(asking),
    orders: new SuspendOrders({ clock, epochOf, send, retryMs: config.commandRetryMs, silenceMs: SILENCE_MS }),
    to: { events, queue, notifications, log, nowMs: () => time.nowMs() },
    known(vm) {
      const record = state.vm(vm);
      return record === undefined ? null : { name: record.inventory.name, host: record.host };
    },
    hosts,
    killed: (vm, host) => (state.policy.killSwitch ? 'the policy has the kill switch on' : kills.reasonFor(vm, host)),
    expectedMiB: (vm) => expected(parts, vm, 'memory'),
    expectedCores: (vm) => expected(parts, vm, 'cpu'),
    priorityOf(vm) {
      const matched = state.vm(vm)?.matched;
      return matched === undefined ? null : state.policy.resolve(matched, 'memory').priority;
    },
    freeMiB,
    peaks: () => new Map(parts.capacity().flatMap((view) => freeAtPeak(view, state.policy.cpuOvercommit))),
    newKey: () => randomBytes(KEY_BYTES).toString('hex'),
    ...{ understands, onResumed },
  });
  return {
    desk,
    supply: new ChunkSupply(asking),
    planner: new SuspendPlanner(desk, calendar, tuner, log),
    async load() {
      await calendar.load();
      await tuner.load();
    },
    forget(vm) {
      calendar.forget(vm);
      tuner.forget(vm);
    },
  };
}

/** Of a host of which both are forecast. */
function freeAtPeak({ host, resources: { cpu, memory } }: CapacityView, cpuOvercommit: number) {
  if (cpu.nextHour === null || memory.nextHour === null) return [];
  const freeMiB = memory.capacity - memory.reserve - memory.nextHour.q99;
  const freeCores = (cpu.capacity - cpu.reserve) * cpuOvercommit - cpu.nextHour.q99;
  return [[host, { freeMiB, freeCores }] as const];
}

/** The highest of what its forecast says, at the quantile its policy asks for. */
function expected({ state, time, clock }: SuspendingParts, vm: VmId, resource: SoldResource): number | null {
  const forecast = state.vm(vm)?.snapshot(state.policy, time.nowMs(), clock.monotonicMs())?.demand[resource].forecast ?? null;
  return forecast === null ? null : Math.max(...forecast.values);
}
