/**
 * Goal: a real guest of four vCPUs, labelled vcpus=allow, has some taken offline by plans while it idles; all come back within
 * seconds when its load rises, and at the kill switch. Which are online is read inside the guest, from
 * /sys/devices/system/cpu/online, by a shell of its own; what they run, from libvirt.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { VmView } from '../../../aggregator/http/service.ts';
import { domainXml } from '../../../demo/guests/domain-xml.ts';
import { cacheDirectory } from '../../../demo/image/cache.ts';
import { demoImage } from '../../../demo/image/demo-image.ts';
import { freePort } from '../../support/free-port.ts';
import { privateLibvirtd, virsh } from '../../support/libvirtd.ts';
import { eventually, Stack } from '../../support/stack.ts';

// A guest of four vCPUs boots under emulation; an image may have to be made.
t.setTimeout(600_000);

const SHELL = 'headroom.test';
const folder = mkdtempSync(join(tmpdir(), 'headroom-vcpus-'));
const libvirtd = await privateLibvirtd();
const GUEST = { name: `hrv${process.pid}`, uuid: '6f1b0000-0000-4000-8000-0000000003c1' };
const shellSocket = join(folder, 'shell.sock');

/** The last value needs no minutes to be trusted; the rest between two takings is twelve times this cooldown. */
const quick = {
  ...{ mode: 'auto', forecaster: 'last-value', marginFraction: 0.1, violationBudget: 0.05 },
  ...{ lead: '4s', shrinkHorizon: '4s', cooldownGrow: '0s', cooldownShrink: '1s' },
};
const stack = new Stack({
  folder,
  port: await freePort(),
  policy: JSON.stringify({ version: 1, defaults: { cpu: quick, memory: { mode: 'observe' } } }),
  include: GUEST.name,
  stepMs: 2000,
  inside: libvirtd.inside,
});

/** Beside the agent a shell that listens on a channel of its own: orders in, what they say out. Until somebody is at its other end it reads nothing. */
const LISTENS = `& while :; do while read order; do eval "$order"; done <>/dev/virtio-ports/${SHELL} >&0; sleep 1; done & wait`;

t.teardown(async () => {
  shell?.destroy();
  await stack.stop();
  if (!t.passing()) for (const part of ['aggregator', 'agent'] as const) t.comment(`${part}:\n${stack.log(part).slice(-6000)}`);
  for (const verb of ['destroy', 'undefine']) spawnSync('virsh', ['-c', `qemu+unix:///system?socket=${libvirtd.socket}`, verb, GUEST.name]);
  await libvirtd.stop();
  rmSync(folder, { recursive: true, force: true });
});

let shell: Socket | null = null;
let said = '';

t.before(async () => {
  const image = await demoImage(cacheDirectory(), () => undefined, [LISTENS]);
  const definition = { ...GUEST, role: 'idle', domainType: 'qemu', memoryMiB: 512, consoleLog: join(folder, 'console') } as const;
  const channel = `<channel type="unix"><source mode="bind" path="${shellSocket}"/><target type="virtio" name="${SHELL}"/></channel>`;
  const seclabel = '<seclabel type="static" model="dac" relabel="no"><label>+0:+0</label></seclabel>';
  // Its own load begins in a day's time: until then it idles.
  const xml = domainXml({ ...definition, ...image, firstDayMs: Date.now() + 86_400_000, labels: { vcpus: 'allow' } })
    .replace('<vcpu>1</vcpu>', '<vcpu>4</vcpu>')
    .replace('</devices>', `${channel}</devices>${seclabel}`);
  writeFileSync(join(folder, 'guest.xml'), xml);
  virsh(libvirtd.socket, 'create', join(folder, 'guest.xml'));
  stack.startAggregator();
  await eventually('the aggregator to answer', () => stack.get('/healthz'));
  stack.startAgent(['--boot-deadline-seconds', '300']);
  await eventually('the guest agent to be heard', async () => (await vm()).guestAgent, 300_000);
  shell = connect(shellSocket);
  shell.on('error', () => undefined);
  shell.setEncoding('utf8').on('data', (text: string) => (said += text));
});

const vm = (): Promise<VmView> => stack.get<VmView>(`/v1/vms/${GUEST.uuid}`);

/** By the guest's own kernel, e.g. `0-3`. */
let questions = 0;
async function online(): Promise<string> {
  const mark = `q${++questions}`;
  const ask = (): void => void shell!.write(`echo ${mark} $(cat /sys/devices/system/cpu/online)\n`);
  ask();
  const asks = setInterval(ask, 2000);
  const answer = (): string | null => new RegExp(`${mark} (\\S+)\\r?\\n`).exec(said)?.[1] ?? null;
  return eventually('the guest to answer', answer, 30_000).finally(() => clearInterval(asks));
}

/** CPU time of each vCPU, ns: what is offline runs nothing. */
function vcpuTimes(): number[] {
  const stats = virsh(libvirtd.socket, 'domstats', '--vcpu', GUEST.name);
  return [0, 1, 2, 3].map((n) => Number(new RegExp(`vcpu\\.${n}\\.time=(\\d+)`).exec(stats)?.[1]));
}

async function killSwitch(method: 'PUT' | 'DELETE'): Promise<void> {
  const response = await fetch(`${stack.url}/v1/kill-switch`, {
    method,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ vm: GUEST.uuid, reason: 'tried' }),
  });
  if (!response.ok) throw new Error(`kill switch: ${response.status} ${await response.text()}`);
}

const few = async (): Promise<boolean> => (await online()) === '0';

t.test('while it idles, plans take vCPUs offline, one plan after the other', async (t) => {
  t.equal(await online(), '0-3');
  await eventually('one vCPU to be left', few, 240_000);
  const { vcpus } = await eventually('the aggregator to know', async () => {
    const now = await vm();
    return now.vcpus?.online === 1 ? now : null;
  });
  t.match(vcpus, { defined: 4, online: 1, lastChange: { reason: /vCPUs taken offline at .* because/ } });
  const verdict = await eventually('a verdict on it', async () => (await vm()).vcpus?.lastVerdict);
  t.match(verdict, { direction: 'shrink', verdict: 'helped', reason: /what was taken was not missed/ });
  const before = vcpuTimes();
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const ran = vcpuTimes().map((time, n) => (time - before[n]!) / 1e9);
  t.ok(
    ran.slice(1).every((seconds) => seconds < 0.05),
    `the others run nothing: ${ran}`,
  );
  const { text: lines } = await stack.get<{ text: string[] }>(`/v1/vms/${GUEST.uuid}/explain`);
  t.ok(
    lines.some((line) => /1 of its 4 vCPUs are online/.test(line)),
    lines.join(' '),
  );
});

t.test('when its load rises, all are back within seconds', async (t) => {
  const startMs = Date.now();
  shell!.write('while :; do :; done & a=$!; while :; do :; done & b=$!\n');
  await eventually('all vCPUs', async () => (await online()) === '0-3', 60_000);
  t.comment(`all vCPUs were back ${Date.now() - startMs} ms after the load began`);
  shell!.write('kill $a $b\n');
  await eventually('the host to tell it', async () => (await vm()).vcpus?.online === 4);
});

t.test('taken again, and put back by the kill switch', async (t) => {
  await eventually('one vCPU to be left', few, 240_000);
  const startMs = Date.now();
  await killSwitch('PUT');
  await eventually('all vCPUs', async () => (await online()) === '0-3', 30_000);
  t.comment(`all vCPUs were back ${Date.now() - startMs} ms after the kill switch`);
  await new Promise((resolve) => setTimeout(resolve, 20_000));
  t.equal(await online(), '0-3', 'and stay');
});

t.test('taken again, and put back when its host agent ends', async (t) => {
  await killSwitch('DELETE');
  await eventually('one vCPU to be left', few, 240_000);
  await stack.kill('agent');
  await eventually('all vCPUs', async () => (await online()) === '0-3', 240_000);
  t.pass('by the guest itself, whose host has been silent for three minutes');
});
