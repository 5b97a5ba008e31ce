/**
 * Cuts a VM off its network and gives it back. Journalled before the first link or filter changes, and put back as it was found; the
 * guest's virtio-serial channels are no network: its agent keeps speaking. Input: what was asked, the VM's journal; output: what
 * became of it, or what is still not as it was.
 */
import type { IsolationMeans } from '../../shared/protocol/vm-action-frames.ts';
import type { Outcome } from '../../shared/resources.ts';
import { type Isolation, isolated, type Link, QUARANTINE } from '../core/isolation.ts';
import type { VmRecord } from '../core/journal.ts';
import type { Hypervisor } from '../hypervisor/hypervisor.ts';
import { clockReading, type HostContext } from './host-context.ts';
import type { VmEntry } from './vm-table.ts';
import { copyToMetadata } from './writer.ts';

export interface Ended {
  outcome: Outcome;
  reason: string;
}

export interface IsolationAsked {
  means: IsolationMeans;
  reason: string;
  forMs: number;
}

const REASON_LENGTH_MAX = 256;

export async function isolate(context: HostContext, entry: VmEntry, asked: IsolationAsked): Promise<Ended> {
  const { hypervisor } = context;
  const { means } = asked;
  const links = await hypervisor.readLinks(entry.id);
  if (links.length === 0) return { outcome: 'skipped', reason: 'it has no network interface that this host could cut off' };
  const beyond = means === 'quarantine' ? links.filter(({ filterable }) => !filterable).map(({ mac }) => mac) : [];
  if (beyond.length > 0) {
    const which = `interface ${beyond.join(', ')} is not on a bridge of this host, where filters are`;
    return { outcome: 'refused', reason: `${which}: isolate it by link instead` };
  }
  if (means === 'quarantine') await hypervisor.prepareQuarantine();
  const reason = asked.reason.slice(0, REASON_LENGTH_MAX);
  const isolation = isolated(entry.record.isolation, links, { ...asked, reason }, clockReading(context));
  await note(context, entry, { ...entry.record, processId: entry.processId, isolation });
  const open = means === 'quarantine' ? await quarantine(hypervisor, entry, isolation) : await cut(hypervisor, entry, isolation);
  return open.length === 0 ? { outcome: 'applied', reason: '' } : { outcome: 'failed', reason: `not cut off: ${open.join(', ')}` };
}

export async function release(context: HostContext, entry: VmEntry): Promise<Ended> {
  const { isolation, ...record } = entry.record;
  if (isolation === undefined) return { outcome: 'applied', reason: 'it is not isolated' };
  const left = await undoIsolation(context.hypervisor, entry, isolation);
  if (left.length > 0) return { outcome: 'failed', reason: left.join('; ') };
  await note(context, entry, record);
  return { outcome: 'applied', reason: '' };
}

/** Answers what is not as it was. A filter that somebody else put in force meanwhile is theirs, and stays. */
export async function undoIsolation(hypervisor: Hypervisor, { id }: Pick<VmEntry, 'id'>, isolation: Isolation): Promise<string[]> {
  const down = (await hypervisor.setLinks(id, isolation.links, true)).filter(({ up }) => !up).map(({ mac }) => mac);
  const problems = down.length > 0 ? [`still down: ${down.join(', ')}`] : [];
  if (isolation.filters === undefined) return problems;
  const ours = new Set((await hypervisor.readLinks(id)).filter(inQuarantine).map(({ mac }) => mac));
  const after = await hypervisor.setFilters(
    id,
    isolation.filters.filter(({ mac }) => ours.has(mac)),
  );
  const still = after.filter(inQuarantine).map(({ mac }) => mac);
  return still.length > 0 ? [...problems, `still in quarantine: ${still.join(', ')}`] : problems;
}

const inQuarantine = ({ filter }: Link): boolean => filter?.name === QUARANTINE.name;

/** Answers the interfaces that still pass traffic. */
async function cut(hypervisor: Hypervisor, { id }: VmEntry, { links }: Isolation): Promise<string[]> {
  return (await hypervisor.setLinks(id, links, false)).filter(({ up }) => up).map(({ mac }) => mac);
}

async function quarantine(hypervisor: Hypervisor, { id }: VmEntry, { filters = [] }: Isolation): Promise<string[]> {
  const after = await hypervisor.setFilters(
    id,
    filters.map(({ mac }) => ({ mac, filter: QUARANTINE })),
  );
  return after.filter((link) => !inQuarantine(link)).map(({ mac }) => mac);
}

/** On disk and in the VM's metadata, before anything is done by it. */
async function note(context: HostContext, entry: VmEntry, record: VmRecord): Promise<void> {
  context.files.save(record);
  entry.record = record;
  await copyToMetadata(context, entry);
}
