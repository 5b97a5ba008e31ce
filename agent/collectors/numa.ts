/**
 * Memory of each NUMA node and how often an allocation meant for it had to go elsewhere (/sys/devices/system/node). Output:
 * Readings under `host_numa`, with the node's number in the field's name; no data on machines of one node, where the host's
 * own fields say the same.
 */
import { NUMA_MEASUREMENT } from '../../shared/telemetry.ts';
import { kibToMiB } from '../../shared/units.ts';
import { createRate, type Rate } from '../core/rates.ts';
import { type Collector, noData, reading } from './collector.ts';
import type { KernelFiles } from './files.ts';
import { numberAfter } from './parse.ts';

/** Three fields a node: what one block can name. */
const NODES_MAX = 40;

export function createNuma(files: KernelFiles, gapMsMax: number): Collector {
  const fields: string[] = [];
  const misses = new Map<string, Rate>();
  return {
    name: 'numa',
    fields,
    required: [],
    update(nowMs) {
      const nodes = (files.list('sys/devices/system/node') ?? []).filter((name) => /^node\d+$/.test(name)).slice(0, NODES_MAX);
      if (nodes.length < 2) return noData('memory is of one node');
      const values: Record<string, number> = {};
      for (const node of nodes.sort()) {
        // `Node 0 MemTotal:  14641368 kB`
        const meminfo = (files.read(`sys/devices/system/node/${node}/meminfo`) ?? '').replaceAll(/^Node \d+ /gm, '');
        let rate = misses.get(node);
        if (!rate) {
          rate = createRate({ gapMsMax });
          misses.set(node, rate);
        }
        values[`${NUMA_MEASUREMENT}.totalMiB.${node}`] = kibToMiB(numberAfter(meminfo, 'MemTotal'));
        values[`${NUMA_MEASUREMENT}.freeMiB.${node}`] = kibToMiB(numberAfter(meminfo, 'MemFree'));
        const numastat = files.read(`sys/devices/system/node/${node}/numastat`) ?? '';
        values[`${NUMA_MEASUREMENT}.missesPerSecond.${node}`] = rate.next(numberAfter(numastat, 'numa_foreign'), nowMs);
      }
      for (const field of Object.keys(values)) if (!fields.includes(field)) fields.push(field);
      return reading(values);
    },
  };
}
