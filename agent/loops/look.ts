/**
 * The look: what the host itself sees of every VM, read for the fast guard at its own pace, however seldom samples are
 * taken for the aggregator. Input: counter sources and the collector that knows the host's free memory; output: the table's
 * newest counters and rates, the host's MemAvailable.
 */
import type { VmId } from '../../shared/ids.ts';
import { type Collector, type NoData, runCollectors } from '../collectors/collector.ts';
import { createVmRates, NO_COUNTERS, type VmCounters } from '../core/vm-counters.ts';
import { type HostAgentSettings, type HostContext, lookMs } from './host-context.ts';
import { isUp, type VmEntry } from './vm-table.ts';

/** Where the fast counters of VMs come from: control groups on a host, the simulated hypervisor in simulation. */
export interface CounterSource {
  read(vm: VmId, processId: number | null): VmCounters | NoData;
  forget(vm: VmId, processId: number | null): void;
}

/** Readings farther apart than this many of their periods give no rate. */
const GAP_PERIODS = 5;

/** Rates since the last look and, where samples come more seldom, since the last sample. */
export function ratesAt(settings: HostAgentSettings): Pick<VmEntry, 'toRates' | 'toSampleRates'> {
  const everyMs = lookMs(settings);
  return {
    toRates: createVmRates(GAP_PERIODS * everyMs),
    toSampleRates: everyMs < settings.sampleMs ? createVmRates(GAP_PERIODS * settings.sampleMs) : null,
  };
}

/** Between samples the host's free memory is asked of the one collector that tells it; a sample asks them all anyway. */
export function lookAtHost(context: HostContext, collectors: readonly Collector[]): void {
  const values: Record<string, number> = {};
  runCollectors(
    collectors.filter(({ fields }) => fields.includes('host_memory.availableMiB')),
    () => context.clock.monotonicMs(),
    values,
  );
  context.host.availableMiB = values['host_memory.availableMiB'] ?? Number.NaN;
}

export function lookAtVms(context: HostContext, source: CounterSource): void {
  for (const entry of context.table.values()) {
    if (!entry.managed || !isUp(entry)) continue;
    entry.counters = readCounters(entry, source);
    entry.fast = entry.toRates(entry.counters, context.clock.monotonicMs());
  }
}

/** A source that fails on one VM takes nothing from the others. */
function readCounters(entry: VmEntry, source: CounterSource): VmCounters {
  try {
    const counters = source.read(entry.id, entry.processId);
    if (!('kind' in counters)) {
      entry.missing.delete('control-groups');
      return counters;
    }
    entry.missing.set('control-groups', counters.reason);
  } catch (error) {
    entry.missing.set('control-groups', error instanceof Error ? error.message : String(error));
  }
  return NO_COUNTERS;
}
