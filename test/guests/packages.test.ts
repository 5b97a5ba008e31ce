/**
 * Goal: the packages install, start and are removed cleanly on a Debian of their own: users, units, observe mode only, the first
 * look; an upgrade keeps what it finds; the removal of the host agent puts back every original value first, or does not happen.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import t from 'tap';
import { emptyRecord, withIntent } from '../../agent/core/journal.ts';
import { createLibvirtHypervisor } from '../../agent/hypervisor/libvirt/adapter.ts';
import { buildPackages } from '../../scripts/packaging/packages.ts';
import { systemClock } from '../../shared/clock.ts';
import { vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { freePort } from '../support/free-port.ts';
import { privateLibvirtd, virshOn } from '../support/libvirtd.ts';
import { openOverlayRoot } from '../support/overlay-root.ts';

const TEST_VM = vmId('6695eb01-f6a4-8304-79aa-97f2502e193f');
const folder = mkdtempSync(join(tmpdir(), 'headroom-packages-test-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const built = await buildPackages(join(folder, 'old'), '0.0.9', { effort: 'quick' });
const root = await openOverlayRoot();
t.teardown(() => root.remove());
const libvirtd = await privateLibvirtd();
t.teardown(() => libvirtd.stop());
// Its group, as Debian sets libvirt up, may use the socket; the test's daemon made it for root alone.
spawnSync('chgrp', ['libvirt', libvirtd.socket]);
chmodSync(libvirtd.socket, 0o770);
root.bind(libvirtd.runFolder, '/run/libvirt');
root.bind(folder, '/srv/packages');

const ok = (command: string): string => {
  const { status, output } = root.run(['sh', '-c', command]);
  if (status !== 0) throw new Error(`${command}: ${status}\n${output}`);
  return output;
};
/** As its unit starts it: a user of its own, no privilege. */
const start = (user: string, command: string): ReturnType<typeof root.start> =>
  root.start([
    ...['setpriv', '--reuid', user, '--regid', user, '--init-groups', '--no-new-privs', '--bounding-set=-all'],
    ...command.split(' '),
  ]);
const inRoot = (path: string): string => join(root.path, path);
const USERS = ['headroom-agent', 'headroom-guest', 'headroom-aggregator', 'headroom-slice'];
const UNITS = ['headroom-agent', 'headroom-guest-agent', 'headroom-aggregator', 'headroom-slice-lend', 'headroom-slice-borrow@'];
const LIBVIRT = 'test:///default?socket=/run/libvirt/libvirt-sock';
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function eventually(what: string, holds: () => boolean): Promise<void> {
  for (let waitedMs = 0; !holds(); waitedMs += 200) {
    if (waitedMs > 30_000) throw new Error(`not within 30 s: ${what}`);
    await pause(200);
  }
}

t.test('installed: users, units, and nothing that acts', async (t) => {
  ok(`dpkg -i ${built.map(({ deb }) => `/srv/packages/old/${basename(deb)}`).join(' ')}`);
  for (const user of USERS) t.not(ok(`id -u ${user}`).trim(), '0');
  t.match(ok('id -nG headroom-agent'), /libvirt/, 'the host agent may speak to libvirt');
  const wanted = readdirSync(inRoot('/etc/systemd/system/multi-user.target.wants'));
  t.same(
    wanted.filter((unit) => unit.startsWith('headroom-')).toSorted(),
    ['headroom-agent.service', 'headroom-aggregator.service', 'headroom-guest-agent.service'],
    'nothing is lent before somebody says so',
  );
  const verified = root.run(['systemd-analyze', 'verify', ...UNITS.map((unit) => `/usr/lib/systemd/system/${unit}.service`)]);
  t.equal(
    verified.output
      .split('\n')
      .filter((line) => line.includes('headroom'))
      .join('\n'),
    '',
  );
  t.match(readFileSync(inRoot('/var/lib/headroom-agent/kill/host'), 'utf8'), /only observed since it was installed/);
  t.equal(statSync(inRoot('/var/lib/headroom-agent/kill/host')).uid, Number(ok('id -u headroom-agent')), 'its service may read it');
  t.match(ok('headroom version'), /0\.0\.9/, 'the whole command line, where both are installed');
  t.equal(ok('headroom-agent version').trim(), '0.0.9');
  t.match(ok(`dpkg --verify ${built.map(({ name }) => name).join(' ')}`), /^$/, 'all files are as packaged');
});

t.test('the exposure of the units, as systemd-analyze counts it', async (t) => {
  const units = {
    ...{ 'headroom-agent': 20, 'headroom-guest-agent': 20, 'headroom-aggregator': 15 },
    ...{ 'headroom-slice-lend': 15, 'headroom-slice-borrow@': 15 },
  };
  for (const [unit, tenths] of Object.entries(units)) {
    const path = inRoot(`/usr/lib/systemd/system/${unit}.service`);
    const { stdout, status } = spawnSync('systemd-analyze', ['security', '--offline=true', '--no-pager', `--threshold=${tenths}`, path], {
      encoding: 'utf8',
    });
    t.equal(status, 0, `${unit}: ${stdout.trim().split('\n').at(-1)}`);
  }
});

t.test('the services run as their users; the first look; a host that is seen and not touched', async (t) => {
  const port = await freePort();
  writeFileSync(inRoot('/etc/headroom/aggregator.yaml'), `dataDir: /var/lib/headroom-aggregator\nlisten: { port: ${port} }\n`);
  writeFileSync(inRoot('/etc/headroom/agent.yaml'), `aggregator: ws://127.0.0.1:${port}/v1/agents\nconnect: ${LIBVIRT}\nhost: packaged\n`);
  t.match(ok(`/usr/lib/headroom-agent/headroom look --connect '${LIBVIRT}' --sample-seconds 1`), /test/);
  ok('install -d -o headroom-aggregator /var/lib/headroom-aggregator');
  const services = [
    start('headroom-aggregator', '/usr/sbin/headroom-aggregator --config /etc/headroom/aggregator.yaml'),
    start('headroom-agent', '/usr/sbin/headroom-agent host --config /etc/headroom/agent.yaml'),
  ];
  const headroom = (command: string): string => ok(`headroom ${command} --url http://127.0.0.1:${port}`);
  const ended = services.map((service) => new Promise<number | null>((resolve) => service.once('exit', resolve)));
  t.teardown(() => {
    for (const service of services) service.kill('SIGKILL');
  });
  await eventually('the aggregator tells of the host', () =>
    /packaged/.test(root.run(['headroom', 'host', 'list', '--url', `http://127.0.0.1:${port}`]).output),
  );
  await eventually('it is ready', () => root.run(['headroom', 'status', '--url', `http://127.0.0.1:${port}`]).status === 0);
  t.match(headroom('status'), /0\.0\.9/);
  for (const service of services) service.kill('SIGTERM');
  t.same(await Promise.all(ended), [0, 0], 'SIGTERM drains both');
});

t.test('memory is lent by a user of its own; what a VM still swaps to keeps the package', async (t) => {
  const port = await freePort();
  const state = '/run/headroom-slice';
  ok(`install -d -o headroom-slice ${state} && printf %064d 0 > /run/headroom-slice/key`);
  ok('chown headroom-slice /run/headroom-slice/key && chmod 600 /run/headroom-slice/key');
  const lend = `sizeMiB: 16\nlisten: 127.0.0.1:${port}\nkey: /run/headroom-slice/key\nreserveMiB: 16\n`;
  writeFileSync(inRoot('/etc/headroom/slice-lend.yaml'), lend);
  const lender = start('headroom-slice', '/usr/sbin/headroom-slice lend --config /etc/headroom/slice-lend.yaml');
  const ended = new Promise<number | null>((resolve) => lender.once('exit', resolve));
  t.teardown(() => lender.kill('SIGKILL'));
  const told = inRoot(`${state}/lent-${port}.json`);
  await eventually('it lends', () => existsSync(told));
  t.match(JSON.parse(readFileSync(told, 'utf8')), { kind: 'lent', sizeMiB: 16, borrower: null });
  lender.kill('SIGTERM');
  t.equal(await ended, 0);
  const unknown = root.run([
    'headroom-slice',
    'borrow',
    '--vm',
    TEST_VM,
    '--key',
    '/run/headroom-slice/key',
    '--socket-group',
    'nobody-here',
  ]);
  t.match(unknown.output, /socketGroup = "nobody-here": \/etc\/group has no such group/);

  writeFileSync(inRoot(`${state}/borrowed-${TEST_VM}.json`), '{}');
  const refused = root.run(['dpkg', '-r', 'headroom-slice']);
  t.not(refused.status, 0);
  t.match(refused.output, new RegExp(`VM ${TEST_VM}\n.*headroom-slice return`));
  t.equal(ok('headroom-slice version').trim(), '0.0.9', 'it is still whole');
  rmSync(inRoot(`${state}/borrowed-${TEST_VM}.json`));
  ok('dpkg -r headroom-slice');
});

t.test('an upgrade keeps configuration, and does not overrule who let it act', async (t) => {
  ok('headroom-agent unkill --config /etc/headroom/agent.yaml');
  const [newer] = await buildPackages(join(folder, 'new'), '0.1.1', { effort: 'quick', only: ['headroom-host-agent'] });
  ok(`dpkg --force-confold -i /srv/packages/new/${basename(newer!.deb)}`);
  t.equal(ok('headroom-agent version').trim(), '0.1.1');
  t.match(readFileSync(inRoot('/etc/headroom/agent.yaml'), 'utf8'), /host: packaged/);
  t.notOk(existsSync(inRoot('/var/lib/headroom-agent/kill/host')));
});

t.test('removal puts originals back first, and does not happen when it cannot', async (t) => {
  const hypervisor = createLibvirtHypervisor({
    ...{ uri: `test:///default?socket=${libvirtd.socket}`, clock: systemClock, prng: createPrng(1) },
  });
  await hypervisor.connect();
  t.teardown(() => hypervisor.close());
  const memory = (): string => /Used memory:\s+(\d+)/.exec(virshOn(libvirtd.socket, 'test:///default', 'dominfo', 'test'))![1]!;
  const before = memory();
  const native = await hypervisor.readNative(TEST_VM, 'memory');
  const record = withIntent(
    emptyRecord(TEST_VM, 'test', await hypervisor.processId(TEST_VM)),
    { resource: 'memory', memoryMiB: 1024 },
    { resource: 'memory', memoryMiB: Number(before) / 1024 },
    native,
  );
  mkdirSync(inRoot('/var/lib/headroom-agent/journal'), { recursive: true });
  writeFileSync(inRoot(`/var/lib/headroom-agent/journal/${TEST_VM}.json`), JSON.stringify(record));
  virshOn(libvirtd.socket, 'test:///default', 'setmem', 'test', '1G');
  t.not(memory(), before);

  const config = readFileSync(inRoot('/etc/headroom/agent.yaml'), 'utf8');
  writeFileSync(inRoot('/etc/headroom/agent.yaml'), config.replace('libvirt-sock', 'nobody-here'));
  const refused = root.run(['dpkg', '-r', 'headroom-host-agent']);
  t.not(refused.status, 0);
  t.match(refused.output, /so the package stays/);
  t.equal(ok('headroom-agent version').trim(), '0.1.1', 'it is still whole');

  writeFileSync(inRoot('/etc/headroom/agent.yaml'), config);
  t.match(ok('dpkg -r headroom-host-agent'), /ok +test .*memory/);
  t.equal(memory(), before);
});

t.test('purged: nothing is left', async (t) => {
  ok(`dpkg -P ${built.map(({ name }) => name).join(' ')}`);
  for (const user of USERS) t.not(root.run(['id', user]).status, 0);
  const left = ok(
    `find /etc /usr/lib /usr/sbin /usr/bin /usr/share/doc /var/lib -maxdepth 4 -xdev -path /var/lib/dpkg -prune -o -name '*headroom*' -print | grep -v '^/var/lib/systemd/deb-systemd-helper' || :`,
  );
  t.equal(left, '');
});
