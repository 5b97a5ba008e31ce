/** What the aggregator is made of, for those of its parts that work with several others. */
import type { Clock } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import type { Prng } from '../../shared/prng.ts';
import type { FleetSnapshot } from '../core/plan/plan.ts';
import type { FleetState } from '../core/state/fleet-state.ts';
import type { Executor } from '../execute/executor.ts';
import type { VcpuOrders } from '../execute/vcpu-orders.ts';
import type { Ingest } from '../ingest/ingest.ts';
import type { PlanMade } from '../loops/plan-loop.ts';
import type { Ownership } from '../ownership/ownership.ts';
import type { LedgerStore } from '../store/ledger-store.ts';
import type { SeriesStore } from '../store/series-store.ts';
import type { AnomalyDesk } from './anomaly-desk.ts';
import type { CapacityWatch } from './capacity-watch.ts';
import type { Suspending } from './create-suspending.ts';
import type { Credentials } from './credentials.ts';
import type { DecisionLog } from './decision-log.ts';
import type { EventLog } from './event-log.ts';
import type { HostOwnership } from './host-ownership.ts';
import type { KillSwitches } from './kill-switches.ts';
import type { LedgerQueue } from './ledger-queue.ts';
import type { ModelKeeper } from './model-keeper.ts';
import type { NotificationLog } from './notification-log.ts';
import type { PolicyKeeper } from './policy-keeper.ts';
import type { Reporter } from './reporter.ts';
import type { RestKeeper } from './rest-keeper.ts';
import type { ShortageWatch } from './shortage-watch.ts';
import type { SpawnDesk } from './spawn-desk.ts';
import type { SteadyTime } from './steady-time.ts';

export interface Parts {
  readonly clock: Clock;
  readonly prng: Prng;
  readonly log: Logger;
  readonly version: string;
  readonly epoch: number;
  /** Wall-clock time that never jumps. */
  readonly time: SteadyTime;
  readonly ownership: Ownership;
  readonly hosts: HostOwnership;
  readonly series: SeriesStore;
  readonly ledger: LedgerStore;
  readonly state: FleetState;
  readonly executor: Executor;
  readonly vcpus: VcpuOrders;
  readonly ingest: Ingest;
  readonly policies: PolicyKeeper;
  readonly kills: KillSwitches;
  readonly events: EventLog;
  readonly decisions: DecisionLog;
  readonly credentials: Credentials;
  readonly notifications: NotificationLog;
  readonly anomalies: AnomalyDesk;
  readonly capacity: CapacityWatch;
  readonly queue: LedgerQueue;
  readonly models: ModelKeeper;
  readonly reporter: Reporter;
  readonly rests: RestKeeper;
  readonly spawning: SpawnDesk;
  readonly suspending: Suspending;
  readonly shortages: ShortageWatch;
  /** The fleet as it is now. */
  readonly snapshot: () => FleetSnapshot;
  /** The newest plan, as carried out; null before the first. */
  readonly latestPlan: () => PlanMade | null;
}
