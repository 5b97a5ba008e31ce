/**
 * The two services of a run as they ship: aggregator and host agent, each the program people would run. Input: the stage's
 * setting; output: processes that answer, and their end with the run.
 */
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openSqliteLedgerStore } from '../aggregator/store/sqlite/sqlite-ledger-store.ts';
import { openSqliteSeriesStore } from '../aggregator/store/sqlite/sqlite-series-store.ts';
import { systemClock } from '../shared/clock.ts';
import { HeadroomError } from '../shared/errors.ts';
import { Api } from './api.ts';
import { type Service, startService } from './child-processes.ts';
import { NAME_PREFIX } from './guests/guests.ts';
import { LIBVIRT_URI } from './machine/virsh.ts';
import { demoPolicy } from './policy.ts';
import type { Records, Setting } from './stage.ts';
import { DAY_MS, STEP_MS, WORKLOAD_SETTLE_MS } from './workload/pattern.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
/** An aggregator opens its stores and listens within a second or two. */
const ANSWER_MS = 30_000;
const POLL_MS = 250;

export const agentsAddress = (port: number): string => `ws://127.0.0.1:${port}/v1/agents`;

function addToTeardown(setting: Setting, service: Service): Service {
  setting.teardown.add(`stop the ${service.name}`, () => service.stop());
  return service;
}

export async function startAggregator(setting: Setting): Promise<{ service: Service; api: Api }> {
  const policy = setting.run.file('policy.yaml');
  writeFileSync(policy, demoPolicy());
  const config = {
    listen: { host: '127.0.0.1', port: setting.port },
    dataDir: setting.run.file('aggregator'),
    policyFile: policy,
    stepMs: STEP_MS,
    planPeriodMs: STEP_MS,
    seasonsMs: [DAY_MS],
    // Emulated guests on two cores are restless within a step; its mean is what a day's pattern shows in.
    demandWindowMs: STEP_MS,
    // A guest compiles its programs and measures itself first; its load begins then.
    settleMs: WORKLOAD_SETTLE_MS,
    // A shrink that did harm is left alone for a tenth of a day; half an hour in a real one.
    verdictCooldownMs: DAY_MS / 10,
  };
  const file = setting.run.file('aggregator.json');
  writeFileSync(file, JSON.stringify(config));
  const service = addToTeardown(
    setting,
    startService('aggregator', [join(root, 'aggregator/main.ts'), '--config', file], setting.run, process.env),
  );
  const api = new Api(`http://127.0.0.1:${setting.port}`);
  for (const untilMs = Date.now() + ANSWER_MS; ; ) {
    setting.checkpoint();
    if (!service.running || Date.now() > untilMs) {
      throw new HeadroomError('UNAVAILABLE', `the aggregator does not answer on port ${setting.port}:\n${service.lastWords()}`);
    }
    try {
      await api.get('/healthz');
      return { service, api };
    } catch {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}

/**
 * What the run left in the aggregator's data directory. The agent goes first, so that what it still has reaches the stores;
 * then the aggregator, which alone may have them open.
 */
export async function openRecords(setting: Setting, agent: Service, aggregator: Service): Promise<Records> {
  await agent.stop();
  await aggregator.stop();
  const directory = setting.run.file('aggregator');
  const series = await openSqliteSeriesStore({ directory: join(directory, 'series'), clock: systemClock });
  setting.teardown.add('close the series store', () => series.close());
  const ledger = await openSqliteLedgerStore({ directory: join(directory, 'ledger') });
  setting.teardown.add('close the ledger', () => ledger.close());
  return { series, ledger };
}

export function startHostAgent(setting: Setting): Service {
  const args = [
    ...['host', '--host', 'demo-host', '--aggregator', agentsAddress(setting.port), '--connect', LIBVIRT_URI],
    ...['--state-dir', setting.run.file('agent'), '--include', `${NAME_PREFIX}*`],
    // A day of 100 s needs statistics each second; a host with many guests gets them as their cost allows.
    ...['--stats-seconds', '5', '--balloon-stats-seconds', '1', '--settings-seconds', '5', '--inventory-seconds', '10'],
  ];
  return addToTeardown(setting, startService('host-agent', [join(root, 'agent/main.ts'), ...args], setting.run, process.env));
}
