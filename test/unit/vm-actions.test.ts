/**
 * Goal: a VM that went wrong is cut off its network and let back, on simulated time: journalled first, undone on time with no
 * aggregator, after a restart of the agent and by restore; what must not be is refused; repeats change nothing.
 */
import t from 'tap';
import { isIsolation, isolated, isolationLeftMs } from '../../agent/core/isolation.ts';
import { linksOf } from '../../agent/hypervisor/libvirt/links.ts';
import { restore } from '../../agent/restore.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { A, type AgentWorld, agentWorld, B, calmVm } from '../support/agent-world.ts';

const MINUTE_MS = 60_000;

function ask(world: AgentWorld, over: Partial<FrameOf<'vm-action'>> = {}): () => FrameOf<'vm-action-result'> | undefined {
  const actionId = over.actionId ?? `a${world.time.nowMs}`;
  world.send({
    type: 'vm-action',
    actionId,
    vm: A,
    action: 'isolate',
    epoch: 5,
    leaseMs: 60_000,
    forMs: 10 * MINUTE_MS,
    reason: 'runaway process',
    ...over,
  });
  return () => world.of('vm-action-result').findLast((result) => result.actionId === actionId);
}

const filters = (world: AgentWorld): (string | null)[] => world.hypervisor.truth(A).links.map(({ filter }) => filter?.name ?? null);
const up = (world: AgentWorld): boolean[] => world.hypervisor.truth(A).links.map((link) => link.up);

t.test('isolated, told in the inventory, journalled in both places, undone on time with the aggregator away', async (t) => {
  const world = await agentWorld([calmVm(A, { receiveBytesPerSecond: () => 1000 }), calmVm(B)]);
  await world.run(20);
  const result = ask(world);
  await world.run(3);
  t.match(result(), { outcome: 'applied', action: 'isolate' });
  t.same(up(world), [false]);
  t.match(world.inventory(A)?.isolation, { reason: 'runaway process' });
  t.equal(world.inventory(B)?.isolation, undefined);
  t.match(world.files.load().records.find(({ vm }) => vm === A)?.isolation, { links: ['52:54:00:00:00:01'], forMs: 10 * MINUTE_MS });
  t.match(world.hypervisor.truth(A).metadata, /journal/);
  const received = world.hypervisor.truth(A).received;
  world.setPartitioned(true);
  await world.run(9 * 60);
  t.same(up(world), [false], 'not before its time');
  t.equal(world.hypervisor.truth(A).received, received, 'no traffic meanwhile');
  await world.run(70);
  t.same(up(world), [true], 'by the host agent itself');
  world.setPartitioned(false);
  await world.run(60);
  t.ok(world.of('event').some(({ kind, vm, message }) => kind === 'restored' && vm === A && /isolation is over/.test(message)));
  t.equal(world.inventory(A)?.isolation, undefined);
  t.equal(world.files.load().records.find(({ vm }) => vm === A)?.isolation, undefined);
  await world.stop();
});

t.test('a killed agent undoes it on time once it is back; a kill switch does not make it last for ever', async (t) => {
  const world = await agentWorld([calmVm(A)]);
  await world.run(20);
  ask(world);
  await world.run(3);
  await world.restart();
  t.same(up(world), [false]);
  world.files.setKill(null, 'by hand');
  await world.run(11 * 60);
  t.same(up(world), [true]);
  await world.stop();
});

t.test('restore brings the links up, from the journal or from the metadata alone', async (t) => {
  for (const journalLost of [false, true]) {
    const world = await agentWorld([calmVm(A)]);
    await world.run(20);
    ask(world);
    await world.run(3);
    if (journalLost) world.files.remove(A);
    const lines = await restore(world.hypervisor, world.files, null);
    t.ok(
      lines.some(({ what, ok }) => what === 'network links' && ok),
      JSON.stringify(lines),
    );
    t.same(up(world), [true]);
    t.equal(world.hypervisor.truth(A).metadata, null);
    await world.stop();
  }
});

t.test('a link that somebody had down before stays down', async (t) => {
  const world = await agentWorld([calmVm(A)]);
  await world.run(20);
  await world.hypervisor.setLinks(A, ['52:54:00:00:00:01'], false);
  ask(world, { forMs: MINUTE_MS });
  await world.run(90);
  t.same(up(world), [false]);
  t.equal(world.inventory(A)?.isolation, undefined);
  await world.stop();
});

t.test('release ends it early; asked again it may last longer, never shorter; a repeat is answered and not done again', async (t) => {
  const world = await agentWorld([calmVm(A)]);
  await world.run(20);
  ask(world, { actionId: 'one' });
  await world.run(2);
  ask(world, { actionId: 'two', forMs: MINUTE_MS });
  await world.run(120);
  t.same(up(world), [false], 'the longer one holds');
  const released = ask(world, { actionId: 'three', action: 'release', forMs: 0 });
  await world.run(2);
  t.match(released(), { outcome: 'applied' });
  t.same(up(world), [true]);
  const again = ask(world, { actionId: 'one' });
  await world.run(2);
  t.match(again(), { outcome: 'applied' });
  t.same(up(world), [true], 'the answer of before, and nothing done');
  await world.stop();
});

t.test('refused: kill switch, old epoch, late, no end, a cluster member; skipped: a job, not running; unknown VM', async (t) => {
  const world = await agentWorld([calmVm(A), calmVm(B, { facts: { osFamily: 'linux', labels: { class: 'cluster' } } })]);
  await world.run(20);
  world.lease({ epoch: 5 });
  const outcomes: [string, RegExp, Partial<FrameOf<'vm-action'>>, (() => void)?, (() => void)?][] = [
    ['refused', /epoch 4/, { epoch: 4 }],
    ['refused', /lease/, { leaseMs: 0 }],
    ['refused', /without an end/, { forMs: 0 }],
    ['refused', /cluster/, { vm: B }],
    ['refused', /cluster/, { vm: B, action: 'restart' }],
    ['refused', /not on this host/, { vm: '00000000-0000-4000-8000-00000000000c' }],
    ['refused', /kill switch/, {}, () => world.files.setKill(A, 'by hand'), () => world.files.setKill(A, null)],
    ['skipped', /job/, {}, () => world.hypervisor.setJob(A, true), () => world.hypervisor.setJob(A, false)],
    ['applied', /not isolated/, { action: 'release' }],
    ['skipped', /not running/, { action: 'restart' }, () => world.hypervisor.setPower(A, 'paused')],
  ];
  for (const [i, [outcome, reason, over, before, after]] of outcomes.entries()) {
    before?.();
    await world.run(2);
    const result = ask(world, { actionId: `x${i}`, ...over });
    await world.run(3);
    t.match(result(), { outcome, reason }, JSON.stringify(over));
    after?.();
  }
  t.same(up(world), [true]);
  await world.stop();
});

t.test('quarantine: a filter drops all while the link stays up; the one of before is put back on time, by the agent alone', async (t) => {
  const world = await agentWorld([calmVm(A, { receiveBytesPerSecond: () => 1000 })]);
  await world.run(20);
  const before = { name: 'clean-traffic', parameters: [{ name: 'IP', value: '10.0.0.7' }] };
  await world.hypervisor.setFilters(A, [{ mac: '52:54:00:00:00:01', filter: before }]);
  const result = ask(world, { means: 'quarantine' });
  await world.run(3);
  t.match(result(), { outcome: 'applied' });
  t.same([up(world), filters(world)], [[true], ['headroom-quarantine']]);
  const journal = () => world.files.load().records.find(({ vm }) => vm === A)?.isolation;
  t.match(journal(), { links: [], filters: [{ mac: '52:54:00:00:00:01', filter: before }] });
  const { received } = world.hypervisor.truth(A);
  ask(world, { means: 'quarantine', actionId: 'again' });
  await world.run(3);
  t.match(journal(), { filters: [{ filter: before }] }, 'asked for again: what was found first is what is kept');
  world.setPartitioned(true);
  await world.restart();
  await world.run(9 * 60);
  t.same(filters(world), ['headroom-quarantine'], 'not before its time');
  t.equal(world.hypervisor.truth(A).received, received, 'no traffic meanwhile');
  await world.run(70);
  t.same(world.hypervisor.truth(A).links[0]?.filter, before);
  t.equal(journal(), undefined);
  await world.stop();
});

t.test('quarantine and restore: from the journal; a filter that somebody else put in force meanwhile stays', async (t) => {
  for (const foreign of [false, true]) {
    const world = await agentWorld([calmVm(A)]);
    await world.run(20);
    ask(world, { means: 'quarantine' });
    await world.run(3);
    const theirs = { name: 'theirs', parameters: [] };
    if (foreign) await world.hypervisor.setFilters(A, [{ mac: '52:54:00:00:00:01', filter: theirs }]);
    const lines = await restore(world.hypervisor, world.files, null);
    t.ok(lines.some(({ what, ok }) => what === 'network links' && ok));
    t.same(filters(world), [foreign ? 'theirs' : null]);
    await world.stop();
  }
});

t.test('quarantine is refused where no filter reaches, and nothing is journalled or changed', async (t) => {
  const message = 'this host has no packet filters for VMs';
  const world = await agentWorld([calmVm(A)], {}, ({ method }) =>
    method === 'prepareQuarantine' ? { kind: 'error', code: 'HYPERVISOR_UNSUPPORTED', message } : null,
  );
  await world.run(20);
  const result = ask(world, { means: 'quarantine' });
  await world.run(3);
  t.match(result(), { outcome: 'failed', reason: /no packet filters/ });
  t.same([up(world), filters(world)], [[true], [null]]);
  t.equal(world.files.load().records.find(({ vm }) => vm === A)?.isolation, undefined);
  await world.stop();
});

t.test('restart resets the machine', async (t) => {
  const world = await agentWorld([calmVm(A)]);
  await world.run(20);
  const result = ask(world, { action: 'restart', forMs: 0 });
  await world.run(3);
  t.match(result(), { outcome: 'applied' });
  t.ok(world.of('event').some(({ kind, message }) => kind === 'lifecycle' && /reboot/.test(message)));
  await world.stop();
});

t.test('time is measured by the clock that says more', async (t) => {
  const now = { wallMs: 1e12, bootMs: 5000 };
  const link = { mac: '52:54:00:00:00:01', up: true, filter: null, filterable: true };
  const isolation = isolated(undefined, [link], { means: 'link', reason: 'why', forMs: 1000 }, now);
  t.equal(isolationLeftMs(isolation, { wallMs: 1e12 + 1e9, bootMs: 5400 }), 600, 'a wall clock set forward ends nothing early');
  t.equal(isolationLeftMs(isolation, { wallMs: 1e12 + 2000, bootMs: 7000 }), 0);
  t.ok(isIsolation(JSON.parse(JSON.stringify(isolation))));
  const filtered = (filter: unknown) => ({ ...isolation, filters: [{ mac: link.mac, filter }] });
  t.ok(isIsolation(filtered(null)) && isIsolation(filtered({ name: 'clean-traffic', parameters: [{ name: 'IP', value: '10.0.0.1' }] })));
  for (const wrong of [
    ...[null, 1, {}, { ...isolation, links: ['rm -rf'] }, { ...isolation, forMs: null }, { ...isolation, since: {} }],
    ...[{ ...isolation, filters: {} }, filtered('clean-traffic'), filtered({ name: '', parameters: [] }), filtered({ name: 'x' })],
    filtered({ name: 'x', parameters: [{ name: 'IP', value: 7 }] }),
  ])
    t.notOk(isIsolation(wrong), JSON.stringify(wrong));
});

t.test('links of a libvirt definition', async (t) => {
  const xml = `<domain><devices>
    <interface type='network'><mac address='52:54:00:AA:00:01'/><source network='default'/><alias name='net0'/></interface>
    <interface type='user'>
      <mac address='52:54:00:aa:00:02'/>
      <link state='down'/>
    </interface>
    <interface type='hostdev' managed='yes'><mac address='52:54:00:aa:00:03'/></interface></devices></domain>`;
  const links = linksOf(xml);
  t.same(
    links.map(({ mac, up: isUp }) => [mac, isUp]),
    [
      ['52:54:00:aa:00:01', true],
      ['52:54:00:aa:00:02', false],
    ],
  );
  t.match(links[0]?.xmlWith(false), /net0.*<link state='down'\/><\/interface>$/s);
  t.equal(links[1]?.xmlWith(true).match(/<link/g)?.length, 1);
  t.same(
    links.map(({ filterable, filter }) => [filterable, filter]),
    [
      [true, null],
      [false, null],
    ],
  );
});

t.test('filters of a libvirt definition: read with their values, replaced, put back as they were', async (t) => {
  const own =
    "<filterref filter='clean-traffic'>\n  <parameter name='IP' value='10.0.0.7'/>\n  <parameter name='NOTE' value='a&amp;b'/>\n</filterref>";
  const xml = `<domain><devices><interface type='bridge'><mac address='52:54:00:aa:00:01'/>${own}<alias name='net0'/></interface></devices></domain>`;
  const [link] = linksOf(xml);
  const values = [
    { name: 'IP', value: '10.0.0.7' },
    { name: 'NOTE', value: 'a&b' },
  ];
  t.same(link?.filter, { name: 'clean-traffic', parameters: values });
  const cut = link!.xmlWithFilter({ name: 'headroom-quarantine', parameters: [] });
  t.match(cut, /filter='headroom-quarantine'><\/filterref><\/interface>$/);
  t.notMatch(cut, /clean-traffic|IP/);
  t.notMatch(link!.xmlWithFilter(null), /filterref/);
  t.same(linksOf(link!.xmlWithFilter(link!.filter))[0]?.filter, link?.filter, 'there and back');
  const [plain] = linksOf("<interface type='ethernet'><mac address='52:54:00:aa:00:01'/><filterref filter='x'/></interface>");
  t.same([plain?.filter, plain?.filterable], [{ name: 'x', parameters: [] }, true]);
});
