/**
 * How collectors that write to InfluxDB name what VMs use, as parts of InfluxQL. Input: columns of five-minute bins; output:
 * cores or MiB. Names are those of Telegraf's plugins (libvirt on hosts, proxmox, cpu/mem/system within guests) and of
 * Proxmox' own metric server.
 */
import type { BacktestResource } from '../../../core/backtest/trace.ts';

/** One statement: a field, or how fast counters grow together, gathered in bins. */
export interface Column {
  measurement: string;
  /** Several: their sum. */
  field: string | readonly string[];
  /** Further conditions, beside the VM's tag and the time. */
  where?: string;
  gather: 'mean' | 'max' | 'min';
  /** It counts up: its growth a second is gathered. */
  counter?: boolean;
  /** A tag: several series of one VM, gathered apart and added up. */
  each?: string;
}

export interface Reading {
  columns: readonly Column[];
  /** From the columns' values in one bin, all known. */
  used: (values: readonly number[]) => number;
  size: (values: readonly number[]) => number;
}

export interface InfluxLayout {
  name: string;
  /** Where VMs are listed, on which condition, and the tag that names them. */
  measurement: string;
  where?: string;
  tag: string;
  readings: Readonly<Record<BacktestResource, Reading | null>>;
  /** Bytes a second, which forecasts of CPU and memory hear; absent = not recorded by VM. */
  traffic: Readonly<Partial<Record<'network' | 'disk', Column>>>;
}

const KIB_PER_MIB = 1024;
const BYTES_PER_MIB = 1024 * 1024;
const QEMU = `"object" = 'qemu'`;
const ALL_CPUS = `"cpu" = 'cpu-total'`;
const NANOSECONDS = 1e9;
type Gather = Column['gather'];

/** The plugin's field `time`, the whole, cannot be had: InfluxDB drops fields of that name. */
const libvirtCpu = (gather: Gather): Reading => ({
  columns: [
    { measurement: 'libvirt_cpu', field: ['user', 'system'], gather, counter: true },
    { measurement: 'libvirt_vcpu_total', field: 'current', gather: 'max' },
  ],
  used: ([nanoseconds]) => nanoseconds! / NANOSECONDS,
  size: ([, vcpus]) => vcpus!,
});

const pveCpu = (gather: Gather): Reading => ({
  columns: [
    { measurement: 'system', field: 'cpu', where: QEMU, gather },
    { measurement: 'system', field: 'cpus', where: QEMU, gather: 'max' },
  ],
  used: ([share, cpus]) => share! * cpus!,
  size: ([, cpus]) => cpus!,
});

/** Telegraf's plugin tells no number of virtual CPUs: a whole VM is the unit. */
const proxmoxCpu = (gather: Gather): Reading => ({
  columns: [{ measurement: 'proxmox', field: 'cpuload', where: `"vm_type" = 'qemu'`, gather }],
  used: ([share]) => share!,
  size: () => 1,
});

const guestCpu = (gather: Gather): Reading => ({
  columns: [
    // The least idle is the most busy.
    { measurement: 'cpu', field: 'usage_idle', where: ALL_CPUS, gather: gather === 'max' ? 'min' : gather },
    { measurement: 'system', field: 'n_cpus', gather: 'max' },
  ],
  used: ([idle, cpus]) => (Math.max(0, 100 - idle!) / 100) * cpus!,
  size: ([, cpus]) => cpus!,
});

/** Counters of bytes in both directions. */
const bytes = (measurement: string, field: readonly [string, string], rest: Pick<Column, 'where' | 'each'>): Column => ({
  measurement,
  field,
  ...rest,
  gather: 'mean',
  counter: true,
});

/** In the order in which they are looked for: what the host saw before what the guest tells. */
export const INFLUX_LAYOUTS: readonly InfluxLayout[] = [
  {
    name: 'libvirt',
    measurement: 'libvirt_cpu',
    tag: 'domain_name',
    readings: {
      cpu: libvirtCpu('mean'),
      cpumax: libvirtCpu('max'),
      memory: {
        columns: [
          { measurement: 'libvirt_balloon', field: 'current', gather: 'max' },
          { measurement: 'libvirt_balloon', field: 'usable', gather: 'min' },
          { measurement: 'libvirt_balloon', field: 'maximum', gather: 'max' },
        ],
        used: ([current, usable]) => Math.max(0, current! - usable!) / KIB_PER_MIB,
        size: ([, , maximum]) => maximum! / KIB_PER_MIB,
      },
    },
    traffic: {
      network: bytes('libvirt_net', ['rx_bytes', 'tx_bytes'], { each: 'interface_id' }),
      disk: bytes('libvirt_block', ['rd_bytes', 'wr_bytes'], { each: 'block_id' }),
    },
  },
  {
    name: 'pve',
    measurement: 'system',
    where: QEMU,
    tag: 'host',
    readings: {
      cpu: pveCpu('mean'),
      cpumax: pveCpu('max'),
      memory: {
        columns: [
          { measurement: 'system', field: 'mem', where: QEMU, gather: 'max' },
          { measurement: 'system', field: 'maxmem', where: QEMU, gather: 'max' },
        ],
        used: ([bytes]) => bytes! / BYTES_PER_MIB,
        size: ([, bytes]) => bytes! / BYTES_PER_MIB,
      },
    },
    traffic: {
      network: bytes('system', ['netin', 'netout'], { where: QEMU }),
      disk: bytes('system', ['diskread', 'diskwrite'], { where: QEMU }),
    },
  },
  {
    name: 'proxmox',
    measurement: 'proxmox',
    where: `"vm_type" = 'qemu'`,
    tag: 'vm_name',
    readings: {
      cpu: proxmoxCpu('mean'),
      cpumax: proxmoxCpu('max'),
      memory: {
        columns: [
          { measurement: 'proxmox', field: 'mem_used', where: `"vm_type" = 'qemu'`, gather: 'max' },
          { measurement: 'proxmox', field: 'mem_total', where: `"vm_type" = 'qemu'`, gather: 'max' },
        ],
        used: ([bytes]) => bytes! / BYTES_PER_MIB,
        size: ([, bytes]) => bytes! / BYTES_PER_MIB,
      },
    },
    traffic: {},
  },
  {
    name: 'guest',
    measurement: 'cpu',
    where: ALL_CPUS,
    tag: 'host',
    readings: {
      cpu: guestCpu('mean'),
      cpumax: guestCpu('max'),
      memory: {
        columns: [
          { measurement: 'mem', field: 'total', gather: 'max' },
          { measurement: 'mem', field: 'available', gather: 'min' },
        ],
        used: ([total, available]) => Math.max(0, total! - available!) / BYTES_PER_MIB,
        size: ([total]) => total! / BYTES_PER_MIB,
      },
    },
    // Whole disks and their partitions count the same bytes: twice as much rises as often.
    traffic: {
      network: bytes('net', ['bytes_recv', 'bytes_sent'], { where: `"interface" != 'lo'`, each: 'interface' }),
      disk: bytes('diskio', ['read_bytes', 'write_bytes'], { each: 'name' }),
    },
  },
];
