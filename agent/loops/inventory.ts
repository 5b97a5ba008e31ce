/**
 * The host's inventory for the aggregator: in full at each connect and once a period, only what changed in between. Input:
 * the table; output: inventory frames.
 */
import type { VmId } from '../../shared/ids.ts';
import type { FrameOf, VmDevice, VmInventory } from '../../shared/protocol/frames.ts';
import { RESOURCES, type Resource, type Setting } from '../../shared/resources.ts';
import { sameValue } from '../../shared/same-value.ts';
import { holdLeftMs } from '../core/foreign-hold.ts';
import { isolationLeftMs } from '../core/isolation.ts';
import { physicalMap } from '../core/physical-map.ts';
import { memoryMiBMax } from '../core/plugged-memory.ts';
import { asksForProbe } from '../core/readiness.ts';
import { type FoundSlice, lentMiB, sliceKindOf, sliceWords } from '../core/slice-state.ts';
import type { VmFacts } from '../core/vm-facts.ts';
import { vmState } from '../core/vm-state.ts';
import { clockReading, type HostContext } from './host-context.ts';
import { vcpusTold } from './vcpu-loop.ts';
import { exposureMiB, overheadMiB, type VmEntry } from './vm-table.ts';

export interface InventoryLoop {
  /** From the uplink, when a connection is ready. */
  sendFull(): void;
  /** With each look: sends what changed, or all when its period is over. */
  tick(): void;
  changed(): void;
}

/** Some things change by themselves (a boot's deadline passes, a balloon arrives): looked for this often, or with each sample where those are rarer. */
const LOOK_EVERY_MS = 5000;

type SendInventory = (frame: FrameOf<'inventory'>) => boolean;

export function createInventoryLoop(context: HostContext, send: SendInventory): InventoryLoop {
  const { clock, settings } = context;
  const lookEveryMs = Math.max(LOOK_EVERY_MS, settings.sampleMs);
  let dirty = true;
  let fullAtMs = Number.NEGATIVE_INFINITY;
  let lookedAtMs = Number.NEGATIVE_INFINITY;
  /** What the aggregator knows: only differences travel. */
  let sentHost: FrameOf<'inventory'>['host'] | null = null;
  let sent = new Map<string, VmInventory>();

  const sendFull = (): void => {
    const frame = inventory(context);
    dirty = false;
    if (!send(frame)) return;
    fullAtMs = clock.monotonicMs();
    sentHost = frame.host;
    sent = byVm(frame.vms);
  };

  const sendChanges = (): void => {
    const now = inventory(context);
    dirty = false;
    lookedAtMs = clock.monotonicMs();
    const vms = now.vms.filter((vm) => !sameValue(vm, sent.get(vm.vm)));
    const known = byVm(now.vms);
    const gone = [...sent.keys()].filter((vm) => !known.has(vm));
    if (vms.length === 0 && gone.length === 0 && sameValue(now.host, sentHost)) return;
    if (!send({ ...now, full: false, vms, gone })) return;
    sentHost = now.host;
    sent = known;
  };

  return {
    sendFull,
    tick() {
      if (clock.monotonicMs() - fullAtMs >= settings.inventoryMs) sendFull();
      else if (dirty || clock.monotonicMs() - lookedAtMs >= lookEveryMs) sendChanges();
    },
    changed() {
      dirty = true;
    },
  };
}

const byVm = (vms: readonly VmInventory[]): Map<string, VmInventory> => new Map(vms.map((vm) => [vm.vm, vm]));

function inventory(context: HostContext): FrameOf<'inventory'> {
  const { host, hypervisor, table } = context;
  const entries = [...table.values()];
  const slices = context.slices();
  // What VMs outside our patterns may hold is not there to be given to ours.
  const others = entries.filter((entry) => !entry.managed).reduce((sum, entry) => sum + exposureMiB(entry), 0);
  return {
    type: 'inventory',
    full: true,
    host: {
      cpuCores: host.capacity?.cpuCores ?? 0,
      memoryMiB: Math.max(0, (host.capacity?.memoryMiB ?? 0) - others - lentMiB(slices)),
      numaNodes: (host.capacity?.numaNodes ?? []).map(({ id, memoryMiB }) => ({ id, memoryMiB })),
      architecture: host.capacity?.architecture ?? 'unknown',
      hypervisorVersion: host.capacity?.hypervisorVersion ?? 'unknown',
      balloonManager: host.balloonManager,
      hypervisorConnected: hypervisor.connected,
      killSwitch: host.killed.host !== null,
    },
    vms: entries.filter((entry) => entry.managed && entry.facts !== null).map((entry) => vmInventory(context, entry, slices)),
    gone: [],
  };
}

/** What was told of a VM last, and what it was made of. */
const TOLD = new WeakMap<VmEntry, { of: MadeOf; inventory: VmInventory }>();

/** Looked through every few seconds, and mostly as it was: then it is the same object, which needs no comparing. */
function vmInventory(context: HostContext, entry: VmEntry, slices: readonly FoundSlice[]): VmInventory {
  if (changesByItself(context, entry)) return freshInventory(context, entry, slices);
  const told = TOLD.get(entry);
  const state = stateOf(context, entry);
  const overhead = roundedUp(overheadMiB(entry));
  if (told !== undefined && isMadeOf(told.of, entry, state, overhead) && missesAsTold(entry, told.inventory.missingSignals))
    return told.inventory;
  const inventory = freshInventory(context, entry, slices);
  TOLD.set(entry, { of: madeOf(entry, state, overhead), inventory });
  return inventory;
}

/** Remaining times count down, and a borrowed slice ages. */
function changesByItself({ host }: HostContext, { id, facts, record }: VmEntry): boolean {
  const { holds, isolation } = record;
  if (isolation !== undefined || host.killed.vms.has(id) || RESOURCES.some((resource) => holds[resource] !== undefined)) return true;
  return facts?.disks.some(({ source }) => sliceKindOf(source) !== null) ?? false;
}

/** All that the inventory of such a VM is made of beside its missing signals: parts that are replaced when they change, never changed. */
type MadeOf = Pick<
  VmEntry,
  'name' | 'facts' | 'eligibility' | 'baseline' | 'record' | 'jobActive' | 'guestAgent' | 'guestAgentSeen' | 'vcpuHold'
> &
  Record<Resource, Setting | undefined> & { state: VmInventory['state']; overhead: number | null };

function madeOf(entry: VmEntry, state: VmInventory['state'], overhead: number | null): MadeOf {
  const { name, facts, eligibility, baseline, current, record, jobActive, guestAgent, guestAgentSeen, vcpuHold } = entry;
  const { cpu, memory, network, disk } = current;
  return {
    ...{ name, facts, eligibility, baseline, record, jobActive, guestAgent, guestAgentSeen, vcpuHold },
    cpu,
    memory,
    network,
    disk,
    state,
    overhead,
  };
}

/** Part by part, without a list of them: it is asked of every VM again and again. */
function isMadeOf(of: MadeOf, entry: VmEntry, state: VmInventory['state'], overhead: number | null): boolean {
  const { current } = entry;
  return (
    of.state === state &&
    of.overhead === overhead &&
    of.cpu === current.cpu &&
    of.memory === current.memory &&
    of.network === current.network &&
    of.disk === current.disk &&
    of.record === entry.record &&
    of.facts === entry.facts &&
    of.name === entry.name &&
    of.eligibility === entry.eligibility &&
    of.baseline === entry.baseline &&
    of.jobActive === entry.jobActive &&
    of.guestAgent === entry.guestAgent &&
    of.guestAgentSeen === entry.guestAgentSeen &&
    of.vcpuHold === entry.vcpuHold
  );
}

function stateOf({ clock, settings }: HostContext, entry: VmEntry): VmInventory['state'] {
  return vmState({
    power: entry.power,
    guestAgent: entry.guestAgent,
    serves: entry.serves,
    ...(asksForProbe(entry.facts?.labels ?? {}) ? { probe: entry.applicationReady } : {}),
    runningMs: clock.monotonicMs() - entry.aliveSinceMs,
    bootDeadlineMs: settings.bootDeadlineMs,
  });
}

function freshInventory(context: HostContext, entry: VmEntry, slices: readonly FoundSlice[]): VmInventory {
  const { facts } = entry;
  const vcpusOnline = vcpusTold(entry);
  return {
    vm: entry.id,
    name: entry.name.slice(0, 256),
    state: stateOf(context, entry),
    vcpus: facts?.vcpusOnline ?? 0,
    // Where memory may be plugged: the most it can come to hold, which is what rooms are reckoned by.
    bootMemoryMiB: facts === null ? 0 : memoryMiBMax(facts),
    overheadMiB: roundedUp(overheadMiB(entry)),
    numaNode: facts?.numaNode ?? null,
    osFamily: facts?.osFamily ?? (entry.guestAgentSeen ? 'linux' : null),
    labels: facts?.labels ?? {},
    eligibility: entry.eligibility,
    baseline: settingsOf(entry.baseline),
    current: settingsOf(entry.current),
    pairs: pairsOf(entry),
    holds: holdsOf(context, entry),
    jobActive: entry.jobActive,
    ...isolationOf(context, entry),
    guestAgent: entry.guestAgent,
    ...(vcpusOnline === null ? {} : { vcpusOnline }),
    ...(facts === null ? {} : { devices: devicesOf(context, entry.id, facts, slices) }),
    missingSignals: missingSignals(entry),
  };
}

/** What the host tells at the fast pace where it can: cgroup v1 knows no pressure, a VM without groups no throttling. */
const FAST_SIGNALS = [
  ['cpu-usage', 'usageCores'],
  ['cpu-throttling', 'throttledFraction'],
  ['cpu-run-delay', 'waitFraction'],
  ['resident-memory', 'rssMiB'],
  ['pressure', 'memorySomeFraction'],
] as const;

/** Signals this VM lacks: problems met, fast signals the host cannot tell, and a guest's own where no agent is connected. */
function missingSignals(entry: VmEntry): string[] {
  const missing = [...entry.missing.keys()];
  const { fast } = entry;
  if (fast !== null) {
    for (const [name, field] of FAST_SIGNALS) if (Number.isNaN(fast[field])) missing.push(name);
  }
  if (!entry.guestAgent) missing.push('guest-agent');
  return missing.slice(0, 64);
}

/** Without a list of its own, as for the other parts. */
function missesAsTold(entry: VmEntry, told: readonly string[]): boolean {
  const { fast } = entry;
  let at = 0;
  for (const name of entry.missing.keys()) if (told[at++] !== name) return false;
  if (fast !== null) {
    for (let i = 0; i < FAST_SIGNALS.length; i++) {
      const [name, field] = FAST_SIGNALS[i]!;
      if (Number.isNaN(fast[field]) && told[at++] !== name) return false;
    }
  }
  if (!entry.guestAgent && told[at++] !== 'guest-agent') return false;
  return at === told.length;
}

function settingsOf(map: VmEntry['current'] | VmEntry['baseline']): Setting[] {
  const settings: Setting[] = [];
  for (const resource of RESOURCES) {
    const setting = map[resource];
    if (setting !== undefined) settings.push(setting);
  }
  return settings;
}

function pairsOf({ record }: VmEntry): VmInventory['pairs'] {
  const pairs: VmInventory['pairs'] = [];
  for (const resource of RESOURCES) {
    const pair = record.pairs[resource];
    if (pair !== undefined) pairs.push({ resource, pair });
  }
  return pairs;
}

/** A definition says the same of its devices for as long as it is not read anew. */
const DEVICES = new WeakMap<VmFacts, VmDevice[]>();

function devicesOf({ clock }: HostContext, vm: VmId, facts: VmFacts, slices: readonly FoundSlice[]): VmDevice[] {
  const known = DEVICES.get(facts);
  if (known !== undefined) return known;
  const devices = physicalMap(facts, (target) => sliceWords(slices, vm, target, clock.bootMs()));
  // How fresh a borrowed slice is, changes by itself.
  if (!facts.disks.some(({ source }) => sliceKindOf(source) !== null)) DEVICES.set(facts, devices);
  return devices;
}

/** Overhead in steps, so that its noise is not a change to be sent each second. */
const OVERHEAD_STEP_MIB = 16;
const roundedUp = (value: number | null): number | null =>
  value === null ? null : Math.ceil(value / OVERHEAD_STEP_MIB) * OVERHEAD_STEP_MIB;

/** Remaining times in steps, for the same reason. */
const HOLD_STEP_MS = 60_000;

function isolationOf(context: HostContext, { record: { isolation } }: VmEntry): Pick<VmInventory, 'isolation'> {
  if (isolation === undefined) return {};
  const leftMs = isolationLeftMs(isolation, clockReading(context));
  return { isolation: { reason: isolation.reason, forMs: Math.ceil(leftMs / HOLD_STEP_MS) * HOLD_STEP_MS } };
}

function holdsOf(context: HostContext, entry: VmEntry): VmInventory['holds'] {
  const now = clockReading(context);
  const holds: VmInventory['holds'] = [];
  for (const resource of RESOURCES) {
    const hold = entry.record.holds[resource];
    if (!hold) continue;
    const leftMs = holdLeftMs(hold, now);
    const forMs = leftMs === null ? null : Math.ceil(leftMs / HOLD_STEP_MS) * HOLD_STEP_MS;
    holds.push({ resource, reason: hold.reason.slice(0, 256), forMs });
  }
  const killed = context.host.killed.vms.get(entry.id);
  if (killed !== undefined) {
    for (const resource of RESOURCES) holds.push({ resource, reason: `kill switch: ${killed}`.slice(0, 256), forMs: null });
  }
  return holds;
}
