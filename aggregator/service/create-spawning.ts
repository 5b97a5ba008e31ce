/** Templates, groups and spawning with what they work through. Parts in, desk out. */
import type { HostId } from '../../shared/ids.ts';
import { BUILD_CAPABILITY, HAND_OVER_CAPABILITY, PROBE_CAPABILITY } from '../../shared/protocol/build-frames.ts';
import type { DecisionConfig } from '../config.ts';
import type { FleetSnapshot } from '../core/plan/plan.ts';
import { type BuildCheckOptions, BuildChecks } from '../execute/build-checks.ts';
import { DemandDesk } from './demand-desk.ts';
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
  const makesVms = (host: HostId): boolean => understands(host, BUILD_CAPABILITY);
  const probes = (host: HostId): boolean => understands(host, PROBE_CAPABILITY);
  const takesVms = (host: HostId): boolean => understands(host, HAND_OVER_CAPABILITY);
  const checks = new BuildChecks({ clock, epochOf, send, retryMs: config.commandRetryMs, deadlineMs: CHECK_DEADLINE_MS });
  const { stepMs, seasonsMs } = config;
  const templates = new TemplateKeeper(ledger);
  const fitness = new TemplateFitness({ checks, time });
  const demands = new GroupDemands({ state, ledger, log, stepMs, seasonsMs });
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
      snapshot,
      peaks,
      makesVms,
      probes,
      epochOf,
      fleetEpoch,
      send,
      stepMs,
    },
    ...{ epoch, prng: parts.prng.stream('spawn'), periodMs: spawnPeriodMs(config) },
  });
  const demand = new DemandDesk({ state, demands, templates, records: () => spawner.records, snapshot, stepMs, nowMs: () => time.nowMs() });
  return new SpawnDesk({ time, state, queue, templates, checks, spawner, demands, demand, makesVms, takesVms });
}
