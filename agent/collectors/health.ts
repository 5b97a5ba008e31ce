/**
 * Uptime of the machine and the agent's own cost, so that nobody has to wonder what the watcher takes. Input: /proc/uptime
 * and the process's own counters (handed in); output: Readings.
 */
import { bytesToMiB, US_PER_SECOND } from '../../shared/units.ts';
import { createRate } from '../core/rates.ts';
import { type Collector, reading } from './collector.ts';
import type { KernelFiles } from './files.ts';

export interface SelfUsage {
  cpuUs: number;
  rssBytes: number;
}

export function createHealth(files: KernelFiles, role: 'guest' | 'host', self: () => SelfUsage, gapMsMax: number): Collector {
  const [uptimeField, cpuField, rssField] =
    role === 'guest'
      ? ['agent_health.guestUptimeSeconds', 'agent_health.guestCpuFraction', 'agent_health.guestRssMiB']
      : ['agent_health.uptimeSeconds', 'agent_health.cpuFraction', 'agent_health.rssMiB'];
  const rate = createRate({ gapMsMax });
  return {
    name: 'health',
    fields: [uptimeField, cpuField, rssField],
    required: [uptimeField],
    update(nowMs) {
      const usage = self();
      return reading({
        [uptimeField]: Number.parseFloat(files.read('proc/uptime') ?? ''),
        [cpuField]: rate.next(usage.cpuUs, nowMs) / US_PER_SECOND,
        [rssField]: bytesToMiB(usage.rssBytes),
      });
    },
  };
}
