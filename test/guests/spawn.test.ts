/**
 * Goal: real guests of groups from order to removal, aggregator and agent as processes of their own: made from a template that was
 * looked at, aggregator and agent killed meanwhile and each made once; let go, shut down by its guest or by force where it ignores that,
 * one taken back; and nothing is left behind: no domain, no volume, no seed. (When they are made is tried by `npm run soak -- spawn`.)
 */
import t from 'tap';
import type { GroupMemberView, GroupView } from '../../aggregator/http/spawn-service.ts';
import type { LedgerEntry } from '../../aggregator/store/ledger-store.ts';
import { spawnStage } from '../support/spawn-stage.ts';
import { eventually } from '../support/stack.ts';

// Guests boot under emulation, on a machine that may be busy.
t.setTimeout(300_000);
const WAIT_MS = 100_000;

const GRACE_MS = 8000;
const COMMON = { mode: 'auto', min: 1, max: 2, target: { cpu: 0.9 }, idleFor: '1s', drain: '1s', grace: `${GRACE_MS}ms`, undo: '6s' };
const NAMES = ['obeys', 'ignores'] as const;
const stage = await spawnStage({
  groups: NAMES.map((name) => ({ name, template: name, ...COMMON })),
  load: () => 0,
  stepMs: 1000,
  seasonsMs: [60_000],
  bootDeadlineSeconds: 3,
});
t.teardown(async () => {
  if (!t.passing()) for (const part of ['aggregator', 'agent'] as const) t.comment(`${part}:\n${stage.stack.log(part).slice(-6000)}`);
  await stage.stop();
});

const both = (what: string, holds: (group: GroupView) => boolean) =>
  eventually(what, async () => (await Promise.all(NAMES.map((name) => stage.group(name)))).every(holds), WAIT_MS);
const bounds = (min: number, max: number) =>
  Promise.all(NAMES.map((name) => stage.ask('PUT', `/v1/groups/${name}/bounds`, JSON.stringify({ min, max }))));
const memberOf = async (group: string, is: (member: GroupMemberView) => boolean) => (await stage.group(group)).members.find(is);

t.test('two of each are made and serve, each once, with aggregator and agent killed meanwhile', async (t) => {
  await eventually('the aggregator', () => stage.stack.get('/healthz'));
  // What a guest wants while it boots under emulation is no load of its group.
  await bounds(2, 2);
  await stage.template('obeys', true);
  const checked = await eventually('a host that makes VMs', async () => {
    const { items } = await stage.ask<{ items: { ok: boolean; reason: string }[] }>('POST', '/v1/templates/obeys/check');
    return items.length > 0 && items;
  });
  t.match(checked, [{ ok: true, reason: '' }]);
  await eventually('orders', async () => (await stage.group('obeys')).members.length === 2);
  await stage.stack.kill('aggregator');
  stage.stack.startAggregator();
  await eventually('the aggregator again', () => stage.stack.get('/healthz'));
  await stage.stack.kill('agent');
  stage.startAgent();
  // Four that boot at once under emulation would be at it for longer than two and two.
  await eventually('the first two', async () => (await stage.group('obeys')).serving === 2, WAIT_MS);
  await stage.template('ignores', false);
  await both('two members each', ({ serving }) => serving === 2);
  await eventually('all to reach the balancer', () => stage.balancer.serving === 4, WAIT_MS);
  t.match(stage.remains(), { domains: { length: 4 }, volumes: { length: 4 }, seeds: { length: 4 } }, 'each once');
});

t.test('let go: shut down by its guest or by force, one taken back, nothing left of the others', async (t) => {
  await bounds(1, 1);
  const back = await eventually('one that obeys to shut down', () => memberOf('obeys', ({ phase }) => phase === 'stopped'), WAIT_MS);
  await stage.ask('PUT', '/v1/groups/obeys/bounds', JSON.stringify({ min: 1, max: 2 }));
  await stage.ask('POST', `/v1/groups/obeys/members/${back.vm}/undo`);
  await eventually('it to serve again', () => memberOf('obeys', ({ vm, phase }) => vm === back.vm && phase === 'serving'), WAIT_MS);
  await both('one member each again', ({ members }) => members.length === 1);
  t.match(stage.remains(), { domains: { length: 2 }, volumes: { length: 2 }, seeds: { length: 2 } });
  const { items } = await stage.stack.get<{ items: LedgerEntry[] }>('/v1/ledger?kind=spawn&limit=200');
  const told = items.flatMap(({ body, timeMs }) => (body.kind === 'spawn' ? [{ ...body, timeMs }] : []));
  const tookMs = (group: string): number => {
    const stopped = told.find((each) => each.group === group && each.phase === 'stopped')!;
    const asked = told.find((each) => each.vm === stopped.vm && each.phase === 'stopping' && each.timeMs < stopped.timeMs)!;
    return stopped.timeMs - asked.timeMs;
  };
  t.ok(tookMs('ignores') >= GRACE_MS, `the one that ignores it was given its grace: ${tookMs('ignores')} ms`);
  t.ok(tookMs('obeys') < GRACE_MS, `the other went by itself: ${tookMs('obeys')} ms`);
  t.notOk(told.some(({ failed }) => failed));
});
