/** What an administrator asks about suspending VMs: types alone. Absent or empty: nothing is suspended, made ready or brought back. */
import type { PrefetchPrices } from '../resume/prefetch-cost.ts';
import type { VmSnapshot } from './plan.ts';

export interface SuspendSchedule {
  /** Minutes since Monday 00:00 in the zone. */
  suspendMinuteOfWeek: number;
  resumeMinuteOfWeek: number;
  timeZone: string;
}

export interface SuspendRule {
  name: string;
  /** Null = idleness alone suspends nothing. */
  idle: { forMs: number; cpuCores: number; bytesPerSecond: number } | null;
  schedules: readonly SuspendSchedule[];
  /** Null = nothing is fetched before somebody asks. */
  prefetch: {
    leadMs: number;
    probability: number;
    holdMs: number;
    bytesPerSecondMax: number | null;
    /** Of several the highest goes first; null = the VM's own. */
    priority: number | null;
    /** How much and how long ahead is tuned within this, by these prices; null = it is done as said. */
    learn: PrefetchPrices | null;
  } | null;
  /** Made ready and brought back on the host that is chosen for it, rather than on the one that holds it. */
  anyHost: boolean;
  /** What it means, as written; `matches` is the same, ready to be asked. */
  match: object;
  matches: (vm: Pick<VmSnapshot, 'id' | 'name' | 'host' | 'labels'>) => boolean;
}
