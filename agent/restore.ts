/**
 * `headroom-agent restore`: puts back what was in force before Headroom's first write, with no aggregator and no running
 * service. Input: the journals of the state directory, or else of the VMs' own metadata; output: what was done, VM by VM.
 * A VM that does not run has nothing of ours in force.
 */
import { errorText } from '../shared/errors.ts';
import type { VmId } from '../shared/ids.ts';
import { RESOURCES } from '../shared/resources.ts';
import type { Isolation } from './core/isolation.ts';
import { hasEntries, type VmRecord, withoutEntries } from './core/journal.ts';
import { checkRecord } from './core/journal-check.ts';
import { recordTextInMetadata } from './core/journal-metadata.ts';
import type { Hypervisor, VmSummary } from './hypervisor/hypervisor.ts';
import { undoIsolation } from './loops/isolation.ts';
import type { StateFiles } from './loops/state-files.ts';

export interface RestoreLine {
  vm: VmId;
  name: string;
  what: string;
  ok: boolean;
  detail: string;
}

/** `only` null = all VMs. Rejects only when the hypervisor cannot be reached or listed. */
export async function restore(hypervisor: Hypervisor, files: StateFiles, only: VmId | null): Promise<RestoreLine[]> {
  const { records, problems } = files.load();
  const byVm = new Map(records.map((record) => [record.vm, record]));
  const lines: RestoreLine[] = [];
  for (const problem of problems) lines.push({ vm: '' as VmId, name: '-', what: 'journal', ok: false, detail: problem });
  const summaries = await hypervisor.list();
  const asked = summaries.filter(({ id }) => only === null || id === only);
  lines.push(...(await eachInTurn(asked, (summary) => restoreOne(hypervisor, files, summary, byVm.get(summary.id)))));
  const listed = new Set(summaries.map(({ id }) => id));
  for (const record of records) {
    if (listed.has(record.vm) || (only !== null && record.vm !== only) || !hasEntries(record)) continue;
    files.remove(record.vm);
    lines.push({ vm: record.vm, name: record.name, what: 'journal', ok: true, detail: 'the VM is gone, nothing of ours is in force' });
  }
  if (only !== null && !listed.has(only) && !byVm.has(only)) {
    lines.push({ vm: only, name: '-', what: 'VM', ok: false, detail: 'there is no such VM on this host' });
  }
  return lines;
}

/** VMs worked on at once: a connection to libvirt carries four calls, and one VM that hangs does not stop the others. */
const AT_ONCE = 4;

/** In the order of `items`, whichever ends first. */
async function eachInTurn<T>(items: readonly T[], work: (item: T) => Promise<RestoreLine[]>): Promise<RestoreLine[]> {
  const done: RestoreLine[][] = [];
  const left = [...items.entries()].values();
  const worker = async (): Promise<void> => {
    for (const [index, item] of left) done[index] = await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return done.flat();
}

async function restoreOne(
  hypervisor: Hypervisor,
  files: StateFiles,
  summary: VmSummary,
  kept: VmRecord | undefined,
): Promise<RestoreLine[]> {
  try {
    return await restoreVm(hypervisor, files, summary, kept);
  } catch (error) {
    return [{ vm: summary.id, name: summary.name, what: 'journal', ok: false, detail: errorText(error) }];
  }
}

async function restoreVm(
  hypervisor: Hypervisor,
  files: StateFiles,
  summary: VmSummary,
  kept: VmRecord | undefined,
): Promise<RestoreLine[]> {
  const { id, name } = summary;
  const line = (what: string, ok: boolean, detail: string): RestoreLine => ({ vm: id, name, what, ok, detail });
  if (!holdsProcess(summary)) {
    if (kept && hasEntries(kept)) files.save(withoutEntries(kept, null));
    return kept && hasEntries(kept) ? [line('journal', true, 'the VM does not run, nothing of ours is in force')] : [];
  }
  const processId = await hypervisor.processId(id);
  const xml = await hypervisor.readMetadata(id);
  const record = await recordInForce(hypervisor, { id, processId }, kept, xml);
  if (record === null) return [];
  const lines: RestoreLine[] = [];
  for (const resource of RESOURCES) {
    const entry = record.entries[resource];
    if (!entry) continue;
    try {
      await hypervisor.writeNative(id, resource, entry.original);
      lines.push(line(resource, true, `${JSON.stringify(entry.originalSetting)} is in force again`));
    } catch (error) {
      lines.push(line(resource, false, errorText(error)));
    }
  }
  if (record.isolation) lines.push(await restoreNetwork(hypervisor, id, record.isolation, line));
  if (record.statsPeriodSecondsBefore !== null) lines.push(await restoreStatsPeriod(hypervisor, id, record.statsPeriodSecondsBefore, line));
  if (lines.every(({ ok }) => ok)) {
    await hypervisor.writeMetadata(id, null);
    files.save(withoutEntries(record, processId));
  }
  return lines;
}

/** Live values are in force while there is a process, paused or not. */
const holdsProcess = (summary: VmSummary): boolean => !['shutoff', 'crashed'].includes(summary.power);

/**
 * The journal that speaks of this very process: the state directory's, else the metadata's copy, also that of a guest which came here
 * alive and was not taken up yet; null = there is none.
 */
async function recordInForce(
  hypervisor: Hypervisor,
  { id, processId }: { id: VmId; processId: number | null },
  kept: VmRecord | undefined,
  xml: string | null,
): Promise<VmRecord | null> {
  if (kept && hasEntries(kept) && kept.processId === processId) return kept;
  const text = recordTextInMetadata(xml);
  const check = text === null ? null : checkRecord(text);
  if (!check?.ok || check.record.vm !== id) return null;
  return check.record.processId === processId || (await hypervisor.cameAlive(id)) ? check.record : null;
}

async function restoreNetwork(
  hypervisor: Hypervisor,
  id: VmId,
  isolation: Isolation,
  line: (what: string, ok: boolean, detail: string) => RestoreLine,
): Promise<RestoreLine> {
  const what = 'network links';
  try {
    const left = await undoIsolation(hypervisor, { id }, isolation);
    return line(what, left.length === 0, left.length === 0 ? 'its isolation is over, its network is as it was' : left.join('; '));
  } catch (error) {
    return line(what, false, errorText(error));
  }
}

async function restoreStatsPeriod(
  hypervisor: Hypervisor,
  id: VmId,
  seconds: number,
  line: (what: string, ok: boolean, detail: string) => RestoreLine,
): Promise<RestoreLine> {
  const what = 'balloon statistics';
  try {
    await hypervisor.setStatsPeriod(id, seconds);
    const now = (await hypervisor.facts(id)).statsPeriodSeconds;
    return line(
      what,
      now === seconds,
      now === seconds ? `period ${seconds} s again` : `the period is ${now} s, ${seconds} s was asked for`,
    );
  } catch (error) {
    return line(what, false, errorText(error));
  }
}
