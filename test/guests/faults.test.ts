/**
 * Goal: the whole loop on real guests when parts of it die or others interfere: the aggregator killed (leases run out, no
 * memory shrinks, caps go, all recovers), agent and aggregator killed and `restore --all` (live definitions and control
 * groups equal those from before), libvirtd restarted, a domain hung, foreign writers (adopted, hands off, told), and VMs
 * that must never be touched (zero commands, reason shown). Aggregator and agent are processes of their own.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { normalXml } from '../../agent/hypervisor/libvirt/normal-xml.ts';
import type { FleetEvent, VmView } from '../../aggregator/http/service.ts';
import type { LedgerEntry } from '../../aggregator/store/ledger-store.ts';
import { freePort } from '../support/free-port.ts';
import { privateLibvirtd, virsh } from '../support/libvirtd.ts';
import { eventually, Stack } from '../support/stack.ts';
import { type TinyGuestOptions, tinyGuest, tinyGuestXml } from '../support/tiny-guest.ts';

// Several guests boot under emulation, leases run out, a hung domain is waited for.
t.setTimeout(600_000);

const folder = mkdtempSync(join(tmpdir(), 'headroom-faults-'));
const libvirtd = await privateLibvirtd();
const name = (what: string): string => `hrf${process.pid}-${what}`;
const guestOptions = (what: string, index: number, more: Partial<TinyGuestOptions> = {}): TinyGuestOptions => ({
  name: name(what),
  uuid: `6f1b0000-0000-4000-8000-0000000000f${index}`,
  folder,
  memoryMiB: 320,
  ...more,
});
const MAIN = guestOptions('main', 1);
const OTHER = guestOptions('other', 2);
const PREALLOCATED = guestOptions('prealloc', 3, {
  memoryMiB: 128,
  extra: "<memoryBacking><allocation mode='immediate'/></memoryBacking>",
});
const PLAIN = guestOptions('plain', 4, { memoryMiB: 128, balloon: false });
const GUESTS = [MAIN, OTHER, PREALLOCATED, PLAIN];

const quick = {
  mode: 'auto',
  lead: '4s',
  shrinkHorizon: '4s',
  cooldownGrow: '0s',
  cooldownShrink: '2s',
  stepLimitGrowFraction: 100,
  stepLimitShrinkFraction: 1,
  violationBudget: 0.05,
};
const POLICY = JSON.stringify({
  version: 1,
  fleet: { lease: '8s', staleAfter: '10s', reserve: { cpuCores: 0, memoryMiB: 512 } },
  defaults: {
    cpu: { ...quick, enforcement: 'cap-always' },
    memory: { ...quick, floor: 128, workingSetWindow: '5s' },
  },
});
const stack = new Stack({
  folder,
  port: await freePort(),
  policy: POLICY,
  include: `hrf${process.pid}-*`,
  stepMs: 2000,
  // A short season: a forecast may take something away only after it has seen some of them.
  config: { seasonsMs: [16_000] },
  inside: libvirtd.inside,
});

/** What every guest was before anything of ours ran. */
const before: Record<string, Record<string, string>> = {};

t.teardown(async () => {
  await stack.stop();
  if (!t.passing()) for (const part of ['aggregator', 'agent'] as const) t.comment(`${part}:\n${stack.log(part).slice(-6000)}`);
  for (const { name } of GUESTS) {
    for (const verb of ['destroy', 'undefine']) spawnSync('virsh', ['-c', `qemu+unix:///system?socket=${libvirtd.socket}`, verb, name]);
  }
  await libvirtd.stop();
  rmSync(folder, { recursive: true, force: true });
});

t.before(async () => {
  for (const options of GUESTS) {
    const file = join(folder, `${options.name}.xml`);
    writeFileSync(file, tinyGuestXml(options));
    virsh(libvirtd.socket, 'define', file);
    virsh(libvirtd.socket, 'start', options.name);
  }
  for (const options of GUESTS) (await tinyGuest(options)).close();
  for (const options of GUESTS) before[options.name] = groundTruth(options);
  stack.startAggregator();
  await eventually('the aggregator to answer', () => stack.get('/healthz'));
  stack.startAgent();
});

const vm = ({ uuid }: TinyGuestOptions): Promise<VmView> => stack.get(`/v1/vms/${uuid}`);
const events = async (): Promise<FleetEvent[]> => (await stack.get<{ items: FleetEvent[] }>('/v1/events?format=json&limit=1000')).items;
const capOf = async (options: TinyGuestOptions): Promise<number | null> => {
  const { setting } = (await vm(options)).resources.cpu;
  return setting?.resource === 'cpu' ? setting.capCores : null;
};
const quotaOf = ({ name }: TinyGuestOptions): number =>
  Number(/vcpu_quota\s*:\s*(-?\d+)/.exec(virsh(libvirtd.socket, 'schedinfo', name))?.[1]);
const balloonMiB = ({ name }: TinyGuestOptions): number =>
  Number(/actual (\d+)/.exec(virsh(libvirtd.socket, 'dommemstat', name))?.[1]) / 1024;
const unlimited = (quota: number): boolean => quota < 0 || quota > 1e12;
const managed = (options: TinyGuestOptions) =>
  eventually(
    `a cap and a smaller balloon on ${options.name}`,
    async () => (await capOf(options)) !== null && balloonMiB(options) < 300,
    120_000,
  );

/** A balloon that was told to shrink goes on for a while by itself: waits until it rests. */
async function settled(options: TinyGuestOptions): Promise<number> {
  let last = Number.NaN;
  let same = 0;
  return eventually(
    `the balloon of ${options.name} to rest`,
    () => {
      const now = balloonMiB(options);
      same = Math.abs(now - last) < 1 ? same + 1 : 0;
      last = now;
      // Polled four times a second.
      return same >= 20 ? now : null;
    },
    120_000,
  );
}

/** Every value of the machine's control groups that Headroom may write, and the live definition. */
function groundTruth({ name }: TinyGuestOptions): Record<string, string> {
  const files = globSync(
    `/sys/fs/cgroup/{cpu,cpu,cpuacct}*/machine/*${name}*/**/{cpu.shares,cpu.cfs_quota_us,cpu.cfs_period_us,cpu.max,cpu.weight}`,
  );
  const v2 = globSync(`/sys/fs/cgroup/machine/*${name}*/**/{cpu.max,cpu.weight}`);
  const values = Object.fromEntries([...files, ...v2].sort().map((file) => [file, readFileSync(file, 'utf8').trim()]));
  const version = existsSync('/sys/fs/cgroup/cgroup.controllers') ? 2 : 1;
  // Whether the test itself has the guest's channel open is no setting.
  const xml = virsh(libvirtd.socket, 'dumpxml', name).replaceAll(/ state='(dis)?connected'/g, '');
  return { ...values, xml: normalXml(xml, version).join('\n') };
}

t.test('the loop acts on real guests', async (t) => {
  t.ok(Object.keys(before[MAIN.name] ?? {}).length > 3, 'control groups were found');
  await managed(MAIN);
  const quota = quotaOf(MAIN);
  t.notOk(unlimited(quota), `libvirt shows the cap: quota ${quota}`);
  const view = await vm(MAIN);
  t.ok(view.resources.cpu.lastDecision?.reason, 'the decision has a reason');
  const explained = await stack.get<{ text: string[] }>(`/v1/vms/${MAIN.uuid}/explain`);
  t.ok(explained.text.length > 3);
});

t.test('the aggregator is killed: leases run out, caps go, no memory shrinks, all recovers', async (t) => {
  await managed(OTHER);
  const heldMiB = [await settled(MAIN), await settled(OTHER)];
  const { epoch } = (await stack.get<{ items: { epoch: number }[] }>('/v1/hosts')).items[0]!;
  await stack.kill('aggregator');
  const shrunk: string[] = [];
  const watch = setInterval(() => {
    for (const [i, options] of [MAIN, OTHER].entries()) {
      if (balloonMiB(options) < heldMiB[i]! - 2) shrunk.push(`${options.name} from ${heldMiB[i]} to ${balloonMiB(options)} MiB`);
    }
  }, 1000);
  await eventually('caps to go', () => unlimited(quotaOf(MAIN)) && unlimited(quotaOf(OTHER)), 60_000);
  clearInterval(watch);
  t.same(shrunk, [], 'no memory was shrunk');
  stack.startAggregator();
  await managed(MAIN);
  const after = (await stack.get<{ items: { epoch: number }[] }>('/v1/hosts')).items[0]!;
  t.ok(after.epoch > epoch, `the epoch rose from ${epoch} to ${after.epoch}`);
});

t.test('agent and aggregator are killed: restore --all puts everything back', async (t) => {
  await managed(MAIN);
  await stack.kill('agent');
  await stack.kill('aggregator');
  t.notSame(groundTruth(MAIN), before[MAIN.name], 'values of ours are in force');
  const output = await stack.agentCommand('restore', '--all', '--state-dir', stack.stateDir);
  t.notMatch(output, /FAIL/);
  for (const options of GUESTS) {
    if (options !== PLAIN)
      await eventually(`${options.name} to have its memory`, () => balloonMiB(options) >= (options.memoryMiB ?? 0) - 1);
    t.same(groundTruth(options), before[options.name], `${options.name} is as before`);
  }
  stack.startAggregator();
  await eventually('the aggregator to answer', () => stack.get('/healthz'));
  stack.startAgent();
  await managed(MAIN);
});

t.test('VMs that must never be touched: no command, and the reason is shown', async (t) => {
  for (const [options, reason] of [
    [PREALLOCATED, /alloc/i],
    [PLAIN, /balloon/i],
  ] as const) {
    const { eligible } = (await vm(options)).resources.memory;
    t.equal(eligible.allowed, false);
    t.match(eligible.allowed ? '' : eligible.reason, reason);
    const { items } = await stack.get<{ items: LedgerEntry[] }>(`/v1/ledger?vm=${options.uuid}&kind=outcome&limit=1000`);
    t.same(
      items.filter(({ body }) => body.kind === 'outcome' && body.resource === 'memory'),
      [],
      'no command for its memory',
    );
    if (options !== PLAIN) t.equal(Math.round(balloonMiB(options)), options.memoryMiB, 'it has all it booted with');
  }
});

/** Events told after this moment: earlier ones prove nothing. */
async function eventsSince(): Promise<() => Promise<FleetEvent[]>> {
  const newest = Math.max(0, ...(await events()).map(({ id }) => id));
  return async () => (await events()).filter(({ id }) => id > newest);
}

t.test('a domain hangs: the others are seen and managed all the same', async (t) => {
  const since = await eventsSince();
  const pid = Number(readFileSync(join(libvirtd.runFolder, 'qemu', `${OTHER.name}.pid`), 'utf8'));
  process.kill(pid, 'SIGSTOP');
  t.teardown(() => process.kill(pid, 'SIGCONT'));
  await eventually(
    'the hung domain to be told',
    async () => (await since()).some(({ message, vm }) => vm === OTHER.uuid && /answer|stuck|hang/i.test(message)),
    120_000,
  );
  const view = await vm(MAIN);
  t.ok(view.resources.cpu.ageMs < 10_000, `${MAIN.name} was seen ${view.resources.cpu.ageMs} ms ago`);
  await eventually(`statistics of ${MAIN.name} meanwhile`, async () => (await vm(MAIN)).resources.memory.ageMs < 10_000);
  process.kill(pid, 'SIGCONT');
  await eventually('the domain to be seen again', async () => (await vm(OTHER)).resources.memory.ageMs < 10_000, 90_000);
});

t.test('libvirtd is killed and started again: the agent comes back by itself', async (t) => {
  const since = await eventsSince();
  const told = (pattern: RegExp) => async () => (await since()).some(({ message }) => pattern.test(message));
  await libvirtd.kill();
  await eventually('the loss to be told', told(/lost|away|closed|no connection/i));
  await libvirtd.start();
  await eventually('the return to be told', told(/connected to the hypervisor/i), 90_000);
  await eventually('fresh memory statistics', async () => (await vm(MAIN)).resources.memory.ageMs < 10_000, 90_000);
  await managed(MAIN);
  t.notOk(unlimited(quotaOf(MAIN)), 'managed again');
});

t.test('somebody else sets cap and memory: adopted, hands off, told', async (t) => {
  await managed(MAIN);
  const theirs = {
    cpu: () => virsh(libvirtd.socket, 'schedinfo', MAIN.name, '--live', '--set', 'vcpu_quota=71000'),
    memory: () => virsh(libvirtd.socket, 'setmem', MAIN.name, '310M', '--live'),
  };
  const held = async (resource: 'cpu' | 'memory'): Promise<boolean> => (await vm(MAIN)).resources[resource].holds.length > 0;
  for (const resource of ['cpu', 'memory'] as const) {
    theirs[resource]();
    // Of two who write within the same moment the later wins, and nothing tells of the other: who sees that nothing came of it asks again.
    await eventually(`a hold on ${resource}`, () => held(resource), 25_000).catch(async () => {
      theirs[resource]();
      await eventually(`a hold on ${resource}, asked for again`, () => held(resource));
    });
  }
  const told = (await events()).filter(({ message, vm }) => vm === MAIN.uuid && /someone|somebody|foreign|else/i.test(message));
  t.ok(told.length >= 2, `told: ${told.map(({ message }) => message).join(' | ')}`);
  await new Promise((resolve) => setTimeout(resolve, 15_000));
  t.equal(quotaOf(MAIN), 71_000, 'the cap is theirs');
  t.ok(Math.abs(balloonMiB(MAIN) - 310) < 3, `the memory is theirs: ${balloonMiB(MAIN)} MiB`);
});
