/**
 * Goal: a group that asks for it keeps a real guest suspended in its warm pool, brings it back when more is wanted, in which it goes on as it
 * was, and leaves nothing behind; aggregator and agent as processes of their own.
 */
import t from 'tap';
import type { GroupMemberView } from '../../aggregator/http/spawn-service.ts';
import type { LedgerEntry } from '../../aggregator/store/ledger-store.ts';
import { spawnStage } from '../support/spawn-stage.ts';
import { eventually } from '../support/stack.ts';

// Guests boot under emulation, on a machine that may be busy.
t.setTimeout(240_000);
const WAIT_MS = 100_000;
const group = { name: 'warm', template: 'warm', mode: 'auto', min: 1, max: 2, target: { cpu: 0.9 }, idleFor: '1h', warmBy: 'resume' };
const stage = await spawnStage({
  ...{ groups: [group], load: () => 0, stepMs: 1000, seasonsMs: [60_000] },
  ...{ bootDeadlineSeconds: 3, suspends: true },
});
t.teardown(async () => {
  if (!t.passing()) for (const part of ['aggregator', 'agent'] as const) t.comment(`${part}:\n${stage.stack.log(part).slice(-6000)}`);
  await stage.stop();
});
const memberOf = async (is: (member: GroupMemberView) => boolean) => (await stage.group('warm')).members.find(is);
const told = async (vm: string) => {
  const { items } = await stage.stack.get<{ items: LedgerEntry[] }>('/v1/ledger?kind=spawn&limit=200');
  return items.flatMap(({ body, timeMs }) => (body.kind === 'spawn' && body.vm === vm ? [{ ...body, timeMs }] : []));
};

t.test('made, suspended, brought back, removed', async (t) => {
  await eventually('the aggregator', () => stage.stack.get('/healthz'));
  await stage.ask('PUT', '/v1/groups/warm/bounds', JSON.stringify({ min: 1, max: 1 }));
  await stage.template('warm', true, 1);
  const spare = await eventually('one to rest', () => memberOf(({ phase, suspended }) => phase === 'stopped' && suspended), WAIT_MS);
  t.equal((await stage.group('warm')).serving, 1);
  await stage.ask('PUT', '/v1/groups/warm/bounds', JSON.stringify({ min: 2, max: 2 }));
  await eventually('it to serve', () => memberOf(({ vm, phase }) => vm === spare.vm && phase === 'serving'), WAIT_MS);
  const life = await told(spare.vm);
  const back = life.find(({ reason }) => reason.startsWith('brought back on'));
  t.ok(back, life.map(({ reason }) => reason).join(' | '));
  t.notOk(life.some(({ reason }) => /it boots/.test(reason)));
  t.comment(life.map(({ phase, reason, timeMs }) => `${new Date(timeMs).toISOString().slice(11, 21)} ${phase}: ${reason}`).join('\n'));
  await stage.template('warm', true, 0);
  await stage.ask('PUT', '/v1/groups/warm/bounds', JSON.stringify({ min: 2, max: 2 }));
  await eventually('the pool to go', async () => (await stage.group('warm')).members.every(({ phase }) => phase === 'serving'), WAIT_MS);
  t.match(stage.remains(), { domains: { length: 2 }, volumes: { length: 2 }, seeds: { length: 2 } });
});
