/** Templates and spawning with what they work through. Parts in, desk out; what was kept by earlier runs is read first. */
import type { HostId } from '../../shared/ids.ts';
import type { DecisionConfig } from '../config.ts';
import { BootTimes } from '../core/spawn/boot-times.ts';
import { type BuildCheckOptions, BuildChecks } from '../execute/build-checks.ts';
import type { LedgerStore } from '../store/ledger-store.ts';
import type { Parts } from './parts.ts';
import { SpawnDesk } from './spawn-desk.ts';
import { TemplateKeeper } from './template-keeper.ts';

/** A checksum of an image of tens of GB takes minutes; whoever asked waits with it. */
const CHECK_DEADLINE_MS = 50_000;

/** What outlives the aggregator's process. */
export interface KeptSpawning {
  templates: TemplateKeeper;
}

export async function loadSpawning(ledger: LedgerStore): Promise<KeptSpawning> {
  const templates = new TemplateKeeper(ledger);
  await templates.load();
  return { templates };
}

export interface SpawningParts extends Pick<Parts, 'clock' | 'epoch' | 'time' | 'state' | 'queue'>, KeptSpawning {
  config: DecisionConfig;
  send: BuildCheckOptions['send'];
  understands: (host: HostId, capability: string) => boolean;
}

export function createSpawning({ clock, epoch, time, state, queue, config, send, understands, templates }: SpawningParts): SpawnDesk {
  const epochOf = (host: HostId): number => Math.max(epoch, state.host(host)?.highestEpoch ?? 0);
  const checks = new BuildChecks({ clock, epochOf, send, retryMs: config.commandRetryMs, deadlineMs: CHECK_DEADLINE_MS });
  return new SpawnDesk({ time, state, queue, templates, checks, understands, boots: new BootTimes() });
}
