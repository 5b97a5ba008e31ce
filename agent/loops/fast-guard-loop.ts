/**
 * Runs the fast guard on each sample of what the host itself sees, within the ceilings and reserves of the last lease frame;
 * they stay in force when the lease runs out and no aggregator is there. Input: the table; output: growth written through
 * the one writer, the local generation advanced, events.
 */
import { fastGuard, type GuardAction, type GuardVm } from '../../shared/fast-guard.ts';
import type { Setting } from '../../shared/resources.ts';
import { foreseenMiB, SILENT_MS } from '../core/inflation.ts';
import { memoryRefusal } from '../core/memory-guard.ts';
import { type Allowance, guardedHost, type HostContext, statsAgeMsMax, tell } from './host-context.ts';
import { isInflating } from './inflation.ts';
import { handsOff, isUp, known, type VmEntry, vouchedMemory } from './vm-table.ts';
import { carryOutLocally } from './writer.ts';

export interface FastGuardLoop {
  /** Once per sample. */
  tick(): void;
}

export function createFastGuardLoop(context: HostContext): FastGuardLoop {
  return {
    tick() {
      const { host, table } = context;
      if (host.allowances.size === 0 || host.killed.host !== null) return;
      const vms: GuardVm[] = [];
      for (const [vm, allowance] of host.allowances) {
        const entry = table.get(vm);
        if (entry !== undefined && mayAct(context, entry)) vms.push(guardVm(context, entry, allowance));
      }
      const output = fastGuard({ vms, reserveCores: host.reserveCores, reserveMiB: host.reserveMiB });
      for (const action of output.actions) {
        const entry = table.get(action.vm);
        if (entry !== undefined) start(context, entry, action);
      }
    },
  };
}

/** What may still be handed out on this host's own account, with what is just being given and may come back. */
export function guardReserveOf({ host }: HostContext): { cores: number; memoryMiB: number } {
  return { cores: Math.max(0, host.reserveCores + host.givingCores), memoryMiB: Math.max(0, host.reserveMiB + host.givingMiB) };
}

function mayAct(context: HostContext, entry: VmEntry): boolean {
  return entry.managed && isUp(entry) && !entry.stuck && !entry.jobActive && !context.host.killed.vms.has(entry.id);
}

function guardVm(context: HostContext, entry: VmEntry, allowance: Allowance): GuardVm {
  const { cpu } = entry.current;
  const cpuOurs =
    entry.eligibility.cpu.allowed &&
    handsOff(entry, 'cpu') === null &&
    !entry.guarding.has('cpu') &&
    !entry.writing.has('cpu') &&
    cpu?.resource === 'cpu';
  const memoryOurs =
    entry.eligibility.memory.allowed &&
    handsOff(entry, 'memory') === null &&
    !entry.guarding.has('memory') &&
    // A write that only waits for its balloon gives way.
    (!entry.writing.has('memory') || entry.hurry !== null) &&
    context.host.balloonManager === null;
  const memory = vouchedMemory(entry, context.clock.monotonicMs(), statsAgeMsMax(context.settings));
  const inflating = isInflating(context, entry);
  const touchedMiB = known((entry.fast?.rssMiB ?? Number.NaN) - entry.slow.rssAtToldMiB) ?? 0;
  return {
    vm: entry.id,
    capCores: cpuOurs ? cpu.capCores : null,
    usageCores: known(entry.fast?.usageCores ?? Number.NaN),
    throttledFraction: known((entry.fast?.throttledFraction ?? Number.NaN) * idleVcpus(entry)),
    cpuCeilingCores: allowance.cpuCeilingCores,
    balloonMiB: memoryOurs ? memory.balloonMiB : null,
    targetMiB: memory.targetMiB ?? memory.balloonMiB,
    availableMiB: memory.availableMiB,
    foreseenMiB: inflating ? foreseenMiB(memory, touchedMiB) : null,
    silent: inflating && (entry.facts?.statsPeriodSeconds ?? 0) === 1 && memory.toldAgeMs > SILENT_MS,
    memoryPressureFraction: known(entry.fast?.memorySomeFraction ?? Number.NaN),
    swapInMiBPerSecond: memory.availableMiB === null ? null : known(entry.slow.swapInMiBPerSecond),
    memoryCeilingMiB: allowance.memoryCeilingMiB,
  };
}

/** Throttled time is told as a mean over all vCPUs; those that are offline are never throttled. */
function idleVcpus({ vcpuHold, facts }: VmEntry): number {
  return vcpuHold.online === null || facts === null ? 1 : Math.max(1, facts.vcpusOnline / vcpuHold.online);
}

/** Takes the growth out of the reserve at once, and gives back what was not used. */
function start(context: HostContext, entry: VmEntry, action: GuardAction): void {
  const { host, queues } = context;
  const { resource } = action;
  if (action.resource === 'memory' && memoryRefused(context, entry, action.memoryMiB)) return;
  const cost = costOf(entry, action);
  const over = (): void => {
    host.givingCores -= cost.cores;
    host.givingMiB -= cost.memoryMiB;
    entry.guarding.delete(resource);
    if (resource === 'memory') entry.pendingMiB = 0;
  };
  const withdraw = (): void => {
    host.reserveCores += cost.cores;
    host.reserveMiB += cost.memoryMiB;
    over();
  };
  host.reserveCores -= cost.cores;
  host.reserveMiB -= cost.memoryMiB;
  host.givingCores += cost.cores;
  host.givingMiB += cost.memoryMiB;
  // Marked before its turn comes: the next sample must not ask for the same again.
  entry.guarding.add(resource);
  if (action.resource === 'memory') entry.pendingMiB = action.memoryMiB;
  entry.hurry?.ask();
  const queued = queues.add(entry.id, async () => {
    const done = await carryOutLocally(context, entry, resource, () => growth(entry, action)).catch((error: unknown) => {
      withdraw();
      throw error;
    });
    if (done?.result.outcome !== 'applied') {
      withdraw();
      if (done) context.log.warn('the fast guard could not act', { vm: entry.id, resource, reason: done.result.reason });
      return;
    }
    over();
    const kind = resource === 'cpu' ? 'guard-grew' : 'guard-deflated';
    const { result, pair, setting } = done;
    tell(context, kind, `${entry.name}: ${action.reason}`, { vm: entry.id, resource, setting: result.readBack ?? setting, pair });
  });
  if (!queued) withdraw();
}

function memoryRefused(context: HostContext, entry: VmEntry, memoryMiB: number): boolean {
  const memory = vouchedMemory(entry, context.clock.monotonicMs(), statsAgeMsMax(context.settings));
  return memoryRefusal(memoryMiB, memory, guardedHost(context)) !== null;
}

/** The setting to write, judged at its turn: a plan may have given more in the meantime, and the guard never shrinks. */
function growth(entry: VmEntry, action: GuardAction): Setting | null {
  if (action.resource === 'memory') {
    const target = entry.watches.memory?.target;
    const targetMiB = target?.resource === 'memory' ? target.memoryMiB : entry.slow.balloonMiB;
    const memoryMiB = Math.floor(action.memoryMiB);
    return memoryMiB > targetMiB ? { resource: 'memory', memoryMiB } : null;
  }
  const { cpu } = entry.current;
  if (cpu?.resource !== 'cpu' || cpu.capCores === null || action.capCores <= cpu.capCores) return null;
  return { ...cpu, capCores: action.capCores };
}

/** What an action takes from the reserves, as the guard itself counts it. */
function costOf(entry: VmEntry, action: GuardAction): { cores: number; memoryMiB: number } {
  if (action.resource === 'cpu') {
    const { cpu } = entry.current;
    return { cores: cpu?.resource === 'cpu' && cpu.capCores !== null ? action.capCores - cpu.capCores : 0, memoryMiB: 0 };
  }
  const target = entry.watches.memory?.target;
  const heldMiB = Math.max(entry.slow.balloonMiB, target?.resource === 'memory' ? target.memoryMiB : 0);
  return { cores: 0, memoryMiB: Math.max(0, action.memoryMiB - heldMiB) };
}
