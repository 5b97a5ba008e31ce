/**
 * Goal: a POST that is sent again with its key is done once and answered as the first time; a key is good for one request of one person;
 * secrets are not kept; failures of ours are not, either.
 */
import t from 'tap';
import { createHttpApp } from '../../aggregator/http/app.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { accessWorld } from '../support/access-world.ts';
import { fakeService } from '../support/fake-service.ts';
import { MADE_VMS } from '../support/made-fleet.ts';

let nowMs = Date.UTC(2026, 0, 7);
const service = await fakeService({ nowMs: () => nowMs });
const app = await createHttpApp(service);
t.teardown(() => app.close());
const WEB = MADE_VMS[0]!.id;

const post = (url: string, key: string | null, payload: object = {}) =>
  app.inject({ method: 'POST', url, payload, headers: { host: '127.0.0.1', ...(key === null ? {} : { 'idempotency-key': key }) } });

t.test('once done, answered twice', async (t) => {
  const first = await post(`/v1/vms/${WEB}/suspend`, 'a-1');
  const second = await post(`/v1/vms/${WEB}/suspend`, 'a-1');
  t.equal(first.statusCode, 202);
  t.equal(second.statusCode, 202);
  t.equal(second.body, first.body);
  t.equal(second.headers['content-type'], first.headers['content-type']);
  t.equal(first.headers['idempotent-replayed'], undefined);
  t.equal(second.headers['idempotent-replayed'], 'true');
  t.equal(service.suspending.orders().length, 1);
  await post(`/v1/vms/${WEB}/suspend`, 'a-2');
  await post(`/v1/vms/${WEB}/suspend`, null);
  t.equal(service.suspending.orders().length, 3, 'another key, or none, is another request');
});

t.test('a key is good for one request', async (t) => {
  const other = await post(`/v1/vms/${WEB}/resume`, 'a-1');
  t.equal(other.statusCode, 400);
  t.match(other.json(), { code: 'USAGE', detail: /was used for another request/ });
  t.equal((await post('/v1/suspensions/collect', 'b-1', { host: MADE_VMS[0]!.host })).statusCode, 200);
  t.equal((await post('/v1/suspensions/collect', 'b-1', {})).statusCode, 400, 'another body is another request');
  t.equal((await post(`/v1/vms/${WEB}/suspend`, 'with space')).statusCode, 400);
  t.equal((await post(`/v1/vms/${WEB}/suspend`, 'x'.repeat(129))).statusCode, 400);
});

t.test('while the first is under way the second is told so; what failed on our side may be tried again', async (t) => {
  const { approve } = service;
  let goOn = (): void => undefined;
  const waits = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  let asked = 0;
  service.approve = async (...args) => {
    asked += 1;
    await waits;
    if (asked === 1) throw new HeadroomError('UNAVAILABLE', 'the ledger is away');
    return approve(...args);
  };
  t.teardown(() => {
    service.approve = approve;
  });
  const url = `/v1/recommendations/${MADE_VMS[2]!.id}.cpu/approve`;
  const first = post(url, 'c-1');
  await new Promise((resolve) => setImmediate(resolve));
  while (asked === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  t.match((await post(url, 'c-1')).json(), { status: 409, detail: /still under way/ });
  goOn();
  t.equal((await first).statusCode, 503);
  t.equal((await post(url, 'c-1')).statusCode, 200);
  t.equal((await post(url, 'c-1')).headers['idempotent-replayed'], 'true');
  t.equal(asked, 2);
});

t.test('refusals are answered alike; after a day a key is new', async (t) => {
  const first = await post(`/v1/vms/${WEB}/rollback`, 'd-1', { resource: 'memory' });
  t.equal(first.statusCode, 409);
  const second = await post(`/v1/vms/${WEB}/rollback`, 'd-1', { resource: 'memory' });
  t.equal(second.body, first.body, 'the request id is the first one’s, too');
  nowMs += 25 * 3_600_000;
  t.not((await post(`/v1/vms/${WEB}/rollback`, 'd-1', { resource: 'memory' })).body, first.body);
});

t.test('keys are one’s own, and a secret is shown once', async (t) => {
  const world = await accessWorld();
  t.teardown(() => world.app.close());
  const [ada, bob] = [await world.token({ name: 'ada', role: 'administrator' }), await world.token({ name: 'bob', role: 'administrator' })];
  const make = (token: string, name: string) =>
    world.app.inject({
      method: 'POST',
      url: '/v1/api-tokens',
      payload: { name, role: 'viewer' },
      headers: { host: '127.0.0.1', authorization: `Bearer ${token}`, 'idempotency-key': 'e-1' },
    });
  const made = await make(ada, 'ci');
  t.equal(made.statusCode, 200);
  const again = await make(ada, 'ci');
  t.match(again.json(), { status: 409, detail: /its answer was given then, and only then: it held a secret/ });
  t.notMatch(again.body, made.json().token);
  t.equal((await make(bob, 'ci-of-bob')).statusCode, 200, 'somebody else’s key of the same name is another');
});
