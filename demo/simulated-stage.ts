/**
 * The simulated stage: the real aggregator with its stores and its page, the host agent's real code, and hypervisor, guests
 * and channels that are simulated. Runs anywhere, without root; says clearly what it is.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startService } from './child-processes.ts';
import { agentsAddress, openRecords, startAggregator } from './services.ts';
import type { Setting, Stage } from './stage.ts';

const entry = join(dirname(fileURLToPath(import.meta.url)), 'simulated/main.ts');

export async function simulatedStage(setting: Setting): Promise<Stage> {
  setting.terminal.say('SIMULATED: hypervisor, guests and channels are simulated in one process; nothing here is a real VM');
  const aggregator = await startAggregator(setting);
  setting.terminal.say(`aggregator answers on ${aggregator.api.address}`);
  const machines = startService(
    'simulated-host',
    [entry, agentsAddress(setting.port), setting.run.file('agent')],
    setting.run,
    process.env,
  );
  setting.teardown.add('stop the simulated host', () => machines.stop());
  return {
    api: aggregator.api,
    description: 'SIMULATED hypervisor and guests; real aggregator, agent code, stores and API',
    failure() {
      const ended = [aggregator.service, machines].find((service) => !service.running);
      return ended === undefined ? null : `the ${ended.name} ended:\n${ended.lastWords()}`;
    },
    records: () => openRecords(setting, machines, aggregator.service),
    crossCheck: null,
  };
}
