/**
 * Finds the host's VMs and keeps what is known of each up to date: definition, process, eligibility, baseline, values in
 * force. A VM started anew begins with a clean journal; one that this agent wrote to before it was itself restarted is
 * taken up again. Input: the hypervisor; output: the table.
 */
import { errorText } from '../../shared/errors.ts';
import { type VmId, vmId } from '../../shared/ids.ts';
import { RESOURCES } from '../../shared/resources.ts';
import { sameValue } from '../../shared/same-value.ts';
import { eligibility } from '../core/eligibility.ts';
import { watchReboot, watchUnended, watchWrite } from '../core/foreign-writer.ts';
import { hasEntries, type VmRecord, withoutEntries } from '../core/journal.ts';
import { createMemoryTrend } from '../core/memory-trend.ts';
import { matchesAny } from '../core/name-pattern.ts';
import { NO_COUNTERS } from '../core/vm-counters.ts';
import type { PowerState, VmSummary } from '../hypervisor/hypervisor.ts';
import { type HostContext, tell } from './host-context.ts';
import { type CounterSource, ratesAt } from './look.ts';
import { type InTurn, MissedLooks } from './missed-looks.ts';
import { refreshSetting } from './settings.ts';
import { askForStatistics } from './stats-period.ts';
import { takeUp } from './taken-up.ts';
import { createVmEntry, holdsMemory, isUp, NO_SLOW_READINGS, type VmEntry } from './vm-table.ts';

export interface DiscoveryLoop {
  /** Looks at every VM. Rejects only when the hypervisor cannot list them. */
  all(): Promise<void>;
  /** Looks at one VM again, after an event that tells what it does. */
  one(vm: VmId, name: string, power: PowerState): Promise<void>;
  /** Looks at one VM again, after an event that tells nothing of what it does. */
  again(vm: VmId): Promise<void>;
  /** Looks again at those whose last look failed, ever more seldom at one that goes on failing. Answers whether there were any. */
  missed(): Promise<boolean>;
  /** The guest restarted within the same process: its balloon begins from boot size. */
  rebooted(vm: VmId): void;
}

export function createDiscoveryLoop(context: HostContext, counters: CounterSource, records: readonly VmRecord[]): DiscoveryLoop {
  const { table, hypervisor } = context;
  const kept = new Map(records.map((record) => [record.vm, record]));

  const missed = new MissedLooks(context);

  const lookNow = async (summary: VmSummary): Promise<void> => {
    const entry = entryOf(context, kept, summary);
    try {
      await update(context, counters, entry, summary);
      // What it does may have been told by a look that failed, and by none since.
      if (entry.power !== 'unknown') missed.delete(entry.id);
    } catch (error) {
      const problem = errorText(error);
      // One that went meanwhile is not asked for again.
      if (table.get(entry.id) !== entry) return;
      missed.failed(summary);
      // The same problem again is not told again.
      if (entry.missing.get('definition') === problem) return;
      entry.missing.set('definition', problem);
      context.log.warn('could not look at a VM', { vm: entry.id, error: problem });
    }
  };

  const looking = new Map<VmId, Promise<void>>();
  const inTurn = turnsOf(looking);
  const look = (summary: VmSummary): Promise<void> => inTurn(summary.id, () => lookNow(summary));
  /** As it is known when its turn comes: what an event tells meanwhile is newer than what was known before. */
  const again = (vm: VmId): Promise<void> =>
    inTurn(vm, () => {
      const entry = table.get(vm);
      return entry === undefined ? undefined : lookNow({ id: vm, name: entry.name, power: entry.power });
    });
  /** Events that told what VMs do, so far. */
  const heard = new Map<VmId, number>();

  const forget = (entry: VmEntry): void => {
    // What we wrote stays on record until the VM is seen again or restored: an incomplete list must not lose originals.
    if (hasEntries(entry.record)) kept.set(entry.id, entry.record);
    else context.files.remove(entry.id);
    counters.forget(entry.id, entry.processId);
    table.delete(entry.id);
    missed.delete(entry.id);
    looking.delete(entry.id);
    heard.delete(entry.id);
    context.changed();
  };

  const lookAtAll = async (): Promise<void> => {
    const before = new Map(heard);
    const summaries = await hypervisor.list();
    const listed = new Set(summaries.map((summary) => summary.id));
    for (const entry of [...table.values()]) if (!listed.has(entry.id)) forget(entry);
    context.host.capacity = await hypervisor.capacity();
    // Of whom an event told meanwhile the list may be behind.
    await Promise.all(summaries.map((summary) => (heard.get(summary.id) === before.get(summary.id) ? look(summary) : again(summary.id))));
  };

  return {
    all: inRounds(lookAtAll),
    one(vm, name, power) {
      heard.set(vm, (heard.get(vm) ?? 0) + 1);
      return look({ id: vm, name, power });
    },
    again,
    missed: () => missed.lookAgain(inTurn, lookNow),
    rebooted(vm) {
      const entry = table.get(vm);
      const watch = entry?.watches.memory;
      if (entry && watch) entry.watches.memory = watchReboot(watch, entry.facts?.bootMemoryMiB ?? Number.NaN);
    },
  };
}

function entryOf(context: HostContext, kept: ReadonlyMap<VmId, VmRecord>, { id, name }: VmSummary): VmEntry {
  const { table, settings } = context;
  const known = table.get(id);
  if (known) return known;
  const entry = createVmEntry(id, name, matchesAny(name, settings.include), kept.get(id), ratesAt(settings));
  table.set(id, entry);
  context.changed();
  return entry;
}

/** Looks at one VM follow each other: two at once would both find it newly started. */
function turnsOf(looking: Map<VmId, Promise<void>>): InTurn {
  return (vm, run) => {
    const turn = (looking.get(vm) ?? Promise.resolve()).then(run);
    looking.set(vm, turn);
    return turn;
  };
}

/** A storm of events asks for one more round after the one under way, not for one each. */
function inRounds(run: () => Promise<void>): () => Promise<void> {
  let round: Promise<void> | null = null;
  let next: Promise<void> | null = null;
  const begin = (): Promise<void> => {
    round = run().finally(() => {
      round = null;
    });
    return round;
  };
  return () => {
    if (round === null) return begin();
    next ??= round
      .catch(() => {})
      .then(() => {
        next = null;
        return begin();
      });
    return next;
  };
}

async function update(context: HostContext, counters: CounterSource, entry: VmEntry, summary: VmSummary): Promise<void> {
  const { hypervisor } = context;
  if (entry.power !== summary.power) context.changed();
  entry.name = summary.name;
  await followPower(context, counters, entry, summary.power);
  const facts = await hypervisor.facts(entry.id);
  if (!sameValue(facts, entry.facts)) {
    entry.facts = facts;
    context.changed();
  }
  entry.missing.delete('definition');
  judge(context, entry);
  if (!entry.managed) return;
  if (Object.keys(entry.baseline).length === 0) {
    const baseline = await hypervisor.baseline(entry.id);
    const granted = Object.fromEntries(baseline.map((setting) => [setting.resource, setting]));
    entry.baseline = { ...granted, ...(facts.persistent ? {} : originals(entry.record)), ...entry.record.adopted };
  }
  if (!isUp(entry)) return;
  entry.jobActive = await hypervisor.jobActive(entry.id);
  await Promise.all(RESOURCES.map((resource) => refreshSetting(context, entry, resource)));
  await askForStatistics(context, entry);
}

/** Of a VM without a persistent definition the live one is all there is, and tells what we wrote. */
function originals({ entries }: VmRecord): VmEntry['baseline'] {
  return Object.fromEntries(Object.entries(entries).map(([resource, { originalSetting }]) => [resource, originalSetting]));
}

/** The power state is taken over last: a start that could not be followed to its end is followed again. */
async function followPower(context: HostContext, counters: CounterSource, entry: VmEntry, power: PowerState): Promise<void> {
  // Nobody can tell: what it did last holds, and nothing that we wrote is given up for it.
  if (power === 'unknown') return;
  const wasHolding = holdsMemory(entry.power);
  if (holdsMemory(power)) {
    // Where the hypervisor is far away no process is known; then a VM counts as the same until it is seen off.
    const processId = await context.hypervisor.processId(entry.id);
    if (!wasHolding || processId !== entry.processId) await started(context, counters, entry, processId);
    else if (power === 'running' && !isUp(entry)) {
      entry.runningSinceMs = context.clock.monotonicMs();
      entry.aliveSinceMs = await aliveSince(context, entry);
      // Paused until all of it was here: only now does it tell that it came alive.
      if (!hasEntries(entry.record)) await watchOurs(context, entry, processId);
    }
  } else if (wasHolding || hasEntries(entry.record)) {
    stopped(context, counters, entry);
  }
  entry.power = power;
}

/** Eligibility from what is known now. */
export function judge(context: HostContext, entry: VmEntry): void {
  if (entry.facts === null) return;
  const host = { balloonManager: context.host.balloonManager };
  const verdicts = eligibility(entry.facts, host, entry.guestAgentSeen ? { osFamily: 'linux' } : null);
  if (sameValue(verdicts, entry.eligibility)) return;
  entry.eligibility = verdicts;
  context.changed();
}

/** Live values died with the process; pairs, holds and reversals stay. */
function stopped(context: HostContext, counters: CounterSource, entry: VmEntry): void {
  counters.forget(entry.id, entry.processId);
  if (hasEntries(entry.record)) {
    entry.record = withoutEntries(entry.record, null);
    context.files.save(entry.record);
  }
  entry.processId = null;
  for (const resource of RESOURCES) {
    entry.current[resource] = undefined;
    entry.watches[resource] = undefined;
  }
  entry.baseline = {};
  entry.counters = NO_COUNTERS;
  entry.fast = null;
  entry.slow = { ...NO_SLOW_READINGS };
  entry.toMemoryTrend = createMemoryTrend();
  entry.inflatedAtMs = Number.NaN;
  entry.requestedMiB = Number.NaN;
  entry.fresh.fill(Number.NaN);
  entry.guestAgentSeen = false;
  entry.applicationReady = null;
  entry.serves = false;
  entry.stuck = false;
  entry.missing.clear();
  entry.unread.clear();
}

async function started(context: HostContext, counters: CounterSource, entry: VmEntry, processId: number | null): Promise<void> {
  if (entry.processId !== null) stopped(context, counters, entry);
  context.changed();
  if (hasEntries(entry.record) && entry.record.processId !== processId) {
    entry.record = withoutEntries(entry.record, processId);
    context.files.save(entry.record);
  }
  await watchOurs(context, entry, processId);
  entry.processId = processId;
  entry.runningSinceMs = context.clock.monotonicMs();
  entry.aliveSinceMs = await aliveSince(context, entry);
}

/** A guest that was here before we were, or that was moved here, does not boot. Where nobody can tell, it lives since now. */
async function aliveSince({ hypervisor, clock }: HostContext, { id }: VmEntry): Promise<number> {
  if (await hypervisor.cameAlive(id).catch(() => false)) return Number.NEGATIVE_INFINITY;
  return clock.monotonicMs() - ((await hypervisor.processAgeMs(id).catch(() => null)) ?? 0);
}

/** What was written to this process before, by its own record or the one it carries, is watched as ours. */
async function watchOurs(context: HostContext, entry: VmEntry, processId: number | null): Promise<void> {
  const takenUp = await takeUp(context, entry, processId);
  for (const resource of RESOURCES) {
    const journalled = entry.record.entries[resource];
    // A balloon that came alive is first told at the size its definition had when it left, and any may still be on its way to where it was
    // sent last, of which nothing is known here: as after a boot, it is looked at once it rests.
    if (!journalled || (takenUp && resource === 'memory')) continue;
    const { originalSetting, before, formersMiB = [], intended, written } = journalled;
    // A write whose end was not recorded may have left what was in force before it, wherever the write before that had got to: a
    // balloon rests anywhere on the way from where it was read then.
    const ways = written?.resource === 'memory' ? [...formersMiB, written.memoryMiB] : formersMiB;
    entry.watches[resource] = before ? watchUnended(before, intended, ways) : watchWrite(originalSetting, intended, written);
  }
}

/** The application of a guest said whether it is ready. */
export function noteReadiness(context: HostContext, vm: string, ready: boolean): void {
  const entry = context.table.get(vmId(vm));
  if (entry === undefined || entry.applicationReady === ready) return;
  entry.applicationReady = ready;
  context.changed();
}

/** This host saw it serve: its boot is over. */
export function noteServing(context: HostContext, vm: VmId): void {
  const entry = context.table.get(vm);
  if (entry === undefined || entry.serves) return;
  entry.serves = true;
  context.changed();
}

/** A guest agent came or went. */
export function noteGuest(context: HostContext, vm: string, connected: boolean, detail: string): void {
  const entry = context.table.get(vmId(vm));
  if (entry === undefined) return;
  entry.guestAgent = connected;
  // What an application said before its guest went away says nothing of the one that comes back.
  if (!connected) entry.applicationReady = null;
  if (connected) entry.guestAgentSeen = true;
  judge(context, entry);
  context.changed();
  tell(context, 'guest-agent', `${entry.name}: guest agent ${connected ? 'connected' : 'gone'}${detail && ` (${detail})`}`, {
    vm: entry.id,
  });
}
