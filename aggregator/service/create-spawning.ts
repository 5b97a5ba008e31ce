/** Templates, groups and spawning with what they work through. Parts in, desk out. */
import type { HostId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { DecisionConfig } from '../config.ts';
import type { FleetSnapshot } from '../core/plan/plan.ts';
import { type BuildCheckOptions, BuildChecks } from '../execute/build-checks.ts';
import type { FleetPeers } from '../http/fleet-service.ts';
import { DemandDesk } from './demand-desk.ts';
import { FleetView } from './fleet-view.ts';
import { GroupDemands } from './group-demand.ts';
import type { Parts } from './parts.ts';
import { SpawnDesk } from './spawn-desk.ts';
import { SpawnReporter } from './spawn-reporter.ts';
import { Spawner } from './spawner.ts';
import { TemplateFitness } from './template-fitness.ts';
import { TemplateKeeper } from './template-keeper.ts';

/** A checksum of an image of tens of GB takes minutes; whoever asked waits with it. */
const CHECK_DEADLINE_MS = 50_000;
/** Hosts' answers and guests' readiness are looked at this often: a boot takes longer. */
const TURN_MS_MAX = 5000;

export const spawnPeriodMs = ({ stepMs, planPeriodMs }: DecisionConfig): number => Math.min(TURN_MS_MAX, stepMs, planPeriodMs);

type Needed = 'clock' | 'epoch' | 'time' | 'state' | 'queue' | 'prng' | 'log' | 'ledger' | 'events' | 'notifications';

export interface SpawningParts extends Pick<Parts, Needed> {
  config: DecisionConfig;
  /** Of our hold on a host. */
  holdOf: (host: HostId) => number;
  owns: (host: HostId) => boolean;
  peers: FleetPeers;
  send: BuildCheckOptions['send'];
  /** Of our hold on what crosses hosts; null = another decides that, or nobody now. */
  fleetEpoch: () => number | null;
  understands: (host: HostId, capability: string) => boolean;
  snapshot: () => FleetSnapshot;
  /** Highest demand of each host's VMs together in the hour to come, cores. */
  peaks: (snapshot: FleetSnapshot) => ReadonlyMap<string, number>;
}

export function createSpawning(parts: SpawningParts): SpawnDesk {
  const { clock, epoch, time, state, queue, config, send, understands, ledger, log, snapshot, peaks, fleetEpoch } = parts;
  const epochOf = (host: HostId): number => Math.max(parts.holdOf(host), state.host(host)?.highestEpoch ?? 0);
  const { owns, peers } = parts;
  const fleet = new FleetView({ ...{ state, snapshot, peaks, owns, epochOf, understands, send, peers, log }, run: epoch });
  const ask = (host: HostId, frame: FrameOf<'build'>): boolean => fleet.send(host, frame);
  const checks = new BuildChecks({ clock, epochOf, send: ask, retryMs: config.commandRetryMs, deadlineMs: CHECK_DEADLINE_MS });
  const { stepMs, seasonsMs } = config;
  const templates = new TemplateKeeper(ledger);
  const fitness = new TemplateFitness({ checks, time });
  const demands = new GroupDemands({ ledger, log, stepMs, seasonsMs });
  const reporter = new SpawnReporter(parts.events, parts.notifications, log);
  const spawner = new Spawner({
    ...{
      time,
      state,
      ledger,
      log,
      templates,
      demands,
      fitness,
      reporter,
      fleet,
      fleetEpoch,
      stepMs,
    },
    ...{ epoch, prng: parts.prng.stream('spawn'), periodMs: spawnPeriodMs(config) },
  });
  const demand = new DemandDesk({ state, demands, templates, records: () => spawner.records, snapshot, stepMs, nowMs: () => time.nowMs() });
  return new SpawnDesk({ time, state, queue, templates, checks, spawner, demands, demand, fleet, fleetEpoch });
}
