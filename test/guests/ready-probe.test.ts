/**
 * Goal: a real guest on a real bridge is asked whether it serves at the address its host has of it, through a real libvirt: not before
 * the host has one, then its open port, its HTTP answer, and why not where it does not; and the addresses of libvirt's own leases are read.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createLibvirtBuilder } from '../../agent/hypervisor/libvirt/builder.ts';
import { systemClock } from '../../shared/clock.ts';
import { vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import type { NetworkProbe } from '../../shared/ready-probe.ts';
import { privateLibvirtd, virsh, virshOn } from '../support/libvirtd.ts';
import { type TinyGuestOptions, tinyGuest, tinyGuestXml } from '../support/tiny-guest.ts';

t.setTimeout(200_000);

/** As the guest takes its own and its host's to be. */
const [GUEST, HOST] = ['10.0.2.15', '10.0.2.2'];
/** In a network of the test's own: no other port is taken there. */
const PORT = 8080;
const TEST_URI = 'test:///default';
const folder = mkdtempSync(join(tmpdir(), 'headroom-probe-'));
const libvirtd = await privateLibvirtd({ ownNetwork: true });
const uriOf = (uri: string): string => `${uri}?socket=${libvirtd.socket}`;
const driver = createLibvirtBuilder({ uri: uriOf(TEST_URI), clock: systemClock, prng: createPrng(1) });
t.teardown(async () => {
  await driver.close();
  await libvirtd.stop();
  rmSync(folder, { recursive: true, force: true });
});

function inside(...command: string[]): string {
  const [program, ...args] = [...libvirtd.inside, ...command];
  const done = spawnSync(program!, args, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${command.join(' ')}: ${done.error?.message ?? done.stderr}`);
  return done.stdout;
}

/** Asks as the agent of a host in that network does. */
const part = (file: string): string => JSON.stringify(new URL(`../../${file}`, import.meta.url).href);
const ASK = `
import { askGuest } from ${part('agent/actuators/ready-probe.ts')};
import { createLibvirtBuilder } from ${part('agent/hypervisor/libvirt/builder.ts')};
import { systemClock } from ${part('shared/clock.ts')};
import { createPrng } from ${part('shared/prng.ts')};
const [uri, vm, probes] = JSON.parse(process.argv[1]);
const builder = createLibvirtBuilder({ uri, clock: systemClock, prng: createPrng(1) });
const addresses = await builder.addresses(vm);
const reasons = [];
for (const probe of probes) reasons.push(await askGuest(addresses, probe));
await builder.close();
console.log(JSON.stringify({ addresses, reasons }));`;
function ask(vm: string, probes: readonly NetworkProbe[]): { addresses: string[]; reasons: (string | null)[] } {
  const asked = JSON.stringify([uriOf('qemu:///system'), vm, probes]);
  return JSON.parse(inside(process.execPath, '--input-type=module', '-e', ASK, asked)) as ReturnType<typeof ask>;
}

t.test('the addresses of leases, as libvirt has them', async (t) => {
  const stranger = vmId(virshOn(libvirtd.socket, TEST_URI, 'domuuid', 'test').trim());
  t.match(await driver.addresses(stranger), [/^192\.168\.122\.\d+$/]);
});

t.test('a guest that serves', async (t) => {
  inside('ip', 'link', 'set', 'lo', 'up');
  inside('ip', 'link', 'add', 'name', 'hrp0', 'type', 'bridge');
  inside('ip', 'addr', 'add', `${HOST}/24`, 'dev', 'hrp0');
  inside('ip', 'link', 'set', 'hrp0', 'up');
  const options: TinyGuestOptions = {
    ...{ name: `serves-${process.pid}`, uuid: '6f1b0000-0000-4000-8000-0000000000e7', folder, disk: true },
    devices: "<interface type='bridge'><source bridge='hrp0'/><model type='virtio'/></interface>",
  };
  const vm = vmId(options.uuid);
  const file = join(folder, 'domain.xml');
  writeFileSync(file, tinyGuestXml(options));
  virsh(libvirtd.socket, 'create', file);
  const guest = await tinyGuest(options);
  t.teardown(() => guest.close());
  const http = (path: string): NetworkProbe => ({ kind: 'http', port: PORT, path, status: 200, timeoutMs: 5000 });
  const tcp = (port: number): NetworkProbe => ({ kind: 'tcp', port, timeoutMs: 5000 });
  t.match(ask(vm, [tcp(PORT)]), { addresses: [], reasons: [/no address of it yet/] }, 'it has not spoken yet');
  await guest.order(`listen ${PORT}`);
  const { addresses, reasons } = ask(vm, [http('/healthz'), tcp(PORT), http('/elsewhere'), tcp(81)]);
  t.same(addresses, [GUEST]);
  t.match(reasons, [null, null, `${GUEST}:${PORT}/elsewhere answers 404, not 200`, /^10\.0\.2\.15:81 is not reached: .*ECONNREFUSED/]);
});
