/** What of the host stands behind each virtual resource of a VM, as its live definition says. Facts in, plain rows out. Pure. */
import type { VmDevice } from '../../shared/protocol/frames.ts';
import { sliceKindOf } from './slice-state.ts';
import type { VmFacts } from './vm-facts.ts';

/** Rows beyond these are left out: a VM of more disks is shown by its first. */
const ROWS_MAX = 32;
const TEXT_MAX = 256;

type Facts = Pick<
  VmFacts,
  'vcpusOnline' | 'bootMemoryMiB' | 'plugged' | 'numaNode' | 'dedicatedPinning' | 'hugepages' | 'memorySource' | 'interfaces' | 'disks'
>;

/** What a borrowed slice is to its guest. */
const SLICE_WORDS = { memory: 'swap', storage: 'storage' } as const;

/** `sliceOf`: where a borrowed slice lies, by its disk's name. */
export function physicalMap(facts: Facts, sliceOf: (target: string) => string): VmDevice[] {
  const { vcpusOnline, bootMemoryMiB, plugged, numaNode, dedicatedPinning, hugepages, memorySource } = facts;
  const kind = memorySource === 'file' ? 'memory backed by a file' : hugepages ? 'huge pages' : 'RAM';
  const rows: VmDevice[] = [
    { resource: 'cpu', virtual: `${vcpusOnline} vCPUs`, physical: dedicatedPinning ? 'CPUs of its own' : 'CPUs shared with others' },
    {
      resource: 'memory',
      virtual: `${bootMemoryMiB.toFixed(0)} MiB at boot${plugged === undefined ? '' : `, up to ${(bootMemoryMiB + plugged.sizeMiB).toFixed(0)} MiB plugged in`}`,
      physical: numaNode === null ? kind : `${kind} of NUMA node ${numaNode}`,
    },
  ];
  for (const { device, mac, type } of facts.interfaces) {
    rows.push({
      resource: 'network',
      virtual: mac || 'interface',
      physical: device === '' ? `no device of its own (${type})` : `${device} (${type})`,
    });
  }
  for (const { target, source } of facts.disks) {
    const kind = sliceKindOf(source);
    if (kind !== null) rows.push({ resource: 'disk', virtual: `${SLICE_WORDS[kind]} ${target}`, physical: sliceOf(target) });
    else rows.push({ resource: 'disk', virtual: target, physical: source ?? 'unknown' });
  }
  return rows
    .slice(0, ROWS_MAX)
    .map((row) => ({ ...row, virtual: row.virtual.slice(0, TEXT_MAX), physical: row.physical.slice(0, TEXT_MAX) }));
}
