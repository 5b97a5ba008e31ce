/**
 * Memory that the kernel's same-page merging saves (/sys/kernel/mm/ksm). It matters to sums: merged pages come apart when
 * guests write to them. Output: Readings in MiB.
 */
import { bytesToMiB } from '../../shared/units.ts';
import { type Collector, noData, reading } from './collector.ts';
import type { KernelFiles } from './files.ts';
import { leadingNumber } from './parse.ts';

export function createKsm(files: KernelFiles, pageBytes: number): Collector {
  const pages = (name: string): number => leadingNumber(files.read(`sys/kernel/mm/ksm/${name}`) ?? '');
  return {
    name: 'ksm',
    fields: ['host_memory.ksmSharedMiB', 'host_memory.ksmSavedMiB'],
    required: ['host_memory.ksmSharedMiB', 'host_memory.ksmSavedMiB'],
    update() {
      if (files.read('sys/kernel/mm/ksm/pages_shared') === null) return noData('the kernel has no same-page merging');
      return reading({
        'host_memory.ksmSharedMiB': bytesToMiB(pages('pages_shared') * pageBytes),
        'host_memory.ksmSavedMiB': bytesToMiB(pages('pages_sharing') * pageBytes),
      });
    },
  };
}
