/**
 * Goal: a real guest on a real bridge in quarantine by libvirt's network filters: no packet passes either way while its link stays up and
 * its virtio-serial channel speaks; the filter of before comes back with its values; an administrator's own filter of that name is
 * left as it is; interfaces that no filter reaches are known.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { QUARANTINE } from '../../agent/core/isolation.ts';
import { createLibvirtHypervisor } from '../../agent/hypervisor/libvirt/adapter.ts';
import { systemClock } from '../../shared/clock.ts';
import { vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { privateLibvirtd, virsh } from '../support/libvirtd.ts';
import { type TinyGuestOptions, tinyGuest, tinyGuestXml } from '../support/tiny-guest.ts';

const MAC = '52:54:00:00:0e:01';
/** In a network of the test's own: no other port is taken there. */
const PORT = 7070;
const QUIET_MS = 3000;
const folder = mkdtempSync(join(tmpdir(), 'headroom-quarantine-'));
const libvirtd = await privateLibvirtd({ ownNetwork: true });
t.teardown(async () => {
  await libvirtd.stop();
  rmSync(folder, { recursive: true, force: true });
});

function inside(...command: string[]): void {
  const [program, ...args] = [...libvirtd.inside, ...command];
  const done = spawnSync(program!, args, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${command.join(' ')}: ${done.error?.message ?? done.stderr}`);
}
inside('ip', 'link', 'set', 'lo', 'up');
inside('ip', 'link', 'add', 'name', 'hrq0', 'type', 'bridge');
// The guest takes the host to be where user-mode networking has it.
inside('ip', 'addr', 'add', '10.0.2.2/24', 'dev', 'hrq0');
inside('ip', 'link', 'set', 'hrq0', 'up');

const filterref = "<filterref filter='no-mac-spoofing'><parameter name='NOTE' value='kept'/></filterref>";
const source = "<source bridge='hrq0'/><model type='virtio'/>";
const options: TinyGuestOptions = {
  name: `quarantined-${process.pid}`,
  uuid: '6f1b0000-0000-4000-8000-0000000000e1',
  folder,
  disk: true,
  devices: `<interface type='bridge'><mac address='${MAC}'/>${source}${filterref}</interface>`,
};
const VM = vmId(options.uuid);
const file = join(folder, 'domain.xml');
writeFileSync(file, tinyGuestXml(options));
virsh(libvirtd.socket, 'create', file);
const guest = await tinyGuest(options);
t.teardown(() => guest.close());

/** Counts connections of the guest, in the guest's network. */
let ticks = 0;
const listener = `require('node:net').createServer((s) => { s.on('error', () => {}); console.log('tick'); s.end(); }).listen(${PORT}, '10.0.2.2')`;
const [program, ...args] = [...libvirtd.inside, process.execPath, '-e', listener];
const server = spawn(program!, args, { stdio: ['ignore', 'pipe', 'ignore'] });
server.stdout.on('data', (chunk: Buffer) => {
  ticks += chunk.toString().split('tick').length - 1;
});
t.teardown(() => server.kill('SIGKILL'));

const hypervisor = createLibvirtHypervisor({
  uri: `qemu:///system?socket=${libvirtd.socket}`,
  clock: systemClock,
  prng: createPrng(1),
  callDeadlineMs: 5000,
});
await hypervisor.connect();
t.teardown(() => hypervisor.close());

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
async function more(): Promise<boolean> {
  const before = ticks;
  for (let waitedMs = 0; waitedMs < 30_000 && ticks === before; waitedMs += 100) await pause(100);
  return ticks > before;
}

t.test('in quarantine nothing passes, the link stays up, the channel speaks; then all is as it was', async (t) => {
  await guest.order(`talk ${PORT}`);
  t.ok(await more(), 'the guest reaches the host');
  const [before] = await hypervisor.readLinks(VM);
  const own = { name: 'no-mac-spoofing', parameters: [{ name: 'NOTE', value: 'kept' }] };
  t.match(before, { mac: MAC, up: true, filterable: true, filter: own });
  await hypervisor.prepareQuarantine();
  t.match(await hypervisor.setFilters(VM, [{ mac: MAC, filter: QUARANTINE }]), [{ up: true, filter: QUARANTINE }]);
  await pause(500);
  const reached = ticks;
  await pause(QUIET_MS);
  t.equal(ticks, reached, 'nothing passes');
  t.match(virsh(libvirtd.socket, 'domif-getlink', options.name, MAC), /up/);
  await guest.order('touch');
  t.match(await hypervisor.setFilters(VM, [{ mac: MAC, filter: own }]), [{ filter: own }]);
  t.ok(await more(), 'and again, with the filter of before');
});

t.test("the host's own filter of that name is left as it is", async (t) => {
  const mine = join(folder, 'mine.xml');
  const uuid = /<uuid>(.*)<\/uuid>/.exec(virsh(libvirtd.socket, 'nwfilter-dumpxml', QUARANTINE.name))?.[1];
  writeFileSync(mine, `<filter name='${QUARANTINE.name}' chain='root'><uuid>${uuid}</uuid><filterref filter='allow-arp'/></filter>`);
  virsh(libvirtd.socket, 'nwfilter-define', mine);
  await hypervisor.prepareQuarantine();
  t.match(virsh(libvirtd.socket, 'nwfilter-dumpxml', QUARANTINE.name), /allow-arp/);
});

t.test('a libvirt without the driver refuses, and says what to do', async (t) => {
  const simple = createLibvirtHypervisor({
    uri: `test:///default?socket=${libvirtd.socket}`,
    clock: systemClock,
    prng: createPrng(1),
    callDeadlineMs: 5000,
  });
  await simple.connect();
  await t.rejects(simple.prepareQuarantine(), { message: /no packet filters.*isolate by link/ });
  simple.close();
});
