/**
 * Goal: what is done about incidents. Only what a rule asks for, on what the host itself sees, within the limits, never in a storm,
 * each written down; what was said of an incident tunes its VM; the watch survives a restart; odd steps teach nothing.
 */
import t from 'tap';
import { KeptWatch } from '../../aggregator/core/state/kept-watch.ts';
import { LearningGate } from '../../aggregator/core/state/learning-gate.ts';
import { FAULT_AT, ISOLATE, runDesk as run, START_MS, STEP_MS } from '../support/anomaly-world.ts';
import { testVmId } from '../support/fleet.ts';

t.test('a rule that asks, signals the host sees: isolated once, for as long as the rule says; live state and the list know', async (t) => {
  const { desk, sent, told, records } = await run({ struck: (n) => n === 2 });
  t.match(sent, [{ vm: testVmId(2), action: 'isolate', forMs: 600_000 }]);
  t.equal(sent.length, 1);
  t.ok(told.includes('opened') && told.some((line) => line.startsWith('isolate asked')) && told.includes('isolate applied '));
  const incident = desk.incidents().find(({ vm }) => vm === testVmId(2));
  t.match(incident, { vouched: true, actions: [{ action: 'isolate', outcome: 'applied' }] });
  t.match(incident?.contributors[0]?.name, /^cpu: /);
  t.match(records.get(testVmId(2))?.incident, { resource: 'cpu', vouched: true });
  t.equal(records.get(testVmId(1))?.incident, null);
});

t.test("without a rule, on the guest's word, for a quorum member: nobody is isolated", async (t) => {
  for (const world of [{ policy: 'version: 1\n' }, { vouched: false }, { labels: { class: 'cluster' } }]) {
    const { sent, desk } = await run({ struck: (n) => n === 2, ...world });
    t.same(sent, [], JSON.stringify(world));
    t.ok(desk.incidents().length > 0, 'though it is seen');
  }
  const { desk } = await run({ struck: (n) => n === 2, vouched: false });
  t.match(desk.incidents()[0]?.actions, [{ outcome: 'refused', reason: /own word/ }]);
});

t.test('by quarantine where the rule says so and the host can; an older agent is told nothing it would not understand', async (t) => {
  const policy = ISOLATE.replace('for: 10m', 'for: 10m, by: quarantine');
  const { sent } = await run({ struck: (n) => n === 2, policy });
  t.match(sent, [{ action: 'isolate', means: 'quarantine' }]);
  const older = await run({ struck: (n) => n === 2, policy, capabilities: ['vm-action'] });
  t.same(older.sent, []);
  t.match(older.desk.incidents()[0]?.actions, [{ outcome: 'refused', reason: /too old/ }]);
});

t.test('limits: one VM of a host an hour, as built in', async (t) => {
  const { sent, told } = await run({ struck: (n) => n === 2 || n === 7, vms: 24 });
  t.equal(sent.length, 1);
  t.ok(told.some((line) => /refused .*within the hour, which is the limit/.test(line)));
});

t.test('a storm over the fleet: told once at most, and acted on by nobody once it is known for one', async (t) => {
  const { sent, desk } = await run({ struck: () => true, vms: 24 });
  t.ok(sent.length <= 1, `${sent.length} isolated before it was recognised`);
  t.ok(desk.metrics().anomaly_storm === 1);
});

t.test('announced beforehand: explained, and nothing done', async (t) => {
  const { sent, told, desk } = await run({
    struck: (n) => n === 2,
    before: (desk, step) => {
      const fromMs = START_MS + (FAULT_AT - 1) * STEP_MS;
      if (step === FAULT_AT - 1) desk.addKnownEvent({ vm: testVmId(2), fromMs, toMs: fromMs + 600_000, why: 'release 7' }, 'me');
    },
  });
  t.same(sent, []);
  t.notOk(told.includes('opened'));
  t.match(desk.incidents()[0], { explainedBy: 'release 7', severity: 'info' });
});

t.test('a false alarm closes it and frees the VM; an unknown incident is not found', async (t) => {
  const { desk, records } = await run({ struck: (n) => n === 2, policy: 'version: 1\n' });
  const { id } = desk.incidents().find(({ vm }) => vm === testVmId(2))!;
  t.match(desk.judge(id, 'false alarm', 'me', true), { feedback: 'false alarm', explainedBy: null }, 'only tried');
  t.match(
    desk.incidents().find((incident) => incident.id === id),
    { feedback: null },
  );
  t.match(desk.judge(id, 'false alarm', 'me'), { feedback: 'false alarm', explainedBy: 'said to be false alarm' });
  t.equal(records.get(testVmId(2))?.incident, null);
  t.throws(() => desk.judge('none', 'expected', 'me'), { code: 'NOT_FOUND' });
});

t.test('the watch is kept: what was learnt and what is open go on in the next run; at most 16 KiB', async (t) => {
  const { records, desk } = await run({ struck: (n) => n === 2, policy: 'version: 1\n' });
  const kept = records.get(testVmId(2))!.watch;
  const text = kept.text();
  t.ok(text !== null && kept.live!.stateBytes <= 16_384, `${kept.live!.stateBytes} bytes`);
  const next = new KeptWatch();
  next.restore(text);
  t.equal(next.text(), text, 'kept also where no watch lives yet');
  const other = await run({ struck: () => false, vms: 3, steps: 1 });
  const live = other.records.get(testVmId(2))!.watch.live!;
  next.take(live);
  t.equal(next.text(), text);
  const broken = new KeptWatch();
  broken.restore('{"watch": 1}');
  t.doesNotThrow(() => broken.take(other.records.get(testVmId(1))!.watch.live!));
  t.ok(desk.incidents().length > 0);
});

t.test('what is odd teaches nothing, unless it lasts or rests on a claim', async (t) => {
  const gate = new LearningGate(0);
  const taught = (step: number, vouched: boolean): boolean => gate.teaches(step * 10, 10, 'ready', { sinceMs: 20, vouched });
  t.equal(taught(1, true), true);
  t.equal(taught(2, true), false);
  t.equal(taught(50, true), false);
  t.equal(taught(80, true), true);
  t.equal(taught(50, false), true);
});
