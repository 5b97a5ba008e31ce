/**
 * The host's inventory for the aggregator: in full at each connect and once a period, only what changed in between. Input:
 * the table; output: inventory frames.
 */
import type { FrameOf, VmInventory } from '../../shared/protocol/frames.ts';
import { RESOURCES, type Setting } from '../../shared/resources.ts';
import { holdLeftMs } from '../core/foreign-hold.ts';
import { isolationLeftMs } from '../core/isolation.ts';
import { physicalMap } from '../core/physical-map.ts';
import { asksForProbe } from '../core/readiness.ts';
import { type FoundSlice, lentMiB, sliceWords } from '../core/slice-state.ts';
import { vmState } from '../core/vm-state.ts';
import { clockReading, type HostContext } from './host-context.ts';
import { exposureMiB, overheadMiB, type VmEntry } from './vm-table.ts';

export interface InventoryLoop {
  /** From the uplink, when a connection is ready. */
  sendFull(): void;
  /** Once a second: sends what changed, or all when its period is over. */
  tick(): void;
  changed(): void;
}

/** Some things change by themselves (a boot's deadline passes, a balloon arrives): looked for this often. */
const LOOK_EVERY_MS = 5000;

type SendInventory = (frame: FrameOf<'inventory'>) => boolean;

export function createInventoryLoop(context: HostContext, send: SendInventory): InventoryLoop {
  const { clock, settings } = context;
  let dirty = true;
  let fullAtMs = Number.NEGATIVE_INFINITY;
  let lookedAtMs = Number.NEGATIVE_INFINITY;
  /** What the aggregator knows, as text: only differences travel. */
  let sentHost = '';
  let sent = new Map<string, string>();

  const sendFull = (): void => {
    const frame = inventory(context);
    dirty = false;
    if (!send(frame)) return;
    fullAtMs = clock.monotonicMs();
    sentHost = JSON.stringify(frame.host);
    sent = textsOf(frame.vms);
  };

  const sendChanges = (): void => {
    const now = inventory(context);
    dirty = false;
    lookedAtMs = clock.monotonicMs();
    const texts = textsOf(now.vms);
    const vms = now.vms.filter(({ vm }) => sent.get(vm) !== texts.get(vm));
    const gone = [...sent.keys()].filter((vm) => !texts.has(vm));
    const host = JSON.stringify(now.host);
    if (vms.length === 0 && gone.length === 0 && host === sentHost) return;
    if (!send({ ...now, full: false, vms, gone })) return;
    sentHost = host;
    sent = texts;
  };

  return {
    sendFull,
    tick() {
      if (clock.monotonicMs() - fullAtMs >= settings.inventoryMs) sendFull();
      else if (dirty || clock.monotonicMs() - lookedAtMs >= LOOK_EVERY_MS) sendChanges();
    },
    changed() {
      dirty = true;
    },
  };
}

const textsOf = (vms: readonly VmInventory[]): Map<string, string> => new Map(vms.map((vm) => [vm.vm, JSON.stringify(vm)]));

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

function vmInventory(context: HostContext, entry: VmEntry, slices: readonly FoundSlice[]): VmInventory {
  const { clock, settings } = context;
  const facts = entry.facts;
  const evidence = {
    power: entry.power,
    guestAgent: entry.guestAgent,
    serves: entry.serves,
    ...(asksForProbe(facts?.labels ?? {}) ? { probe: entry.applicationReady } : {}),
    runningMs: clock.monotonicMs() - entry.aliveSinceMs,
    bootDeadlineMs: settings.bootDeadlineMs,
  };
  return {
    vm: entry.id,
    name: entry.name.slice(0, 256),
    state: vmState(evidence),
    vcpus: facts?.vcpusOnline ?? 0,
    bootMemoryMiB: facts?.bootMemoryMiB ?? 0,
    overheadMiB: roundedUp(overheadMiB(entry)),
    numaNode: facts?.numaNode ?? null,
    osFamily: facts?.osFamily ?? (entry.guestAgentSeen ? 'linux' : null),
    labels: facts?.labels ?? {},
    eligibility: entry.eligibility,
    baseline: settingsOf(entry.baseline),
    current: settingsOf(entry.current),
    pairs: RESOURCES.flatMap((resource) => {
      const pair = entry.record.pairs[resource];
      return pair ? [{ resource, pair }] : [];
    }),
    holds: holdsOf(context, entry),
    jobActive: entry.jobActive,
    ...isolationOf(context, entry),
    guestAgent: entry.guestAgent,
    ...(facts === null ? {} : { devices: physicalMap(facts, (target) => sliceWords(slices, entry.id, target, clock.bootMs())) }),
    missingSignals: missingSignals(entry),
  };
}

/** What the host tells at the fast pace where it can: cgroup v1 knows no pressure, a VM without groups no throttling. */
const FAST_SIGNALS = {
  'cpu-usage': 'usageCores',
  'cpu-throttling': 'throttledFraction',
  'cpu-run-delay': 'waitFraction',
  'resident-memory': 'rssMiB',
  pressure: 'memorySomeFraction',
} as const;

/** Signals this VM lacks: problems met, fast signals the host cannot tell, and a guest's own where no agent is connected. */
function missingSignals(entry: VmEntry): string[] {
  const missing = [...entry.missing.keys()];
  const { fast } = entry;
  if (fast !== null) {
    for (const [name, field] of Object.entries(FAST_SIGNALS)) if (Number.isNaN(fast[field])) missing.push(name);
  }
  if (!entry.guestAgent) missing.push('guest-agent');
  return missing.slice(0, 64);
}

const settingsOf = (map: VmEntry['current']): Setting[] => RESOURCES.flatMap((resource) => map[resource] ?? []);

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
