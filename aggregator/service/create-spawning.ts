/** Templates, groups and spawning with what they work through. Parts in, desk out; what earlier runs kept is read first. */
import type { HostId } from '../../shared/ids.ts';
import { BUILD_CAPABILITY } from '../../shared/protocol/build-frames.ts';
import type { DecisionConfig } from '../config.ts';
import type { FleetSnapshot } from '../core/plan/plan.ts';
import type { SpawnBook } from '../core/spawn/spawn-book.ts';
import { type BuildCheckOptions, BuildChecks } from '../execute/build-checks.ts';
import type { LedgerStore } from '../store/ledger-store.ts';
import { GroupDemands } from './group-demand.ts';
import type { Parts } from './parts.ts';
import { SpawnDesk } from './spawn-desk.ts';
import { SpawnReporter } from './spawn-reporter.ts';
import { loadSpawnBook, Spawner } from './spawner.ts';
import { TemplateKeeper } from './template-keeper.ts';

/** A checksum of an image of tens of GB takes minutes; whoever asked waits with it. */
const CHECK_DEADLINE_MS = 50_000;
/** Hosts' answers and guests' readiness are looked at this often: a boot takes longer. */
const TURN_MS_MAX = 5000;

export const spawnPeriodMs = ({ stepMs, planPeriodMs }: DecisionConfig): number => Math.min(TURN_MS_MAX, stepMs, planPeriodMs);

/** What outlives the aggregator's process. */
export interface KeptSpawning {
  templates: TemplateKeeper;
  book: SpawnBook;
}

export async function loadSpawning(ledger: LedgerStore): Promise<KeptSpawning> {
  const templates = new TemplateKeeper(ledger);
  await templates.load();
  return { templates, book: await loadSpawnBook(ledger) };
}

type Needed = 'clock' | 'epoch' | 'time' | 'state' | 'queue' | 'prng' | 'log' | 'ledger' | 'events' | 'notifications';

export interface SpawningParts extends Pick<Parts, Needed>, KeptSpawning {
  config: DecisionConfig;
  send: BuildCheckOptions['send'];
  understands: (host: HostId, capability: string) => boolean;
  snapshot: () => FleetSnapshot;
  /** Highest demand of each host's VMs together in the hour to come, cores. */
  peaks: (snapshot: FleetSnapshot) => ReadonlyMap<string, number>;
}

export function createSpawning(parts: SpawningParts): SpawnDesk {
  const { clock, epoch, time, state, queue, config, send, understands, templates, book, ledger, log, snapshot, peaks } = parts;
  const epochOf = (host: HostId): number => Math.max(epoch, state.host(host)?.highestEpoch ?? 0);
  const makesVms = (host: HostId): boolean => understands(host, BUILD_CAPABILITY);
  const checks = new BuildChecks({ clock, epochOf, send, retryMs: config.commandRetryMs, deadlineMs: CHECK_DEADLINE_MS });
  const { stepMs, seasonsMs } = config;
  const demands = new GroupDemands({ state, ledger, log, stepMs, seasonsMs });
  const reporter = new SpawnReporter(parts.events, parts.notifications, log);
  const spawner = new Spawner(
    {
      ...{ time, state, ledger, log, templates, demands, reporter, snapshot, peaks, makesVms, epochOf, send, stepMs },
      ...{ epoch, prng: parts.prng.stream('spawn'), periodMs: spawnPeriodMs(config) },
    },
    book,
  );
  return new SpawnDesk({ time, state, queue, templates, checks, spawner, demands, makesVms });
}
