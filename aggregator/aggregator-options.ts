/** What an aggregator is built of: stores, clock, policy source, and whatever a composition root has of the rest. */
import type { Clock } from '../shared/clock.ts';
import type { Logger } from '../shared/log.ts';
import type { Prng } from '../shared/prng.ts';
import type { DecisionConfig } from './config.ts';
import type { OutlierFinder } from './core/anomaly/peers.ts';
import type { FitService } from './core/forecast/fitted/fit.ts';
import type { FleetPeers } from './http/fleet-service.ts';
import type { SecurityLog } from './identity/security-log.ts';
import type { AgentIdentities } from './ingest/agent-identities.ts';
import type { IngestLimits } from './ingest/peer-state.ts';
import type { Deciders } from './loops/plan-loop.ts';
import type { Notifier } from './notify/notifier.ts';
import type { Ownership } from './ownership/ownership.ts';
import type { PolicySource } from './service/policy-keeper.ts';
import type { LedgerStore } from './store/ledger-store.ts';
import type { SeriesStore } from './store/series-store.ts';

export interface AggregatorOptions {
  clock: Clock;
  prng: Prng;
  series: SeriesStore;
  ledger: LedgerStore;
  policySource: PolicySource;
  config: DecisionConfig;
  log: Logger;
  version: string;
  ingestLimits?: Partial<IngestLimits>;
  /** Who else is told of what happens to VMs. */
  notifiers?: readonly Notifier[];
  /** Finds VMs that stand apart from their class; absent: nobody compares. */
  outliers?: OutlierFinder;
  /** Fits of heavy models; absent: models that want any are served without. */
  fits?: FitService;
  /** Others in their place: for tests that show what each rule is there for. No program offers it. */
  deciders?: Deciders;
  /** Of its hold on what crosses hosts, null = another has it; absent: it is the only one. */
  fleetEpoch?: () => number | null;
  /** The other aggregators, to whoever decides what crosses hosts; absent: they cannot be asked. */
  fleetPeers?: FleetPeers;
  /** Which hosts are ours; absent: all, under the epoch of this start. */
  ownership?: Ownership;
  /** Keys of agents, and where refusals are written; absent: only agents on this machine are taken. */
  identity?: { agents: AgentIdentities; security: SecurityLog };
}
