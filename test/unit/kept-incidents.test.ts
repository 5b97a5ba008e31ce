/**
 * Goal: a restart of the aggregator forgets no incident: the list is as it was, what goes on goes on under the same name and holds back
 * what it held back, nothing is done twice, what is over is closed, what was done counts against the limits. What is kept is bounded.
 */
import t from 'tap';
import type { IncidentView } from '../../aggregator/http/service.ts';
import { KeptIncidents } from '../../aggregator/service/kept-incidents.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';
import { type DeskWorld, FAULT_AT, runDesk, START_MS, STEP_MS } from '../support/anomaly-world.ts';
import { testVmId } from '../support/fleet.ts';

const STOPPED_AT = FAULT_AT + 12;
const struck = (n: number): boolean => n === 2;

/** A second run that begins where the first ended. */
async function again(first: Awaited<ReturnType<typeof runDesk>>, world: Partial<DeskWorld> = {}) {
  await first.desk.keep();
  return runDesk({
    ...{ struck, from: STOPPED_AT, steps: STOPPED_AT + 3, ledger: first.ledger },
    watches: (vm) => first.records.get(vm)?.watch.text() ?? null,
    ...world,
  });
}

t.test('what goes on: in the list with what was done and said, known to the planner at once, and nothing is done again', async (t) => {
  const first = await runDesk({ struck });
  const before = first.desk.incidents().find(({ vm }) => vm === testVmId(2))!;
  t.match(before, { endMs: null, actions: [{ action: 'isolate', outcome: 'applied' }] });
  const { desk, sent, records, told } = await again(first, { steps: STOPPED_AT + 1 });
  const after = desk.incidents().find(({ id }) => id === before.id);
  t.match(after, { endMs: null, startMs: before.startMs, kind: before.kind, actions: before.actions });
  t.equal(desk.incidents().length, first.desk.incidents().length);
  t.same(sent, [], 'isolated once, not once a run');
  t.match(records.get(testVmId(2))?.incident, { sinceMs: before.startMs });
  t.notOk(told.includes('opened'), 'nobody is told again');
  t.equal(desk.metrics().incidents_open, 1);
});

t.test('it ends in the second run as it would have in the first', async (t) => {
  const first = await runDesk({ struck, policy: 'version: 1\n' });
  const { id } = first.desk.incidents().find(({ vm }) => vm === testVmId(2))!;
  const { desk, told } = await again(first, { struck: () => false, steps: STOPPED_AT + 400, policy: 'version: 1\n' });
  const after = desk.incidents().find((incident) => incident.id === id);
  t.ok((after?.endMs ?? 0) > START_MS + STOPPED_AT * STEP_MS, 'closed');
  t.ok(told.includes('closed'));
});

t.test('what was over meanwhile, or whose VM never returns, is closed', async (t) => {
  const first = await runDesk({ struck });
  const { id } = first.desk.incidents().find(({ vm }) => vm === testVmId(2))!;
  const lost = await again(first, { watches: () => null });
  t.equal(lost.desk.incidents().find((incident) => incident.id === id)?.endMs, START_MS + (STOPPED_AT + 1) * STEP_MS, 'at the second look');
  const gone = await again(first, { vms: 2, steps: STOPPED_AT + 62 });
  t.type(gone.desk.incidents().find((incident) => incident.id === id)?.endMs, 'number', 'an hour later');
  const { desk } = await again(first);
  desk.remove(testVmId(2));
  t.type(desk.incidents().find((incident) => incident.id === id)?.endMs, 'number', 'with its VM');
});

t.test('what the first run did counts against the limits of the second', async (t) => {
  const first = await runDesk({ struck, vms: 24 });
  t.equal(first.sent.length, 1);
  const both = (n: number): boolean => n === 2 || n === 7;
  const { sent, told } = await again(first, { struck: both, vms: 24, steps: STOPPED_AT + 12 });
  t.same(sent, []);
  t.ok(
    told.some((line) => /refused .*within the hour, which is the limit/.test(line)),
    told.join('; '),
  );
});

t.test('what was announced is known in the second run too', async (t) => {
  const fromMs = START_MS + STOPPED_AT * STEP_MS;
  const event = { vm: testVmId(3), fromMs, toMs: fromMs + 600_000, why: 'release 8' };
  const announce: DeskWorld['before'] = (desk, step) => (step === STOPPED_AT - 1 ? desk.addKnownEvent(event, 'me') : undefined);
  const first = await runDesk({ struck: () => false, before: announce });
  t.ok(first.desk.changed, 'it is to be kept');
  await first.desk.keep();
  t.notOk(first.desk.changed, 'once');
  const { desk } = await again(first, { struck: (n) => n === 3, steps: STOPPED_AT + 12 });
  t.match(desk.incidents()[0], { vm: testVmId(3), explainedBy: 'release 8' });
});

t.test('what is kept is at most half a MiB, what goes on first; what cannot be read is none', async (t) => {
  const one = (n: number): IncidentView => ({
    ...{ id: `vm-${n}`, vm: testVmId(n), vmName: `vm-${n}`, host: 'kvm1', kind: 'leak', severity: 'page', likelihood: 0.9 },
    ...{ startMs: n, peakMs: n, endMs: n % 50 === 0 ? null : n + 1, contributors: [{ name: 'memory: value', share: 1 }] },
    ...{ cause: 'x'.repeat(900), vouched: true, explainedBy: null, actions: [], feedback: null },
  });
  const incidents = Array.from({ length: 1000 }, (_, n) => one(999 - n));
  const ledger = createMemoryLedgerStore();
  const kept = new KeptIncidents(ledger);
  await kept.save({ incidents, known: [] });
  t.ok((await ledger.getBlob('incidents'))!.length <= 520 * 1024);
  const read = (await kept.load())!.incidents;
  t.equal(read.filter(({ endMs }) => endMs === null).length, 20, 'all that go on');
  t.ok(read.length > 300 && read.length < 600, `${read.length}`);
  t.equal(read[0]!.id, 'vm-999', 'the newest first');
  for (const text of ['{', '{"version":2,"incidents":[],"known":[]}', '{"version":1,"incidents":[{"id":7}],"known":[]}']) {
    await ledger.putBlob('incidents', new TextEncoder().encode(text));
    t.equal(await kept.load(), null, text);
  }
});
