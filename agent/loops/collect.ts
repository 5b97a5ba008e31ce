/**
 * The sample, each second unless told otherwise: the host's collectors, every VM's counters as just looked at, one row each
 * into the buffer. Input: collectors and the table; output: telemetry rows and the host's newest readings.
 */
import { HOST_FIELDS, type Subject, type TelemetryBlock, VM_HOST_FIELDS } from '../../shared/telemetry.ts';
import { bytesToMiB } from '../../shared/units.ts';
import { type Collector, type CollectorReport, runCollectors } from '../collectors/collector.ts';
import type { ExtraRows } from '../core/extra-rows.ts';
import type { SampleBufferStats } from '../core/sample-buffer.ts';
import { put, VM_COLUMN, VmRows } from '../core/vm-columns.ts';
import { roundHealth } from './collector-reports.ts';
import type { HostContext } from './host-context.ts';
import { isUp, type VmEntry } from './vm-table.ts';

export interface CollectOptions {
  collectors: readonly Collector[];
  /** Makes rows of values whose names vary. */
  extras: ExtraRows;
  append: (block: TelemetryBlock) => void;
  /** What waits and what was lost so far, for the agent's own health. */
  buffer: SampleBufferStats;
}

/** Gives the reports of the host's collectors, for logs of what changed. */
export function sample(context: HostContext, options: CollectOptions): CollectorReport[] {
  const { clock } = context;
  const wallMs = Math.round(clock.wallMs());
  const values: Record<string, number> = {};
  const reports = runCollectors(options.collectors, () => clock.monotonicMs(), values);
  context.host.availableMiB = values['host_memory.availableMiB'] ?? Number.NaN;
  Object.assign(values, bufferHealth(options.buffer));
  const { failed, durationMs } = roundHealth(reports);
  values['agent_health.collectorsFailed'] = failed;
  values['agent_health.collectMs'] = durationMs;
  const subject: Subject = { kind: 'host', id: context.settings.host };
  options.append(row(subject, HOST_FIELDS, wallMs, values));
  for (const extra of options.extras.rows(values)) {
    options.append({ subject, source: 'host', timesMs: Float64Array.of(wallMs), ...extra });
  }
  const rows = new VmRows(context.table.size);
  const timesMs = Float64Array.of(wallMs);
  for (const entry of context.table.values()) {
    const values = entry.managed && isUp(entry) ? vmRow(context, entry, rows) : null;
    if (values === null) continue;
    options.append({ subject: { kind: 'vm', id: entry.id }, source: 'host', fields: VM_HOST_FIELDS, timesMs, values });
  }
  return reports;
}

function bufferHealth({ rows, droppedRows, ring }: SampleBufferStats): Record<string, number> {
  const memory = droppedRows['byte-limit'] + droppedRows['row-limit'];
  const disk = droppedRows['ring-limit'] + droppedRows['ring-damaged'];
  return {
    'agent_health.droppedRows': memory + disk + droppedRows.invalid,
    'agent_health.droppedMemoryRows': memory,
    'agent_health.droppedDiskRows': disk,
    'agent_health.droppedInvalidRows': droppedRows.invalid,
    'agent_health.waitingRows': rows + (ring?.rows ?? 0),
    'agent_health.diskRingMiB': bytesToMiB(ring?.bytes ?? 0),
    'agent_health.diskWriteFailures': ring?.writeFailures ?? 0,
  };
}

/** Null for a VM that nobody has looked at yet. */
function vmRow(context: HostContext, entry: VmEntry, rows: VmRows): Float64Array | null {
  const fast = entry.toSampleRates?.(entry.counters, context.clock.monotonicMs()) ?? entry.fast;
  if (fast === null) return null;
  const target = entry.watches.memory?.target;
  // Slow readings belong to the one row after they were taken; in between they are unknown, not repeated. Where control
  // groups tell nothing, the hypervisor's own CPU times stand in.
  const values = rows.next(entry.fresh);
  entry.fresh.fill(Number.NaN);
  put(values, VM_COLUMN['vm_cpu.usageCores'], fast.usageCores);
  put(values, VM_COLUMN['vm_cpu.overheadCores'], fast.overheadCores);
  put(values, VM_COLUMN['vm_cpu.throttledFraction'], fast.throttledFraction);
  put(values, VM_COLUMN['vm_cpu.waitFraction'], fast.waitFraction);
  put(values, VM_COLUMN['vm_cpu.vcpusOnline'], entry.facts?.vcpusOnline);
  put(values, VM_COLUMN['vm_memory.rssMiB'], fast.rssMiB);
  put(values, VM_COLUMN['vm_pressure.cpuSomeFraction'], fast.cpuSomeFraction);
  put(values, VM_COLUMN['vm_pressure.memorySomeFraction'], fast.memorySomeFraction);
  put(values, VM_COLUMN['vm_pressure.memoryFullFraction'], fast.memoryFullFraction);
  put(values, VM_COLUMN['vm_pressure.ioSomeFraction'], fast.ioSomeFraction);
  if (target?.resource === 'memory') put(values, VM_COLUMN['vm_memory.targetMiB'], target.memoryMiB);
  const { cpu } = entry.current;
  if (cpu?.resource === 'cpu') {
    put(values, VM_COLUMN['vm_cpu.capCores'], cpu.capCores);
    put(values, VM_COLUMN['vm_cpu.weight'], cpu.weight);
  }
  return values;
}

/** One row; what `values` does not name is unknown. */
export function row(subject: Subject, fields: readonly string[], wallMs: number, values: Readonly<Record<string, number>>): TelemetryBlock {
  const numbers = Float64Array.from(fields, (field) => {
    const value = values[field] ?? Number.NaN;
    return Number.isFinite(value) ? value : Number.NaN;
  });
  return { subject, source: 'host', fields, timesMs: Float64Array.of(wallMs), values: numbers };
}
