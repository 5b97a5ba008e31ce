/**
 * Suspended VMs of the fleet: what hosts tell of them, orders from people and policies on their way, when each will be wanted again.
 * Input: hosts' lists and results, requests, the policy, the clock; output: orders, views, ledger entries, events, notifications. Hosts
 * remember what they suspended; nothing here is needed to bring a VM back.
 */
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import {
  PREFETCH_PRIORITY,
  PREFETCH_TO_CAPABILITY,
  SUSPEND_CAPABILITY,
  SUSPEND_MOVE_CAPABILITY,
  type SuspendAction,
} from '../../shared/protocol/suspend-frames.ts';
import type { ResumePlacement } from '../core/resume/choose-host.ts';
import type { OrderEnded, OrderUnderWay, SuspendOrder, SuspendOrders } from '../execute/suspend-orders.ts';
import type { PrefetchTerms, SnapshotStoreView, SuspendOrderView, SuspendService, SuspensionView } from '../http/suspend-service.ts';
import type { ChunkLocality } from './chunk-locality.ts';
import type { PrefetchTuner } from './prefetch-tuner.ts';
import type { ReportTo } from './report-to.ts';
import type { ResumeCalendar } from './resume-calendar.ts';
import { type PlacementGround, placeResume } from './resume-placement.ts';

type Suspended = FrameOf<'suspended'>['vms'][number];

export interface KnownForSuspend {
  name: string;
  host: HostId;
}

export interface SuspendDeskOptions {
  orders: SuspendOrders;
  calendar: ResumeCalendar;
  tuner: Pick<PrefetchTuner, 'noteSeen' | 'notePrepared' | 'noteBack' | 'explain'>;
  to: ReportTo;
  known: (vm: VmId) => KnownForSuspend | null;
  hosts: () => readonly { id: HostId; connected: boolean }[];
  understands: (host: HostId, capability: string) => boolean;
  /** Why nothing may be taken from this VM; null = nothing speaks against it. */
  killed: (vm: VmId, host: HostId) => string | null;
  freeMiB: PlacementGround['freeMiB'];
  peaks: PlacementGround['peaks'];
  locality: ChunkLocality;
  /** 64 hexadecimal digits that nobody can guess. */
  newKey: () => string;
  /** Memory the VM is predicted to need, MiB; null = unknown. */
  expectedMiB: (vm: VmId) => number | null;
  /** Cores, the same. */
  expectedCores: (vm: VmId) => number | null;
  /** Of this VM in the policy; null = it is not known now. */
  priorityOf: (vm: VmId) => number | null;
  /** It runs again: what it needs is decided soon. */
  onResumed: (vm: VmId) => void;
}

/** What an order is given with. */
interface Told {
  by: string;
  dryRun: boolean;
  /** Null: nobody had to choose its host. */
  placement?: ResumePlacement | null;
}

interface Destination {
  host: HostId;
  placement: ResumePlacement | null;
}

const WORDS: Readonly<Record<SuspendAction, string>> = {
  suspend: 'suspended',
  resume: 'brought back',
  prefetch: 'made ready to come back',
  release: 'no longer kept ready',
  verify: 'its snapshot is as it was written',
  collect: 'what no VM needs is gone from the snapshot store',
  lend: 'lent to the host that brings it back',
};
/** What people are told of the time to come. */
const WITHIN_MS = 3_600_000;
const MIB = 1024 * 1024;
/** Ended orders that can still be asked for. */
const ENDED_MAX = 500;

export class SuspendDesk implements SuspendService {
  readonly #options: SuspendDeskOptions;
  readonly #suspended = new Map<HostId, readonly Suspended[]>();
  readonly #stores = new Map<HostId, SnapshotStoreView>();
  readonly #ended = new Map<string, SuspendOrderView>();
  /** Of those that are being lent to be made ready elsewhere, by their orders. */
  readonly #readyThere = new Map<string, PrefetchTerms>();
  /** Why each order under way went to its host, where it was chosen. */
  readonly #placed = new Map<string, ResumePlacement>();

  constructor(options: SuspendDeskOptions) {
    this.#options = options;
  }

  onSuspended(host: HostId, { vms, storedBytes, tiers = [] }: FrameOf<'suspended'>): void {
    const { calendar, to, tuner, locality } = this.#options;
    locality.onSuspended(host, vms);
    this.#stores.set(host, { host, storedBytes, tiers });
    const before = this.#suspended.get(host) ?? [];
    this.#suspended.set(host, vms);
    for (const { vm, phase, sinceMs, ...seen } of vms) {
      tuner.noteSeen(vm as VmId, { phase, ...seen }, to.nowMs());
      if (phase === 'suspended') calendar.note(vm as VmId, sinceMs, true);
      else if (phase === 'running') calendar.note(vm as VmId, to.nowMs(), false);
    }
    const there = new Set(vms.map(({ vm }) => vm));
    for (const { vm } of before) if (!there.has(vm)) calendar.note(vm as VmId, to.nowMs(), false);
  }

  onResult(host: HostId, result: FrameOf<'suspend-result'>): void {
    if (result.action === 'sample' || result.action === 'held') this.#options.locality.onResult(host, result);
    else this.#options.orders.onResult(host, result);
  }

  stop(): void {
    this.#options.orders.stop();
  }

  suspensions(): SuspensionView[] {
    const all = [...this.#suspended].flatMap(([host, vms]) => vms.map((vm) => ({ ...vm, vm: vm.vm as VmId, host })));
    const arrived = new Set(all.filter(({ lentTo }) => lentTo === undefined).map(({ vm }) => vm));
    // Of one that is lent the host that brings it back knows more, once it does.
    return all
      .filter(({ vm, lentTo }) => lentTo === undefined || !arrived.has(vm))
      .map((vm) => ({ ...vm, prediction: this.#predicted(vm), tuning: this.#options.tuner.explain(vm.vm) }));
  }

  stores(): SnapshotStoreView[] {
    return [...this.#stores.values()].toSorted((a, b) => (a.host < b.host ? -1 : 1));
  }

  /** An order for it is under way. */
  busy(vm: VmId): boolean {
    return this.#options.orders.of(vm) !== undefined;
  }

  /** Null: it is neither suspended nor on a snapshot. */
  suspension(vm: VmId): (Suspended & { host: HostId }) | null {
    const {
      prediction: _,
      tuning: __,
      ...found
    } = this.suspensions().find((one) => one.vm === vm) ?? { prediction: null, tuning: null, vm: null };
    return found.vm === null ? null : found;
  }

  orders(): SuspendOrderView[] {
    const underWay = this.#options.orders.underWay().map((order) => this.#view(order, null));
    return [...underWay, ...[...this.#ended.values()].reverse()];
  }

  order(id: string): SuspendOrderView | null {
    const underWay = this.#options.orders.underWay().find((order) => order.id === id);
    return underWay === undefined ? (this.#ended.get(id) ?? null) : this.#view(underWay, null);
  }

  suspend(vm: VmId, by: string, dryRun = false): SuspendOrderView {
    const { known, killed } = this.#options;
    const host = known(vm)?.host ?? this.#hostOf(vm);
    const reason = killed(vm, host);
    if (reason !== null) throw new HeadroomError('CONFLICT', `nothing is taken from VM ${vm}: ${reason}`);
    return this.#give(host, { action: 'suspend', vm }, { by, dryRun });
  }

  resume(vm: VmId, by: string, to: string | null = null, dryRun = false): SuspendOrderView {
    const holder = this.#hostOf(vm);
    const { host, placement } = this.#destination(vm, holder, to, null);
    const told = { by, dryRun, placement };
    if (host === holder) return this.#give(holder, this.#resumeOrder(vm), told);
    this.#mustMove(holder);
    this.#mustMove(host);
    return this.#give(holder, { action: 'lend', vm, to: host, key: this.#options.newKey() }, told);
  }

  prefetch(vm: VmId, terms: PrefetchTerms, by: string, dryRun = false): SuspendOrderView {
    const holder = this.#hostOf(vm);
    const { to = null } = terms;
    const { host, placement } = this.#destination(vm, holder, to, PREFETCH_TO_CAPABILITY);
    const told = { by, dryRun, placement };
    for (const each of new Set([holder, host])) {
      const reason = this.#options.killed(vm, each);
      if (reason !== null) throw new HeadroomError('CONFLICT', `VM ${vm} is not made ready: ${reason}`);
    }
    if (host === holder) return this.#give(holder, this.#prefetchOrder(vm, terms), told);
    this.#mustMove(holder);
    this.#mustMove(host);
    if (!this.#options.understands(host, PREFETCH_TO_CAPABILITY))
      throw new HeadroomError('UNAVAILABLE', `the agent of host ${host} is of an older release: it makes nothing ready from another host`);
    const { priority, deadlineMs } = this.#prefetchOrder(vm, terms);
    const due = deadlineMs === undefined ? {} : { deadlineMs };
    const lent = this.#give(holder, { action: 'lend', vm, to: host, key: this.#options.newKey(), priority, ...due }, told);
    if (!dryRun) this.#readyThere.set(lent.id, { ...terms, priority });
    return lent;
  }

  release(vm: VmId, by: string, dryRun = false): SuspendOrderView {
    return this.#give(this.#hostOf(vm), { action: 'release', vm }, { by, dryRun });
  }

  verify(vm: VmId, by: string, dryRun = false): SuspendOrderView {
    return this.#give(this.#hostOf(vm), { action: 'verify', vm }, { by, dryRun });
  }

  collect(host: HostId | null, by: string, dryRun = false): SuspendOrderView[] {
    const { hosts, understands } = this.#options;
    const able = hosts().filter(({ id, connected }) => connected && understands(id, SUSPEND_CAPABILITY) && (host === null || id === host));
    if (host !== null && able.length === 0) throw new HeadroomError('UNAVAILABLE', `host ${host} keeps no snapshots, or is not connected`);
    return able.map(({ id }) => this.#give(id, { action: 'collect' }, { by, dryRun }));
  }

  #prefetchOrder(
    vm: VmId,
    { holdMs, bytesPerSecondMax, deadlineMs = null, priority: asked = null, share = 1 }: PrefetchTerms,
  ): Extract<SuspendOrder, { action: 'prefetch' }> & { priority: number } {
    const priority = asked ?? this.#options.priorityOf(vm) ?? PREFETCH_PRIORITY;
    const rest = { ...(deadlineMs === null ? {} : { deadlineMs }), ...(share === 1 ? {} : { share }) };
    return { action: 'prefetch', vm, holdMs, bytesPerSecondMax, priority, ...rest };
  }

  #resumeOrder(vm: VmId): Extract<SuspendOrder, { action: 'resume' }> {
    const { filledBytes = 0 } = this.suspension(vm) ?? {};
    return { action: 'resume', vm, roomMiB: Math.max(filledBytes / MIB, this.#options.expectedMiB(vm) ?? 0) };
  }

  /** `any`: where it has room, now and by forecast, and least must move. */
  #destination(vm: VmId, holder: HostId, to: string | null, capability: string | null): Destination {
    const { hosts, expectedCores } = this.#options;
    if (to === null) return { host: holder, placement: null };
    if (to !== 'any') {
      const named = hosts().find(({ id }) => id === to);
      if (named === undefined) throw new HeadroomError('NOT_FOUND', `no host "${to}" is known`);
      return { host: named.id, placement: null };
    }
    const memoryMiB = this.#resumeOrder(vm).roomMiB ?? 0;
    const placement = placeResume(this.#options, { vm, holder, memoryMiB, cores: expectedCores(vm), capability });
    return { host: placement.host, placement };
  }

  #mustMove(host: HostId): void {
    const { hosts, understands } = this.#options;
    const connected = hosts().some((one) => one.id === host && one.connected);
    if (connected && understands(host, SUSPEND_MOVE_CAPABILITY)) return;
    const why = connected ? 'its agent neither lends snapshots nor takes any (snapshotDir)' : 'it is not connected';
    throw new HeadroomError('UNAVAILABLE', `host ${host} cannot take part in a resume on another host: ${why}`);
  }

  /** What a lent VM, or one that could not be brought back on another host, is ordered next. */
  #next({ id, order, host, by }: OrderUnderWay, { outcome, address }: OrderEnded): SuspendOrderView | null {
    const { log } = this.#options.to;
    const terms = this.#readyThere.get(id);
    this.#readyThere.delete(id);
    try {
      if (order.action === 'lend' && outcome === 'applied' && address !== undefined) {
        const from = { host, address, key: order.key };
        if (terms !== undefined)
          return this.#give(
            order.to as HostId,
            { ...this.#prefetchOrder(order.vm as VmId, terms), roomMiB: this.#resumeOrder(order.vm as VmId).roomMiB, from },
            { by, dryRun: false },
          );
        return this.#give(order.to as HostId, { ...this.#resumeOrder(order.vm as VmId), from }, { by, dryRun: false });
      }
      if (order.action === 'resume' && order.from !== undefined && outcome !== 'applied') {
        const told = { by: `${by}, after host ${host} could not`, dryRun: false };
        return this.#give(order.from.host as HostId, this.#resumeOrder(order.vm as VmId), told);
      }
      // Its holder may do as it likes with it again.
      if (order.action === 'prefetch' && order.from !== undefined && outcome !== 'applied') {
        const told = { by: `${by}, after host ${host} could not`, dryRun: false };
        return this.#give(order.from.host as HostId, { action: 'release', vm: order.vm }, told);
      }
    } catch (error) {
      log.warn('a VM that was lent is not brought back', { vm: 'vm' in order ? order.vm : null, problem: errorText(error) });
    }
    return null;
  }

  #predicted({ vm, phase }: Suspended): SuspensionView['prediction'] {
    const { calendar, to } = this.#options;
    return phase === 'running' ? null : calendar.predict(vm as VmId, to.nowMs(), WITHIN_MS);
  }

  /** Where it is suspended or lives on a snapshot. */
  #hostOf(vm: VmId): HostId {
    const host = this.suspension(vm)?.host ?? this.#options.known(vm)?.host;
    if (host === undefined) throw new HeadroomError('NOT_FOUND', `no VM ${vm} is known`);
    return host;
  }

  #give(host: HostId, order: SuspendOrder, { by, dryRun, placement = null }: Told): SuspendOrderView {
    const { orders, hosts, understands, to } = this.#options;
    const vm = 'vm' in order ? (order.vm as VmId) : null;
    const open = vm === null ? undefined : orders.of(vm);
    // What is made ready may be wanted before it is, or not at all.
    if (open !== undefined && !(open.order.action === 'prefetch' && (order.action === 'resume' || order.action === 'release'))) {
      throw new HeadroomError('CONFLICT', `order ${open.id} for this VM is under way; wait for it`);
    }
    if (!hosts().some(({ id, connected }) => id === host && connected))
      throw new HeadroomError('UNAVAILABLE', `host ${host} is not connected`);
    if (!understands(host, SUSPEND_CAPABILITY)) {
      throw new HeadroomError(
        'UNAVAILABLE',
        `host ${host} suspends no VMs: its administrator has named no place for snapshots (snapshotDir)`,
      );
    }
    const atMs = to.nowMs();
    const asked = { id: 'none', host, vm, order, by, askedAtMs: atMs, progress: null, ahead: 0 };
    if (dryRun) return { ...this.#view(asked, null), state: 'tried', placement };
    const given = orders.give(host, order, by, atMs, (ended) => this.#endedWith(given, ended));
    if (placement !== null) this.#placed.set(given.id, placement);
    to.queue.append(atMs, {
      ...{ kind: 'operator', action: `${order.action} asked for`, by },
      ...{ target: vm === null ? `host ${host}` : `vm ${vm}`, reason: placement === null ? given.id : `${given.id}; ${placement.reason}` },
    });
    return this.#view(given, null);
  }

  #endedWith(given: OrderUnderWay, ended: OrderEnded): void {
    const { to, onResumed } = this.#options;
    const next = this.#next(given, ended);
    const view = { ...this.#view(given, ended), followedBy: next?.id ?? null };
    this.#placed.delete(view.id);
    this.#ended.set(view.id, view);
    const oldest = this.#ended.keys().next().value;
    if (this.#ended.size > ENDED_MAX && oldest !== undefined) this.#ended.delete(oldest);
    const { vm, host, action, outcome, reason } = view;
    const words = wordsOf(view);
    const nowMs = to.nowMs();
    to.queue.append(nowMs, { kind: 'event', event: `${action} ${outcome}`, vm, host, resource: null, message: words, after: null });
    to.events.add(nowMs, { kind: 'notification', vm, host, message: words, data: { event: 'suspension', order: view } });
    if (vm !== null) to.notifications.add({ timeMs: nowMs, vm, kind: 'suspension', resource: null, message: words, data: { order: view } });
    if (outcome === 'failed') to.log.warn(words, { vm, host, reason });
    if (vm === null || outcome !== 'applied') return;
    this.#learn(vm, given.order.action, ended.measured, nowMs);
    if (action === 'resume') onResumed(vm);
  }

  #learn(vm: VmId, action: SuspendAction, { ranMs, aliveMs, bytesFirst = 0 }: OrderEnded['measured'], nowMs: number): void {
    const { tuner } = this.#options;
    if (action === 'prefetch') tuner.notePrepared(vm, bytesFirst, nowMs);
    if (action === 'resume' && ranMs !== undefined) tuner.noteBack(vm, aliveMs ?? ranMs, bytesFirst, nowMs);
  }

  #view({ id, host, vm, order, by, askedAtMs, progress, ahead }: OrderUnderWay, ended: OrderEnded | null): SuspendOrderView {
    const { priority = null, deadlineMs = null } = order.action === 'prefetch' || order.action === 'lend' ? order : {};
    const vmName = vm === null ? null : (this.#options.known(vm)?.name ?? this.suspension(vm)?.name ?? null);
    return {
      ...{ id, action: order.action, vm, vmName, host, by, askedAtMs, progress: ended === null ? progress : null },
      ...{ priority, dueAtMs: deadlineMs === null ? null : askedAtMs + deadlineMs, ahead: ended === null ? ahead : 0 },
      state: ended === null ? 'working' : 'ended',
      outcome: ended?.outcome ?? null,
      reason: ended?.reason ?? '',
      endedAtMs: ended === null ? null : this.#options.to.nowMs(),
      followedBy: null,
      placement: this.#placed.get(id) ?? null,
      measured: { ...ended?.measured },
    };
  }
}

/** For the VM's owner. */
function wordsOf({ action, outcome, reason, vmName, host, measured }: SuspendOrderView): string {
  const who = vmName ?? `host ${host}`;
  if (outcome !== 'applied') return `${who}: ${action} ${outcome}: ${reason}`;
  const ms = typeof measured.ranMs === 'number' ? measured.ranMs : measured.stoppedMs;
  const took = typeof ms === 'number' ? ` (${Math.round(ms)} ms)` : '';
  return `${who}: ${WORDS[action]}${took}${reason === '' ? '' : `; ${reason}`}`;
}
