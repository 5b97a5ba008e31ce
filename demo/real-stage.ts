/**
 * The real stage: this machine's libvirt, guests under QEMU, the services as processes. Input: the run's setting; output: the
 * stage; every effect is registered for the teardown before the next one begins.
 */
import { randomUUID } from 'node:crypto';
import { HeadroomError } from '../shared/errors.ts';
import { crossCheck } from './cross-check.ts';
import { probeAcceleration } from './guests/acceleration.ts';
import { foreignDomains, removeGuest, removeGuests, startGuest } from './guests/guests.ts';
import { ROSTER } from './guests/roster.ts';
import { cacheDirectory } from './image/cache.ts';
import { demoImage } from './image/demo-image.ts';
import { ensureLibvirt, libvirtAnswers } from './machine/daemons.ts';
import { obstacle, packagesToInstall, prepareMachine, thisMachine } from './machine/requirements.ts';
import { leftOverDirectories, removeLeftOver } from './run-directory.ts';
import { openRecords, startAggregator, startHostAgent } from './services.ts';
import type { Setting, Stage } from './stage.ts';
import { firstDayMs } from './workload/pattern.ts';

/** Throws ENVIRONMENT when real guests cannot run here; says what will be installed and started. */
export async function announce(say: (line: string) => void): Promise<void> {
  const problem = obstacle(thisMachine());
  if (problem !== null) throw new HeadroomError('ENVIRONMENT', problem);
  const packages = packagesToInstall();
  say(packages.length === 0 ? 'nothing to install: all Debian packages are there' : `will install by apt: ${packages.join(' ')}`);
  say((await libvirtAnswers()) ? 'libvirtd is running' : 'will start libvirtd and virtlogd, and stop them at the end');
  say(`will start ${ROSTER.length} guests (${ROSTER.map(({ name }) => name).join(', ')}), a host agent and an aggregator`);
}

async function takeLibvirt(setting: Setting): Promise<void> {
  const daemons = await ensureLibvirt();
  setting.teardown.add('stop libvirt', () => daemons.stop());
  if (daemons.started.length > 0) setting.terminal.say(`started ${daemons.started.join(' and ')}`);
  const foreign = await foreignDomains();
  if (foreign.length > 0) {
    throw new HeadroomError(
      'ENVIRONMENT',
      `this hypervisor already runs domains that no demo made: ${foreign.join(', ')}. The demo stays away from them; for a first look that changes nothing: npm run -s headroom -- look`,
    );
  }
}

async function cleanUpAfterKilledRuns(setting: Setting): Promise<void> {
  const leftOvers = leftOverDirectories().filter(({ path }) => path !== setting.run.path);
  const inUse = leftOvers.find((leftOver) => leftOver.inUse);
  if (inUse) throw new HeadroomError('CONFLICT', `another demo is running here (${inUse.path}); stop it first`);
  for (const leftOver of leftOvers) setting.terminal.say(removeLeftOver(leftOver));
  const removed = await removeGuests();
  if (removed.length > 0) setting.terminal.say(`removed guests that an earlier run left: ${removed.join(', ')}`);
}

async function startGuests(setting: Setting): Promise<string> {
  const { run, terminal, teardown } = setting;
  const image = await demoImage(cacheDirectory(), (line) => terminal.say(line));
  setting.checkpoint();
  const { domainType, why } = await probeAcceleration(image.kernel, image.initrd);
  terminal.say(why);
  const [kernel, initrd, disk] = [run.copyIn(image.kernel), run.copyIn(image.initrd), run.copyIn(image.disk)];
  const firstDay = firstDayMs(Date.now());
  for (const { name, role, memoryMiB, labels } of ROSTER) {
    setting.checkpoint();
    teardown.add(`remove ${name}`, () => removeGuest(name));
    const consoleLog = run.file(`${name}.console`);
    const boots = { kernel, initrd, disk, consoleLog, firstDayMs: firstDay };
    await startGuest({ name, uuid: randomUUID(), role, domainType, memoryMiB, labels, ...boots }, run.path);
    terminal.say(`started guest ${name} (1 vCPU, ${memoryMiB} MiB)`);
  }
  return domainType === 'kvm' ? 'QEMU guests under libvirt, with KVM' : 'QEMU guests under libvirt, emulated (no working KVM here)';
}

export async function realStage(setting: Setting): Promise<Stage> {
  prepareMachine(thisMachine(), (line) => setting.terminal.say(line));
  setting.checkpoint();
  await takeLibvirt(setting);
  await cleanUpAfterKilledRuns(setting);
  const description = await startGuests(setting);
  const aggregator = await startAggregator(setting);
  setting.terminal.say(`aggregator answers on ${aggregator.api.address}`);
  const agent = startHostAgent(setting);
  return {
    api: aggregator.api,
    description,
    failure() {
      const ended = [aggregator.service, agent].find((service) => !service.running);
      return ended === undefined ? null : `the ${ended.name} ended:\n${ended.lastWords()}`;
    },
    records: () => openRecords(setting, agent, aggregator.service),
    crossCheck: (viewOf) => crossCheck(viewOf, (ms) => new Promise((resolve) => setTimeout(resolve, ms))),
  };
}
