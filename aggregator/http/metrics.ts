/** Prometheus text of what the service knows. Input: the service; output: the exposition text. Unknown values are left out. */
import { Counter, Gauge, Registry } from 'prom-client';
import { RESOURCES } from '../../shared/resources.ts';
import { capacityGauges } from './capacity-metrics.ts';
import { groupGauges } from './group-metrics.ts';
import type { AggregatorService, ResourceView } from './service.ts';
import { snapshotGauges } from './snapshot-metrics.ts';

const VM_GAUGES: Readonly<Record<string, { help: string; value: (view: ResourceView) => number | null }>> = {
  headroom_vm_usage: { help: 'What the VM uses, in the unit of its resource', value: ({ usage }) => usage },
  headroom_vm_demand: { help: 'What it would use unconstrained', value: ({ demand }) => demand },
  headroom_vm_allocation: { help: 'What it is granted; absent = no limit or unknown', value: ({ allocation }) => allocation },
  headroom_vm_forecast_high: { help: 'Highest forecast quantile over the horizons forecast', value: highestForecast },
};

function highestForecast({ forecast }: ResourceView): number | null {
  if (!forecast || forecast.values.length === 0) return null;
  return Math.max(...forecast.values);
}

export async function metricsText(service: AggregatorService): Promise<string> {
  const registry = new Registry();
  vmGauges(service, registry);
  hostGauges(service, registry);
  capacityGauges(service.capacity(), registry);
  groupGauges(service.spawning.groups(), registry);
  snapshotGauges(service.suspending.stores(), registry);
  for (const [name, value] of Object.entries(service.metrics())) {
    if (!Number.isFinite(value)) continue;
    const safe = name.replaceAll(/[^a-zA-Z0-9_:]/g, '_');
    const full = safe.startsWith('headroom_') ? safe : `headroom_${safe}`;
    if (registry.getSingleMetric(full)) continue;
    measure(registry, full, `${name.replaceAll('_', ' ')} of the aggregator`, value);
  }
  return registry.metrics();
}

function measure(registry: Registry, name: string, help: string, value: number): void {
  const settings = { name, help, registers: [registry] };
  if (name.endsWith('_total') && value >= 0) new Counter(settings).inc(value);
  else new Gauge(settings).set(value);
}

function vmGauges(service: AggregatorService, registry: Registry): void {
  const vms = service.vms();
  for (const [name, { help, value }] of Object.entries(VM_GAUGES)) {
    const gauge = new Gauge({ name, help, labelNames: ['vm', 'name', 'host', 'resource', 'unit'], registers: [registry] });
    for (const vm of vms) {
      for (const resource of RESOURCES) {
        const view = vm.resources[resource];
        const amount = value(view);
        if (amount !== null && Number.isFinite(amount))
          gauge.set({ vm: vm.id, name: vm.name, host: vm.host, resource, unit: view.unit }, amount);
      }
    }
  }
}

function hostGauges(service: AggregatorService, registry: Registry): void {
  const labelNames = ['host'] as const;
  const connected = new Gauge({ name: 'headroom_host_connected', help: '1 = its agent is connected', labelNames, registers: [registry] });
  const cores = new Gauge({ name: 'headroom_host_cpu_cores', help: 'CPU cores of the host', labelNames, registers: [registry] });
  const memory = new Gauge({ name: 'headroom_host_memory_mib', help: 'Memory of the host, MiB', labelNames, registers: [registry] });
  const available = new Gauge({
    name: 'headroom_host_available_mib',
    help: 'Memory available on the host, MiB',
    labelNames,
    registers: [registry],
  });
  for (const host of service.hosts()) {
    connected.set({ host: host.id }, host.connected ? 1 : 0);
    cores.set({ host: host.id }, host.cpuCores);
    memory.set({ host: host.id }, host.memoryMiB);
    if (host.availableMiB !== null) available.set({ host: host.id }, host.availableMiB);
  }
}
