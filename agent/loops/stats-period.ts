/**
 * How often each guest's balloon driver is asked to tell its statistics: at the configured pace, every second while its balloon
 * inflates. What was set before Headroom came is journalled like any other original. Input: the table; output: periods set.
 */
import { errorText } from '../../shared/errors.ts';
import type { HostContext } from './host-context.ts';
import { isInflating } from './inflation.ts';
import { isUp, type VmEntry } from './vm-table.ts';
import { copyToMetadata } from './writer.ts';

export interface StatsPeriodLoop {
  /** At the pace of looks: sets what an inflation that began or ended asks for. */
  tick(): void;
}

/** As fast as drivers tell. */
const HURRIED_SECONDS = 1;
/** A hypervisor that refused is asked again after this long. */
const RETRY_MS = 10_000;

export function createStatsPeriodLoop(context: HostContext): StatsPeriodLoop {
  const restsUntilMs = new WeakMap<VmEntry, number>();
  const follow = async (entry: VmEntry): Promise<void> => {
    try {
      await askForStatistics(context, entry);
      restsUntilMs.delete(entry);
    } catch (error) {
      context.log.warn('could not set the period of balloon statistics', { vm: entry.id, error: errorText(error) });
    }
  };
  return {
    tick() {
      const nowMs = context.clock.monotonicMs();
      for (const entry of context.table.values()) {
        if (!entry.managed || !isUp(entry) || !(nowMs >= (restsUntilMs.get(entry) ?? 0)) || toSet(context, entry) === null) continue;
        restsUntilMs.set(entry, nowMs + RETRY_MS);
        void follow(entry);
      }
    },
  };
}

/** Also at each discovery: a guest that was started anew tells nothing until asked. */
export async function askForStatistics(context: HostContext, entry: VmEntry): Promise<void> {
  const { facts, record } = entry;
  const seconds = toSet(context, entry);
  if (facts === null || seconds === null) return;
  if (record.statsPeriodSecondsBefore === null) {
    entry.record = { ...record, statsPeriodSecondsBefore: facts.statsPeriodSeconds, processId: entry.processId };
    context.files.save(entry.record);
    await copyToMetadata(context, entry);
  }
  await context.hypervisor.setStatsPeriod(entry.id, seconds);
  facts.statsPeriodSeconds = seconds;
}

/** The period to set, s; null = none: it is as wanted, or may not be touched. A driver asked to tell more often is left at that. */
function toSet(context: HostContext, entry: VmEntry): number | null {
  const { facts, record, eligibility } = entry;
  const { balloonStatsMs } = context.settings;
  if (balloonStatsMs === 0 || facts === null || !eligibility.memory.allowed) return null;
  const before = record.statsPeriodSecondsBefore ?? facts.statsPeriodSeconds;
  const asked = isInflating(context, entry) ? HURRIED_SECONDS : Math.max(1, Math.round(balloonStatsMs / 1000));
  const seconds = before > 0 ? Math.min(before, asked) : asked;
  if (seconds === facts.statsPeriodSeconds || entry.jobActive) return null;
  const killed = context.files.kills();
  return killed.host !== null || killed.vms.has(entry.id) ? null : seconds;
}
