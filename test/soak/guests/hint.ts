/**
 * Goal: what a guest says that it will need, said in a real guest by `headroom-agent hint`, is heard as its own word: it is to be seen in
 * the API and explained, moves nothing before its time, then raises to the guaranteed share and no further; and the guest reads in
 * `/run/headroom/resources.json` what it has, which follows each allocation.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { PoolEntry } from '../../../aggregator/core/notify/pool.ts';
import type { VmView } from '../../../aggregator/http/service.ts';
import { domainXml } from '../../../demo/guests/domain-xml.ts';
import { cacheDirectory } from '../../../demo/image/cache.ts';
import { demoImage } from '../../../demo/image/demo-image.ts';
import { freePort } from '../../support/free-port.ts';
import { privateLibvirtd, virsh } from '../../support/libvirtd.ts';
import { type ObedientGuest, obedientDisk, obedientGuest, ordersChannel } from '../../support/obedient-disk.ts';
import { eventually, Stack } from '../../support/stack.ts';

// A guest with Node in it boots under emulation.
t.setTimeout(600_000);

const folder = mkdtempSync(join(tmpdir(), 'headroom-hint-'));
const libvirtd = await privateLibvirtd();
const GUEST = { name: `hrh${process.pid}-hint`, uuid: '6f1b0000-0000-4000-8000-0000000006f0' };
const GUARANTEED_CORES = 0.8;
/** Sixty-four cores for a guest that has one: a claim is heard, and no command. */
const HINT = 'node /opt/agent.mjs hint cpu=64';
const policy = (mode: 'observe' | 'auto'): string =>
  JSON.stringify({
    version: 1,
    fleet: { lease: '20s', staleAfter: '30s' },
    defaults: {
      cpu: {
        ...{ mode, enforcement: 'cap-always', forecaster: 'last-value', guaranteedFraction: GUARANTEED_CORES, ceiling: 1 },
        ...{ lead: '4s', shrinkHorizon: '4s', cooldownGrow: '0s', cooldownShrink: '2s', deadBandFraction: 0.05 },
        ...{ stepLimitGrowFraction: 100, stepLimitShrinkFraction: 0.5, violationBudget: 0.05 },
      },
      memory: { mode: 'observe' },
    },
  });
const stack = new Stack({
  ...{ folder, port: await freePort(), policy: policy('observe'), include: GUEST.name, stepMs: 2000, inside: libvirtd.inside },
});
let guest: ObedientGuest;

t.teardown(async () => {
  guest?.close();
  await stack.stop();
  if (!t.passing()) for (const part of ['aggregator', 'agent'] as const) t.comment(`${part}:\n${stack.log(part).slice(-6000)}`);
  for (const verb of ['destroy', 'undefine']) spawnSync('virsh', ['-c', `qemu+unix:///system?socket=${libvirtd.socket}`, verb, GUEST.name]);
  await libvirtd.stop();
  rmSync(folder, { recursive: true, force: true });
});

t.before(async () => {
  const image = await demoImage(cacheDirectory(), () => undefined);
  const disk = await obedientDisk(image.disk, folder);
  const definition = { ...GUEST, role: 'idle', domainType: 'qemu', memoryMiB: 384, consoleLog: join(folder, 'console') } as const;
  const xml = domainXml({ ...definition, ...image, disk, firstDayMs: Date.now(), labels: {} })
    .replace('<serial', `${ordersChannel(folder)}<serial`)
    .replace('</devices>', '</devices><seclabel type="static" model="dac" relabel="no"><label>+0:+0</label></seclabel>');
  writeFileSync(join(folder, 'guest.xml'), xml);
  virsh(libvirtd.socket, 'create', join(folder, 'guest.xml'));
  stack.startAggregator();
  await eventually('the aggregator to answer', () => stack.get('/healthz'));
  stack.startAgent(['--boot-deadline-seconds', '300']);
  await eventually('the guest to be ready', async () => (await vm()).state === 'ready' && (await vm()).guestAgent, 300_000);
  guest = await obedientGuest(folder);
});

const vm = (): Promise<VmView> => stack.get<VmView>(`/v1/vms/${GUEST.uuid}`);
const explained = async (): Promise<string> => (await stack.get<{ text: string[] }>(`/v1/vms/${GUEST.uuid}/explain`)).text.join('\n');
/** As the kernel was told by libvirt; null = no cap. */
function capCores(): number | null {
  const text = virsh(libvirtd.socket, 'schedinfo', GUEST.name);
  const of = (what: string): number => Number(new RegExp(`vcpu_${what}\\s*:\\s*(-?\\d+)`).exec(text)?.[1]);
  const [quota, period] = [of('quota'), of('period')];
  return quota < 0 || quota > 1e12 ? null : quota / period;
}
const outcomes = async (): Promise<number> => (await stack.get<{ items: unknown[] }>('/v1/ledger?kind=outcome&limit=1000')).items.length;

interface PlannedStep {
  resource: string;
  constraint: string;
  reason: string;
  to: { capCores?: number | null };
}
interface Pool {
  atMs: number;
  resources: PoolEntry[];
}
const poolInGuest = async (): Promise<Pool> => JSON.parse(await guest.run('cat /run/headroom/resources.json')) as Pool;
const cpuInGuest = async (): Promise<PoolEntry> => (await poolInGuest()).resources.find(({ resource }) => resource === 'cpu')!;
const grantedInGuest = (cores: (granted: number | null) => boolean): Promise<PoolEntry> =>
  eventually(
    'the guest to read what it has',
    async () => {
      const cpu = await cpuInGuest();
      return cores(cpu.granted) ? cpu : null;
    },
    30_000,
  );
const put = async (text: string): Promise<void> => {
  const response = await fetch(`${stack.url}/v1/policies`, { method: 'PUT', body: text, headers: { 'content-type': 'text/plain' } });
  if (!response.ok) throw new Error(`the policy was not taken: ${response.status} ${await response.text()}`);
};

t.test('only observed: the guest reads what it has, and what it says is noted and moves nothing', async (t) => {
  const cpu = await eventually('the file in the guest', cpuInGuest);
  t.match(cpu, { resource: 'cpu', unit: 'cores', granted: null, borrowed: null, expected: [] }, 'no cap is set, and none is to come');
  const said = await guest.run(`${HINT} in=10m for=5m`);
  t.match(said, /left for the agent of this guest: 64 cores of cpu; a claim, not a command/);
  const { resources } = await eventually('the hint to be seen in the API', async () => {
    const now = await vm();
    return now.resources.cpu.hints === undefined ? null : now;
  });
  t.match(resources.cpu.hints, [{ amount: 64, countsTo: GUARANTEED_CORES }]);
  const [{ fromMs, untilMs } = { fromMs: 0, untilMs: 0 }] = resources.cpu.hints ?? [];
  t.equal(untilMs - fromMs, 300_000);
  t.ok(Math.abs(fromMs - Date.now() - 600_000) < 30_000, 'ten minutes from when it was said');
  t.match(await explained(), /CPU: its guest says that it will need 64\.00 cores from .*; a claim and no command: it is only noted\./);
  t.equal(await outcomes(), 0, 'no command was sent');
  t.equal(capCores(), null);
  await t.rejects(guest.run('node /opt/agent.mjs hint cpu=many'), /a number of cores is needed/, 'what is no hint is told to who says it');
});

t.test('allocated: the file follows', async (t) => {
  await put(policy('auto'));
  const cap = await eventually(
    'the idle guest to be capped',
    () => ((capCores() ?? 9) < GUARANTEED_CORES - 0.2 ? capCores() : null),
    90_000,
  );
  const cpu = await grantedInGuest((granted) => granted !== null && granted < GUARANTEED_CORES - 0.1);
  t.ok(Math.abs(cpu.granted! - capCores()!) < 0.15, `the guest reads ${cpu.granted} cores, libvirt had ${cap}`);
  t.equal(cpu.borrowed, 0);
  t.ok(cpu.guaranteed > 0 && cpu.guaranteed <= cpu.granted!, `guaranteed ${cpu.guaranteed}`);
  t.ok(
    cpu.expected.every(({ atMs, amount }) => atMs > 0 && amount > 0),
    JSON.stringify(cpu.expected),
  );
  t.match(await explained(), /it counts up to 0\.80 cores, the share it is guaranteed/, 'what was said of later waits for its time');
});

t.test(
  'when its time comes: raised to the guaranteed share and no further, because the guest says so; and the guest reads it',
  async (t) => {
    // What the command takes itself is demand that the host sees: by then that is long over.
    await guest.run(`${HINT} in=25s for=30s`);
    const byClaim = async (): Promise<PlannedStep[]> => {
      const { items } = await stack.get<{ items: { body: { steps: PlannedStep[] } }[] }>('/v1/ledger?kind=plan&limit=1000');
      return items.flatMap(({ body }) => body.steps).filter(({ constraint }) => constraint === 'claimed');
    };
    const claimed = await eventually('the cap to be raised by a claim', async () => (await byClaim())[0]);
    t.match(claimed, {
      resource: 'cpu',
      to: { capCores: GUARANTEED_CORES },
      reason: /because the guest expects to need 0\.80 cores \(its own word\)/,
    });
    await eventually('libvirt to have it', () => Math.abs((capCores() ?? 9) - GUARANTEED_CORES) < 0.01, 10_000);
    const cpu = await grantedInGuest((granted) => granted !== null && Math.abs(granted - GUARANTEED_CORES) < 0.01);
    t.comment(`the guest reads ${JSON.stringify(cpu)}`);
    await eventually('the hint to be over', () => (capCores() ?? 9) < GUARANTEED_CORES - 0.2, 90_000);
    // On a busy machine the guest may want more than its share while it reads for us, and get it: for that, and not because it says so.
    const steps = await byClaim();
    t.ok(
      steps.every(({ to }) => (to.capCores ?? 9) < GUARANTEED_CORES + 0.01),
      JSON.stringify(steps),
    );
    await grantedInGuest((granted) => granted !== null && granted < GUARANTEED_CORES - 0.1);
    t.pass('over with its time, and the guest reads that too');
  },
);
