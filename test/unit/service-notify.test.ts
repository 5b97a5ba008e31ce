/** Goal: the service manager hears that a service is ready, alive and stopping, each once it is so; without a manager nothing is said. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { serviceNotifier } from '../../shared/service-notify.ts';

t.test('ready, a pulse within each third of the period, stopping', async (t) => {
  const said: string[] = [];
  const manager = serviceNotifier({ HEADROOM_NOTIFY_FD: '3', WATCHDOG_USEC: '60000' }, (fd, line) => said.push(`${fd} ${line}`));
  t.same(said, []);
  manager.ready();
  t.same(said, ['3 READY=1\n']);
  await new Promise((resolve) => setTimeout(resolve, 70));
  const pulses = said.slice(1);
  t.ok(pulses.length >= 2, `${pulses.length} pulses in 70 ms of a period of 60`);
  t.ok(pulses.every((line) => line === '3 WATCHDOG=1\n'));
  manager.stopping();
  t.equal(said.at(-1), '3 STOPPING=1\n');
});

t.test('no manager, no watchdog, a pipe that broke', async (t) => {
  const said: string[] = [];
  const nobody = serviceNotifier({ WATCHDOG_USEC: '1000' }, (_, line) => said.push(line));
  nobody.ready();
  nobody.stopping();
  const without = serviceNotifier({ HEADROOM_NOTIFY_FD: '3' }, (_, line) => said.push(line));
  without.ready();
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.same(said, ['READY=1\n']);
  const broken = serviceNotifier({ HEADROOM_NOTIFY_FD: '3' }, () => {
    throw new Error('EPIPE');
  });
  t.doesNotThrow(() => broken.ready());
});

t.test('a pulse in a file, for what asks by a command', async (t) => {
  const file = join(t.testdir(), 'pulse');
  const manager = serviceNotifier({ HEADROOM_PULSE_FILE: file });
  t.throws(() => readFileSync(file), 'none before it is ready');
  manager.ready();
  t.equal(readFileSync(file, 'utf8'), `${process.pid}\n`);
  t.doesNotThrow(() => serviceNotifier({ HEADROOM_PULSE_FILE: '/nowhere/pulse' }).ready());
});
