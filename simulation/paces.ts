/**
 * How fast everything in a simulated world turns. Short runs turn at nearly live paces, so that seconds matter; fleet-years
 * turn as coarsely as their samples of a minute and forecasts of five minutes allow, on days of real length. Input: the
 * run's size; output: paces, ms.
 */
export interface Paces {
  /** Length of a day of the workloads, and the season that forecasters are told of. */
  dayMs: number;
  /** Plans; leases follow. */
  planMs: number;
  sampleMs: number;
  /** The fast guard's looks, and balloon statistics. */
  guardMs: number;
  settingsMs: number;
  /** Looks for VMs that nobody told of, and whole inventories. */
  inventoryMs: number;
  flushMs: number;
  switchesMs: number;
  /** Of hosts' connections and of guests' channels. */
  heartbeatMs: number;
  /** Physics of hosts: caps throttle on average over it, balloons take several. */
  tickMs: number;
  /** Invariants are looked at this often. */
  checkMs: number;
  /** What models have learnt is kept this often. */
  checkpointMs: number;
  hostsPerGuestAgent: number;
  /** VMs have network cards and disks, which do nothing: their rates are read, stored and forecast all the same. */
  devices: boolean;
  /** Rows of a series that are kept. */
  seriesRows: number;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
export const SAMPLE_MS = MINUTE_MS;
export const STEP_MS = 5 * MINUTE_MS;

/** Forecasts earn trust by seasons seen: a short day lets hours hold several. */
export const FINE: Paces = {
  dayMs: 2 * HOUR_MS,
  planMs: MINUTE_MS,
  sampleMs: SAMPLE_MS,
  guardMs: 10_000,
  settingsMs: 30_000,
  inventoryMs: 5 * MINUTE_MS,
  flushMs: 1000,
  switchesMs: 500,
  heartbeatMs: 5000,
  tickMs: 5000,
  checkMs: 10_000,
  checkpointMs: 10 * MINUTE_MS,
  hostsPerGuestAgent: 1,
  devices: true,
  seriesRows: 120,
};

/** Memory grows by at most 2.5 % of a VM between two looks of this guard: within what is left free (workload.ts). */
export const COARSE: Paces = {
  dayMs: 24 * HOUR_MS,
  planMs: STEP_MS,
  sampleMs: SAMPLE_MS,
  guardMs: 30_000,
  settingsMs: MINUTE_MS,
  inventoryMs: 15 * MINUTE_MS,
  // Steps close some seconds after their end: rows that come later count for nothing.
  flushMs: 5000,
  switchesMs: 30_000,
  heartbeatMs: MINUTE_MS,
  tickMs: 15_000,
  checkMs: 30_000,
  checkpointMs: 3 * HOUR_MS,
  hostsPerGuestAgent: 5,
  devices: false,
  // Nobody reads them back here.
  seriesRows: 3,
};

/** Physics as coarse as in fleet-years, days and plans as in short runs: half a day of a small fleet in seconds. */
export const MEDIUM: Paces = {
  ...COARSE,
  dayMs: FINE.dayMs,
  planMs: FINE.planMs,
  inventoryMs: FINE.inventoryMs,
  switchesMs: 10_000,
  heartbeatMs: 30_000,
  checkpointMs: FINE.checkpointMs,
  hostsPerGuestAgent: 1,
  devices: true,
  seriesRows: FINE.seriesRows,
};

/** As coarse as fleet-years, in days short enough that twelve hours are several, with plans as often as such days ask: for many seeds. */
export const SHORT_DAYS: Paces = { ...COARSE, dayMs: FINE.dayMs, planMs: FINE.planMs, checkpointMs: HOUR_MS };

export const PACES = { fine: FINE, medium: MEDIUM, coarse: COARSE, 'short-days': SHORT_DAYS } as const;
export type PaceName = keyof typeof PACES;

/** Up to so many VM-hours every second may count; from so many on a run is a fleet-year. */
const MEDIUM_VM_HOURS = 200;
const COARSE_VM_HOURS = 10_000;

export function pacesFor({ vms, hours }: { vms: number; hours: number }): Paces {
  if (vms * hours < MEDIUM_VM_HOURS) return FINE;
  return vms * hours < COARSE_VM_HOURS ? MEDIUM : COARSE;
}
