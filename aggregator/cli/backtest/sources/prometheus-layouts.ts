/**
 * How exporters name what VMs use, as PromQL. Input: label matchers of one VM; output: expressions whose value at a time is
 * that of the five minutes before it. Names are those of the exporters' own documentation: the two libvirt exporters in use
 * (Tinkoff's and inovex's), node_exporter within guests, and prometheus-pve-exporter.
 */
import type { BacktestResource } from '../../../core/backtest/trace.ts';

type Expression = (selector: string) => string;

interface Reading {
  /** All of these must be there for the reading to be possible. */
  metrics: readonly string[];
  used: Expression;
  size: Expression;
  /** What one has to know to read the report. */
  note?: string;
}

export interface PrometheusLayout {
  name: string;
  /** The metric that every VM has, further matchers on it, and the label that names the VM. */
  metric: string;
  matchers: string;
  label: string;
  /** The first possible one is taken. */
  readings: Readonly<Record<BacktestResource, readonly Reading[]>>;
  /** Bytes a second, which forecasts of CPU and memory hear. */
  traffic: Readonly<Record<'network' | 'disk', readonly Traffic[]>>;
}

type Traffic = Pick<Reading, 'metrics' | 'used'>;

const MIB = 1024 * 1024;
/** For a maximum within five minutes: rates over two minutes, which hold two scrapes a minute apart. */
const PEAK_RATE = '[2m]';
const PEAKS = '[5m:1m]';

const perMiB = (expression: string): string => `(${expression}) / ${MIB}`;
const LIBVIRT_CPU = 'libvirt_domain_info_cpu_time_seconds_total';
const LIBVIRT_VCPUS = 'libvirt_domain_info_virtual_cpus';
const LIBVIRT_BALLOON = 'libvirt_domain_info_memory_usage_bytes';
const LIBVIRT_MEMORY = 'libvirt_domain_info_maximum_memory_bytes';
const libvirtVcpus: Expression = (s) => `max(max_over_time(${LIBVIRT_VCPUS}{${s}}[5m]))`;
const libvirtMemory: Expression = (s) => perMiB(`max(max_over_time(${LIBVIRT_MEMORY}{${s}}[5m]))`);

/** What the guest holds less what it says is free in this sense. */
function libvirtLess(metric: string): Reading {
  return {
    metrics: [LIBVIRT_BALLOON, LIBVIRT_MEMORY, metric],
    used: (s) => perMiB(`max_over_time((max(${LIBVIRT_BALLOON}{${s}}) - max(${metric}{${s}}))${PEAKS})`),
    size: libvirtMemory,
  };
}

/** Both directions of all of a VM's interfaces or disks; counters, whatever their type is said to be. */
function traffic(one: string, other: string, matcher = ''): Traffic {
  const rate: (metric: string) => Expression = (metric) => (s) => `sum(rate(${metric}{${matcher}${s}}[5m]))`;
  return { metrics: [one, other], used: (s) => `${rate(one)(s)} + ${rate(other)(s)}` };
}

const NODE_BUSY = 'mode!~"idle|iowait|steal"';
const nodeCpus: Expression = (s) => `count(node_cpu_seconds_total{mode="idle",${s}})`;

const pveCores = (s: string): string => `max(pve_cpu_usage_ratio{${s}}) * max(pve_cpu_usage_limit{${s}})`;
const PVE_CPU = ['pve_cpu_usage_ratio', 'pve_cpu_usage_limit'] as const;
const pveCpus: Expression = (s) => `max(max_over_time(pve_cpu_usage_limit{${s}}[5m]))`;

/** In the order in which they are looked for: what the host saw before what the guest tells. */
export const PROMETHEUS_LAYOUTS: readonly PrometheusLayout[] = [
  {
    name: 'libvirt',
    metric: LIBVIRT_CPU,
    matchers: '',
    label: 'domain',
    readings: {
      cpu: [{ metrics: [LIBVIRT_CPU, LIBVIRT_VCPUS], used: (s) => `sum(rate(${LIBVIRT_CPU}{${s}}[5m]))`, size: libvirtVcpus }],
      cpumax: [
        {
          metrics: [LIBVIRT_CPU, LIBVIRT_VCPUS],
          used: (s) => `max_over_time(sum(rate(${LIBVIRT_CPU}{${s}}${PEAK_RATE}))${PEAKS})`,
          size: libvirtVcpus,
        },
      ],
      memory: [
        libvirtLess('libvirt_domain_memory_stats_usable_bytes'),
        {
          ...libvirtLess('libvirt_domain_memory_stats_unused_bytes'),
          note: 'guests do not say what is usable: what they hold as cache counts as used',
        },
        {
          metrics: [LIBVIRT_MEMORY, 'libvirt_domain_memory_stats_rss_bytes'],
          used: (s) => perMiB(`max(max_over_time(libvirt_domain_memory_stats_rss_bytes{${s}}[5m]))`),
          size: libvirtMemory,
          note: 'guests report no memory statistics: memory is what the host holds for them, and does not fall when they free it',
        },
      ],
    },
    traffic: {
      network: [traffic('libvirt_domain_interface_stats_receive_bytes_total', 'libvirt_domain_interface_stats_transmit_bytes_total')],
      disk: [traffic('libvirt_domain_block_stats_read_bytes_total', 'libvirt_domain_block_stats_write_bytes_total')],
    },
  },
  {
    name: 'pve',
    metric: 'pve_cpu_usage_ratio',
    matchers: 'id=~"qemu/.+"',
    label: 'id',
    readings: {
      cpu: [{ metrics: PVE_CPU, used: (s) => `avg_over_time((${pveCores(s)})${PEAKS})`, size: pveCpus }],
      cpumax: [{ metrics: PVE_CPU, used: (s) => `max_over_time((${pveCores(s)})${PEAKS})`, size: pveCpus }],
      memory: [
        {
          metrics: ['pve_memory_usage_bytes', 'pve_memory_size_bytes'],
          used: (s) => perMiB(`max(max_over_time(pve_memory_usage_bytes{${s}}[5m]))`),
          size: (s) => perMiB(`max(max_over_time(pve_memory_size_bytes{${s}}[5m]))`),
        },
      ],
    },
    // Releases before 3.5 name them without `_total`.
    traffic: {
      network: [
        traffic('pve_network_receive_bytes_total', 'pve_network_transmit_bytes_total'),
        traffic('pve_network_receive_bytes', 'pve_network_transmit_bytes'),
      ],
      disk: [traffic('pve_disk_read_bytes_total', 'pve_disk_written_bytes_total'), traffic('pve_disk_read_bytes', 'pve_disk_write_bytes')],
    },
  },
  {
    name: 'node',
    metric: 'node_cpu_seconds_total',
    matchers: 'mode="idle"',
    label: 'instance',
    readings: {
      cpu: [
        {
          metrics: ['node_cpu_seconds_total'],
          used: (s) => `sum(rate(node_cpu_seconds_total{${NODE_BUSY},${s}}[5m]))`,
          size: nodeCpus,
        },
      ],
      cpumax: [
        {
          metrics: ['node_cpu_seconds_total'],
          used: (s) => `max_over_time(sum(rate(node_cpu_seconds_total{${NODE_BUSY},${s}}${PEAK_RATE}))${PEAKS})`,
          size: nodeCpus,
        },
      ],
      memory: [
        {
          metrics: ['node_memory_MemTotal_bytes', 'node_memory_MemAvailable_bytes'],
          used: (s) => perMiB(`max_over_time((max(node_memory_MemTotal_bytes{${s}}) - max(node_memory_MemAvailable_bytes{${s}}))${PEAKS})`),
          size: (s) => perMiB(`max(max_over_time(node_memory_MemTotal_bytes{${s}}[5m]))`),
        },
      ],
    },
    traffic: {
      network: [traffic('node_network_receive_bytes_total', 'node_network_transmit_bytes_total', 'device!="lo",')],
      disk: [traffic('node_disk_read_bytes_total', 'node_disk_written_bytes_total')],
    },
  },
];
