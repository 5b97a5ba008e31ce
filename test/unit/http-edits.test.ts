/**
 * Goal: who edits says what they looked at, and is refused when it is another by now; what can be tried changes nothing; long lists come
 * page by page, whole and in order.
 */
import t from 'tap';
import { apiDocument } from '../../aggregator/http/api-document.ts';
import { createHttpApp } from '../../aggregator/http/app.ts';
import { newestFirst } from '../../aggregator/http/routes/route-options.ts';
import { FAKE_POLICY, fakeService } from '../support/fake-service.ts';
import { MADE_VMS } from '../support/made-fleet.ts';

const service = await fakeService();
const app = await createHttpApp(service);
t.teardown(() => app.close());

const ask = (method: 'GET' | 'PUT' | 'POST' | 'DELETE', url: string, payload?: object | string, headers: Record<string, string> = {}) =>
  app.inject({ method, url, headers: { host: '127.0.0.1', ...headers }, ...(payload === undefined ? {} : { payload }) });

t.test('bounds of a group: only by who saw those in force', async (t) => {
  const tag = String((await ask('GET', '/v1/groups/web')).headers.etag);
  t.match(tag, /^"[\w-]{22}"$/);
  const set = await ask('PUT', '/v1/groups/web/bounds', { min: 2, max: 3 }, { 'if-match': tag });
  t.equal(set.statusCode, 200);
  t.not(set.headers.etag, tag);
  const late = await ask('PUT', '/v1/groups/web/bounds', { min: 1, max: 6 }, { 'if-match': tag });
  t.match(late.json(), { status: 412, code: 'VERSION_CHANGED' });
  t.match((await ask('GET', '/v1/groups/web')).json().bounds, { least: 2, most: 3 });
  t.equal((await ask('DELETE', '/v1/groups/web/bounds', undefined, { 'if-match': tag })).statusCode, 412);
  t.equal((await ask('DELETE', '/v1/groups/web/bounds', undefined, { 'if-match': `"other", ${set.headers.etag}` })).statusCode, 200);
  t.equal((await ask('GET', '/v1/groups/web')).headers.etag, tag, 'the same content has the same tag');
  t.equal((await ask('PUT', '/v1/groups/web/bounds', { min: 2, max: 3 }, { 'if-match': '*' })).statusCode, 200);
  t.equal((await ask('DELETE', '/v1/groups/web/bounds')).statusCode, 200, 'who says nothing is not held to it');
  t.equal((await ask('PUT', '/v1/groups/nobody/bounds', { min: 2, max: 3 }, { 'if-match': tag })).statusCode, 404);
});

t.test('a kill switch and a known event can be tried: the same answers and refusals, nothing done', async (t) => {
  const tried = await ask('PUT', '/v1/kill-switch?dryRun=true', { reason: 'drill', host: MADE_VMS[0]!.host });
  t.match(tried.json(), { scope: 'host', engaged: true, dryRun: true });
  t.equal((await ask('PUT', '/v1/kill-switch?dryRun=true', { reason: 'drill', host: 'nowhere' })).statusCode, 404);
  t.same(service.killSwitchCalls, []);
  const known: unknown[] = [];
  service.addKnownEvent = (event) => void known.push(event);
  const event = { toMs: Date.now() + 60_000, why: 'release 7' };
  t.equal((await ask('POST', '/v1/known-events?dryRun=true', event)).statusCode, 200);
  t.equal((await ask('POST', '/v1/known-events?dryRun=true', { ...event, toMs: 1 })).statusCode, 400);
  t.same(known, []);
  await ask('POST', '/v1/known-events', event);
  t.equal(known.length, 1);
});

t.test('whatever changes something can be tried; people who log in and out cannot', async (t) => {
  const { paths } = await apiDocument('0.0.0');
  const untried: string[] = [];
  for (const [path, operations] of Object.entries(
    paths as Record<string, Record<string, { parameters?: { name: string; in: string }[] }>>,
  )) {
    for (const [method, { parameters = [] }] of Object.entries(operations)) {
      if (method === 'get' || parameters.some((parameter) => parameter.in === 'query' && parameter.name === 'dryRun')) continue;
      untried.push(`${method} ${path}`);
    }
  }
  // A check of a template makes nothing; a session is one's own.
  t.same(untried.sort(), ['delete /v1/session', 'post /v1/session', 'post /v1/templates/{name}/check']);
});

t.test('orders about suspended VMs, members and bounds of groups, words on incidents, logins: tried, nothing is done', async (t) => {
  const web = MADE_VMS[0]!.id;
  const incident = service.incidents()[0]!.id;
  const before = service.suspending.orders().length;
  for (const [method, url, body] of [
    ['POST', `/v1/vms/${web}/suspend`],
    ['POST', `/v1/vms/${web}/resume`],
    ['POST', `/v1/vms/${web}/snapshot/verify`],
    ['PUT', `/v1/vms/${web}/prefetch`, { holdSeconds: 60 }],
    ['DELETE', `/v1/vms/${web}/prefetch`],
  ] as const) {
    const { statusCode, ...answer } = await ask(method, `${url}?dryRun=true`, body);
    t.equal(statusCode, 202, `${method} ${url}`);
    t.match(answer.json(), { state: 'tried', outcome: null });
  }
  t.match((await ask('POST', '/v1/suspensions/collect?dryRun=true', {})).json(), { items: [{ state: 'tried', action: 'collect' }] });
  t.equal(service.suspending.orders().length, before);

  const tag = (await ask('GET', '/v1/groups/web')).headers.etag;
  t.match((await ask('PUT', '/v1/groups/web/bounds?dryRun=true', { min: 2, max: 2 })).json().bounds, { least: 2, most: 2 });
  t.equal((await ask('PUT', '/v1/groups/web/bounds?dryRun=true', { min: 2, max: 99 })).statusCode, 400);
  t.equal((await ask('GET', '/v1/groups/web')).headers.etag, tag);

  t.match((await ask('POST', `/v1/anomalies/${incident}/feedback?dryRun=true`, { feedback: 'expected' })).json(), { feedback: 'expected' });
  t.match((await ask('DELETE', `/v1/vms/${web}/isolation?dryRun=true`)).json(), { outcome: 'skipped' });
});

t.test('the kill switch: only by who saw where it is engaged', async (t) => {
  const { etag } = (await ask('GET', '/v1/kill-switch')).headers;
  t.match(etag, /^"[\w-]{22}"$/);
  const calls = service.killSwitchCalls.length;
  t.match((await ask('DELETE', '/v1/kill-switch', { reason: 'over' }, { 'if-match': '"another"' })).json(), {
    status: 412,
    code: 'VERSION_CHANGED',
  });
  t.equal(service.killSwitchCalls.length, calls);
  t.equal((await ask('PUT', '/v1/kill-switch', { reason: 'drill' }, { 'if-match': String(etag) })).statusCode, 200);
  t.equal(
    (await ask('DELETE', '/v1/kill-switch', { reason: 'over' }, { 'if-match': String(etag) })).statusCode,
    412,
    'it is engaged by now',
  );
  t.equal((await ask('DELETE', '/v1/kill-switch', { reason: 'over' })).statusCode, 200, 'who says nothing is not held to it');
});

t.test('policy versions: page by page', async (t) => {
  for (let i = 0; i < 4; i++) await ask('PUT', '/v1/policies', FAKE_POLICY, { 'content-type': 'application/yaml' });
  const seen: number[] = [];
  let cursor: number | null = null;
  let pages = 0;
  do {
    const { items, cursor: next }: { items: { version: number }[]; cursor: number | null } = (
      await ask('GET', `/v1/policies/versions?limit=2${cursor === null ? '' : `&cursor=${cursor}`}`)
    ).json();
    seen.push(...items.map(({ version }) => version));
    cursor = next;
    pages += 1;
  } while (cursor !== null && pages < 10);
  t.same(seen, [5, 4, 3, 2, 1]);
  t.equal(pages, 3);
});

t.test('incidents: page by page, newest first', async (t) => {
  const [made] = service.incidents();
  service.incidents = () => Array.from({ length: 5 }, (_, i) => ({ ...made!, id: `leak-${5 - i}`, endMs: i % 2 === 0 ? null : 1 }));
  const first = (await ask('GET', '/v1/anomalies?limit=3')).json();
  t.same(
    first.items.map(({ id }: { id: string }) => id),
    ['leak-5', 'leak-4', 'leak-3'],
  );
  const rest = (await ask('GET', `/v1/anomalies?limit=3&cursor=${first.cursor}`)).json();
  t.same(
    rest.items.map(({ id }: { id: string }) => id),
    ['leak-2', 'leak-1'],
  );
  t.equal(rest.cursor, null);
  const open = (await ask('GET', '/v1/anomalies?limit=2&open=true')).json();
  t.same(
    open.items.map(({ id }: { id: string }) => id),
    ['leak-5', 'leak-3'],
    'the filter comes before the page',
  );
});

t.test('a page after one that is gone is empty, never the first again', (t) => {
  const items = ['c', 'b', 'a'];
  t.same(
    newestFirst(items, (each) => each, { cursor: 'gone' }),
    { items: [], cursor: null },
  );
  t.same(
    newestFirst(items, (each) => each, { cursor: 'a' }),
    { items: [], cursor: null },
  );
  t.same(
    newestFirst([], (each: string) => each, {}),
    { items: [], cursor: null },
  );
  t.same(
    newestFirst(items, (each) => each, { limit: 3 }),
    { items, cursor: null },
    'an exact page is the last',
  );
  t.end();
});
