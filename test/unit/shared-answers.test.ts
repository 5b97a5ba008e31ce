/**
 * Goal: a POST that is sent again to another aggregator is done once and answered as the first time; whose aggregator died on the way may be
 * asked again; while nobody knows what was done elsewhere nothing is done.
 */
import t from 'tap';
import { createHttpApp } from '../../aggregator/http/app.ts';
import { MemoryLeases } from '../../aggregator/ownership/memory-lease-table.ts';
import { sharedAnswers } from '../../aggregator/service/shared-answers.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { createPrng } from '../../shared/prng.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import { fakeService } from '../support/fake-service.ts';
import { MADE_VMS } from '../support/made-fleet.ts';

const VM = MADE_VMS[0]!.id;
const time = new SimulatedTime(createPrng(4), Date.UTC(2026, 0, 7));
const clock = new NodeClock(time);
const leases = new MemoryLeases(clock);
const service = await fakeService({ nowMs: () => time.nowMs });
const apps = await Promise.all(['a', 'b'].map((name) => createHttpApp(service, { answers: sharedAnswers(leases.tableOf(name), clock) })));
const [a, b] = apps as [(typeof apps)[number], (typeof apps)[number]];
t.teardown(() => Promise.all(apps.map((app) => app.close())));

const suspend = (app: (typeof apps)[number], key: string, payload: object = {}) =>
  app.inject({ method: 'POST', url: `/v1/vms/${VM}/suspend`, payload, headers: { host: '127.0.0.1', 'idempotency-key': key } });
const done = (): number => service.suspending.orders().length;
const pass = (ms: number): Promise<void> => time.runUntil(time.nowMs + ms);

t.test('once done, answered by either', async (t) => {
  const first = await suspend(a, 'k-1');
  const second = await suspend(b, 'k-1');
  t.equal(first.statusCode, 202);
  t.equal(second.statusCode, 202);
  t.equal(second.body, first.body);
  t.equal(second.headers['idempotent-replayed'], 'true');
  t.equal(done(), 1);
  await pass(23 * 3_600_000);
  t.equal((await suspend(b, 'k-1')).headers['idempotent-replayed'], 'true', 'for a day');
  await pass(3 * 3_600_000);
  t.equal((await suspend(b, 'k-1')).headers['idempotent-replayed'], undefined, 'and no longer');
  t.equal(done(), 2);
});

t.test('sent to both at once one does it; what failed may be tried again at the other', async (t) => {
  const before = done();
  await Promise.all([suspend(a, 'k-2'), suspend(b, 'k-2')]);
  t.equal(done(), before + 1);
  const sides = ['a', 'b'].map((name) => sharedAnswers(leases.tableOf(name), clock));
  const begun = await Promise.all(sides.map((side) => side.begin('k', 'both')));
  t.equal(begun.filter((answer) => answer === null).length, 1);
  t.same(
    begun.filter((answer) => answer !== null),
    [{ fingerprint: 'both', answer: null }],
    'and the other hears that it is under way',
  );
  await pass(61_000);
  const { suspend: real } = service.suspending;
  service.suspending.suspend = () => {
    throw new HeadroomError('UNAVAILABLE', 'its host is away');
  };
  t.equal((await suspend(a, 'k-3')).statusCode, 503);
  service.suspending.suspend = real;
  t.equal((await suspend(b, 'k-3')).statusCode, 202);
});

t.test('one that died on the way: under way for a minute, then anybody may ask again', async (t) => {
  const answers = sharedAnswers(leases.tableOf('dead'), clock);
  t.equal(await answers.begin('k', 'what'), null);
  t.same(await answers.begin('k', 'what'), { fingerprint: 'what', answer: null });
  await pass(61_000);
  t.equal(await answers.begin('k', 'what'), null);
});

t.test('the table is away: nothing is done that may have been done elsewhere', async (t) => {
  const before = done();
  leases.away = true;
  t.equal((await suspend(a, 'k-4')).statusCode, 503);
  t.equal(done(), before);
  leases.away = false;
  t.equal((await suspend(a, 'k-4')).statusCode, 202);
});

t.test('bounded: the oldest go, and of one too large it is known that it was done', async (t) => {
  const table = leases.tableOf('full');
  const answers = sharedAnswers(table, clock);
  const kept = async (): Promise<number> => (await table.list('answers/')).reduce((sum, { value }) => sum + value.length, 0);
  const before = await kept();
  const body = 'x'.repeat(200 * 1024);
  for (let index = 0; index < 100; index++) {
    t.equal(await answers.begin(`many-${index}`, 'f'), null);
    await answers.end(`many-${index}`, 'f', { status: 200, headers: {}, body });
  }
  const bytes = (await kept()) - before;
  t.ok(bytes > 15 * 1024 * 1024 && bytes <= 16 * 1024 * 1024, `${bytes} bytes`);
  t.equal((await answers.begin('many-99', 'f'))?.answer?.body, body);
  t.equal(await answers.begin('many-0', 'f'), null, 'the oldest is forgotten');
  await answers.end('many-0', 'f', { status: 200, headers: {}, body: 'x'.repeat(300 * 1024) });
  t.match(await answers.begin('many-0', 'f'), { answer: { status: 200, body: null } });
});
