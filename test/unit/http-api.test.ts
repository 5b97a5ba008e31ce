/**
 * Goal: every route answers what its OpenAPI document says, for good and for bad requests; errors are problem documents
 * with the right status; lists page; policies' mistakes keep their place.
 */
import { generateKeyPairSync } from 'node:crypto';
import t from 'tap';
import { createHttpApp } from '../../aggregator/http/app.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { fakeService } from '../support/fake-service.ts';
import { MADE_VMS } from '../support/made-fleet.ts';
import { MADE_TEMPLATE } from '../support/made-spawning.ts';
import { checkAnswer, documentProblems, type OpenApi } from '../support/openapi.ts';

const NOW_MS = Date.UTC(2026, 0, 7, 12, 0, 31);
const WEB = MADE_VMS[0]!.id;

async function world(t: { teardown(end: () => unknown): void }, empty = false) {
  const service = await fakeService({ nowMs: () => NOW_MS, empty });
  const failures: unknown[] = [];
  const app = await createHttpApp(service, { onError: (error) => failures.push(error) });
  t.teardown(() => app.close());
  const document = (await app.inject('/openapi.json')).json<OpenApi>();
  /** Asks, checks the answer against the document, answers its JSON. */
  const ask = async (
    method: 'GET' | 'PUT' | 'POST' | 'DELETE',
    url: string,
    path: string,
    more: { payload?: unknown; headers?: Record<string, string> } = {},
  ) => {
    const { payload, headers } = more;
    const response = await app.inject({
      method,
      url,
      headers: { host: 'localhost', ...headers },
      ...(payload === undefined ? {} : { payload: payload as string | object }),
    });
    const contentType = String(response.headers['content-type']);
    checkAnswer(document, { method, path, status: response.statusCode, contentType, body: response.body });
    return { status: response.statusCode, headers: response.headers, contentType, json: response.json() };
  };
  return { app, service, document, failures, ask };
}

const GOOD: [url: string, path: string][] = [
  ['/v1/hosts', '/v1/hosts'],
  ['/v1/hosts/rack1-kvm01', '/v1/hosts/{id}'],
  ['/v1/vms', '/v1/vms'],
  [`/v1/vms/${WEB}`, '/v1/vms/{id}'],
  ['/v1/vms/shop-web', '/v1/vms/{id}'],
  [`/v1/vms/${WEB}/explain`, '/v1/vms/{id}/explain'],
  [`/v1/vms/${WEB}/series`, '/v1/vms/{id}/series'],
  [`/v1/vms/${WEB}/series?resource=memory&resolution=5m`, '/v1/vms/{id}/series'],
  ['/v1/plans', '/v1/plans'],
  ['/v1/plans/plan-41', '/v1/plans/{id}'],
  ['/v1/recommendations', '/v1/recommendations'],
  ['/v1/reports/savings', '/v1/reports/savings'],
  ['/v1/policies', '/v1/policies'],
  ['/v1/policies/versions', '/v1/policies/versions'],
  ['/v1/policies/versions/1', '/v1/policies/versions/{version}'],
  ['/v1/groups', '/v1/groups'],
  ['/v1/demand', '/v1/demand'],
  ['/v1/demand?group=web', '/v1/demand'],
  ['/v1/groups/web', '/v1/groups/{name}'],
  ['/v1/suspensions', '/v1/suspensions'],
  ['/v1/suspensions/orders', '/v1/suspensions/orders'],
  ['/v1/suspensions/stores', '/v1/suspensions/stores'],
  ['/v1/templates', '/v1/templates'],
  ['/v1/templates/debian-web', '/v1/templates/{name}'],
  ['/v1/templates/debian-web/versions', '/v1/templates/{name}/versions'],
  ['/v1/templates/debian-web/versions/1', '/v1/templates/{name}/versions/{version}'],
  ['/v1/slas', '/v1/slas'],
  ['/v1/capacity', '/v1/capacity'],
  ['/v1/capacity/openstack', '/v1/capacity/openstack'],
  ['/v1/capacity/proxmox', '/v1/capacity/proxmox'],
  ['/v1/loans', '/v1/loans'],
  ['/v1/loans?open=true&limit=1', '/v1/loans'],
  ['/v1/shortages', '/v1/shortages'],
  ['/v1/map', '/v1/map'],
  ['/v1/map?vm=shop-web', '/v1/map'],
  ['/v1/anomalies', '/v1/anomalies'],
  ['/v1/anomalies?open=true&limit=1', '/v1/anomalies'],
  [`/v1/vms/${WEB}/notifications`, '/v1/vms/{id}/notifications'],
  ['/v1/events?format=json', '/v1/events'],
  ['/v1/ledger', '/v1/ledger'],
  ['/v1/ledger?newestFirst=false&kind=outcome&vm=shop-web', '/v1/ledger'],
  ['/v1/audit/verify', '/v1/audit/verify'],
  ['/v1/kill-switch', '/v1/kill-switch'],
  ['/v1/status', '/v1/status'],
  ['/healthz', '/healthz'],
  ['/readyz', '/readyz'],
];
/** Tried by a test of its own: they are no reading. */
const SAID = [
  '/v1/anomalies/{id}/feedback',
  '/v1/known-events',
  '/v1/vms/{id}/isolation',
  '/v1/recommendations/{id}/approve',
  '/v1/vms/{id}/rollback',
  '/v1/templates/{name}/check',
  '/v1/groups/{name}/bounds',
  '/v1/groups/{name}/members/{vm}',
  '/v1/groups/{name}/members/{vm}/drained',
  '/v1/groups/{name}/members/{vm}/undo',
  '/v1/suspensions/collect',
  '/v1/vms/{id}/suspend',
  '/v1/vms/{id}/resume',
  '/v1/vms/{id}/prefetch',
  '/v1/vms/{id}/snapshot/verify',
] as const;
/** Tried by a test of their own: a login must be asked for before there is one. */
const LOGINS = ['/v1/vms/{id}/credentials', '/v1/vms/{id}/credentials/{credentialId}'] as const;

t.test('the OpenAPI document is valid and names every route tried here, and no other', async (t) => {
  const { document } = await world(t);
  t.same(documentProblems(document), []);
  t.same([...new Set([...GOOD.map(([, path]) => path), ...LOGINS, ...SAID])].sort(), Object.keys(document.paths).sort());
});

t.test('good requests are answered 200, as documented', async (t) => {
  const { ask } = await world(t);
  for (const [url, path] of GOOD) t.equal((await ask('GET', url, path)).status, 200, url);
});

t.test('an empty fleet answers as documented too', async (t) => {
  const { ask } = await world(t, true);
  for (const path of ['/v1/hosts', '/v1/vms', '/v1/plans', '/v1/ledger']) {
    t.same((await ask('GET', path, path)).json, { items: [], cursor: null });
  }
  const ready = await ask('GET', '/readyz', '/readyz');
  t.equal(ready.status, 503);
  t.match(ready.json.reason, /no host agent/);
});

const BAD: [
  method: 'GET' | 'PUT' | 'DELETE',
  url: string,
  path: string,
  status: number,
  code: string,
  detail: RegExp,
  payload?: unknown,
][] = [
  ['GET', '/v1/hosts/nowhere', '/v1/hosts/{id}', 404, 'NOT_FOUND', /nowhere/],
  ['GET', '/v1/vms/nobody', '/v1/vms/{id}', 404, 'NOT_FOUND', /no VM "nobody"/],
  ['GET', '/v1/vms/00000000-0000-4000-8000-00000000ffff', '/v1/vms/{id}', 404, 'NOT_FOUND', /no VM/],
  ['GET', `/v1/vms/${'-'.repeat(36)}`, '/v1/vms/{id}', 400, 'USAGE', /not a VM UUID/],
  ['GET', '/v1/plans/plan-0', '/v1/plans/{id}', 404, 'NOT_FOUND', /the ledger keeps all/],
  ['GET', '/v1/vms?limit=0', '/v1/vms', 400, 'USAGE', /limit/],
  ['GET', '/v1/vms?limit=lots', '/v1/vms', 400, 'USAGE', /limit/],
  ['GET', `/v1/vms/${WEB}/series?resource=gpu`, '/v1/vms/{id}/series', 400, 'USAGE', /resource/],
  ['GET', `/v1/vms/${WEB}/series?fromMs=5&toMs=5`, '/v1/vms/{id}/series', 400, 'USAGE', /before/],
  ['GET', `/v1/vms/${WEB}/series?fromMs=soon`, '/v1/vms/{id}/series', 400, 'USAGE', /fromMs/],
  ['GET', '/v1/ledger?kind=gossip', '/v1/ledger', 400, 'USAGE', /kind/],
  ['PUT', '/v1/kill-switch', '/v1/kill-switch', 400, 'USAGE', /reason/, { host: 'rack1-kvm01' }],
  ['PUT', '/v1/kill-switch', '/v1/kill-switch', 400, 'USAGE', /additional/, { reason: 'x', everything: true }],
  ['PUT', '/v1/kill-switch', '/v1/kill-switch', 400, 'USAGE', /not both/, { reason: 'x', host: 'rack1-kvm01', vm: 'shop-web' }],
  ['PUT', '/v1/kill-switch', '/v1/kill-switch', 404, 'NOT_FOUND', /no host "rack9"/, { reason: 'x', host: 'rack9' }],
  ['DELETE', '/v1/kill-switch', '/v1/kill-switch', 404, 'NOT_FOUND', /no VM "nobody"/, { reason: 'x', vm: 'nobody' }],
];

t.test('bad requests are answered with the right problem', async (t) => {
  const { ask, failures } = await world(t);
  for (const [method, url, path, status, code, detail, payload] of BAD) {
    const answer = await ask(method, url, path, { payload });
    const named = `${method} ${url} ${JSON.stringify(payload ?? '')}`;
    t.match(
      { ...answer.json, contentType: answer.contentType },
      { status, code, detail, contentType: /^application\/problem\+json/ },
      named,
    );
    t.equal(answer.json.requestId, answer.headers['x-request-id'], named);
  }
  t.same(failures, [], "the asker's mistakes are not ours");
});

t.test('incidents: a word on one, an event announced, an isolation ended; mistakes are told', async (t) => {
  const { ask } = await world(t);
  const [feedback, events, isolation] = SAID;
  const judged = await ask('POST', '/v1/anomalies/leak-1/feedback', feedback, { payload: { feedback: 'false alarm' } });
  t.match(judged.json, { id: 'leak-1', feedback: 'false alarm' });
  t.equal((await ask('POST', '/v1/anomalies/none/feedback', feedback, { payload: { feedback: 'expected' } })).status, 404);
  t.equal((await ask('POST', '/v1/anomalies/leak-1/feedback', feedback, { payload: { feedback: 'meh' } })).status, 400);
  const event = await ask('POST', '/v1/known-events', events, { payload: { vm: 'shop-web', fromMs: 1, toMs: 2, why: 'release 7' } });
  t.match(event.json, { vm: WEB, fromMs: 1, toMs: 2, why: 'release 7' });
  t.equal((await ask('POST', '/v1/known-events', events, { payload: { fromMs: 2, toMs: 1, why: 'x' } })).status, 400);
  t.equal((await ask('POST', '/v1/known-events', events, { payload: { fromMs: 0, toMs: 1e12, why: 'x' } })).status, 400);
  t.match((await ask('DELETE', '/v1/vms/shop-web/isolation', isolation)).json, { outcome: 'applied' });
  t.equal((await ask('DELETE', '/v1/vms/nobody/isolation', isolation)).status, 404);
});

t.test('what fails inside is a 500 that tells nothing, and our log hears of it', async (t) => {
  const { app, service, failures } = await world(t);
  service.plans = () => {
    throw new Error('secret /var/lib path');
  };
  const response = await app.inject({ url: '/v1/plans', headers: { host: 'localhost' } });
  t.equal(response.statusCode, 500);
  t.notMatch(response.body, /secret/);
  t.match(failures, [{ message: 'secret /var/lib path' }]);
});

t.test('a store that is away is a 503 with its reason', async (t) => {
  const { ask, service } = await world(t);
  service.series.query = () => Promise.reject(new HeadroomError('STORE_UNAVAILABLE', 'the disk is full'));
  const answer = await ask('GET', `/v1/vms/${WEB}/series`, '/v1/vms/{id}/series');
  t.match(answer.json, { status: 503, code: 'STORE_UNAVAILABLE', detail: 'the disk is full' });
});

t.test('following cursors gives every item once, in order', async (t) => {
  const { ask, service } = await world(t);
  const collect = async (path: string, limit: number, idOf: (item: never) => unknown): Promise<unknown[]> => {
    const ids: unknown[] = [];
    let cursor: string | null = '';
    for (let pages = 0; cursor !== null && pages < 100; pages++) {
      const next: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const { json } = await ask('GET', `${path}?limit=${limit}${next}`, path);
      t.ok(json.items.length <= limit);
      ids.push(...json.items.map(idOf));
      cursor = json.cursor;
    }
    return ids;
  };
  t.same(await collect('/v1/vms', 3, ({ id }) => id), MADE_VMS.map(({ id }) => id).sort());
  t.same(await collect('/v1/hosts', 1, ({ id }) => id), ['rack1-kvm01', 'rack1-kvm02']);
  t.same(
    await collect('/v1/plans', 10, ({ id }) => id),
    service.plans(1000).map(({ id }) => id),
  );
  t.same(await collect('/v1/ledger', 2, ({ index }) => index), [2, 1, 0]);
  t.same((await ask('GET', '/v1/vms?cursor=zzz', '/v1/vms')).json, { items: [], cursor: null });
});

t.test('series carry usage, allocation and the forecast made one step earlier, on one grid', async (t) => {
  const { ask, service } = await world(t);
  const fromMs = NOW_MS - 60_000;
  const { json } = await ask('GET', `/v1/vms/${WEB}/series?resource=cpu&fromMs=${fromMs}&toMs=${NOW_MS}`, '/v1/vms/{id}/series');
  t.equal(json.timesMs.length, 60);
  for (const name of ['usage', 'demand', 'allocation', 'forecastMedian', 'forecastHigh']) t.equal(json[name].length, 60, name);
  const raw = await service.series.query({
    subject: { kind: 'vm', id: WEB },
    source: 'host',
    fields: ['vm_cpu.usageCores', 'vm_forecast.cpuCores/q0.95/h1'],
    fromMs: fromMs - 5000,
    toMs: NOW_MS,
    resolution: 'raw',
  });
  const at = (name: string, timeMs: number) => raw.columns[name]![raw.timesMs.indexOf(timeMs)];
  const stepMs = Math.ceil(fromMs / 5000) * 5000;
  t.equal(json.usage[json.timesMs.indexOf(stepMs)], at('vm_cpu.usageCores', stepMs));
  t.equal(json.forecastHigh[json.timesMs.indexOf(stepMs)], at('vm_forecast.cpuCores/q0.95/h1', stepMs - 5000));
  t.equal(json.forecastQuantile, 0.95);
  t.equal(json.stepMs, 5000);
  t.equal(json.demand[json.timesMs.indexOf(stepMs) + 1], null, 'between steps demand is unknown, not zero');
});

t.test('an age that never was is null, and unknown usage is null', async (t) => {
  const { ask } = await world(t);
  const { json } = await ask('GET', '/v1/vms/idle-legacy', '/v1/vms/{id}');
  t.match(json.resources.cpu, { ageMs: null, usage: null, uncapped: true, allocation: null });
  t.match(json.resources.memory.eligible, { allowed: false, reason: /balloon/ });
});

t.test('policies: applied, tried, refused with line, column and field of each mistake', async (t) => {
  const { ask, service } = await world(t);
  const yaml = { 'content-type': 'application/yaml' };
  const put = (payload: string, query = '', headers = yaml) => ask('PUT', `/v1/policies${query}`, '/v1/policies', { payload, headers });
  const before = service.policies();
  const dry = await put('version: 1\n', '?dryRun=true');
  t.match(dry.json, { version: 1, dryRun: true });
  t.same(service.policies(), before, 'a dry run changes nothing');
  t.match((await put('version: 1\n')).json, { version: 2, dryRun: false });
  t.equal(service.policies().source, 'version: 1\n');
  t.match((await put('{"version": 1}', '', { 'content-type': 'text/plain' })).json, { version: 3 });

  const wrong = await put('version: 1\ndefaults:\n  cpu: { mode: sometimes }\n  memory: { flor: 3 }\n');
  t.match(wrong.json, { status: 422, code: 'POLICY_INVALID', line: 3, field: 'defaults.cpu.mode', detail: /sometimes/ });
  t.match(wrong.json.mistakes, [
    { line: 3, field: 'defaults.cpu.mode' },
    { line: 4, field: 'defaults.memory.flor', detail: /unknown field "flor"/ },
  ]);
  t.match((await put('version: [1\n')).json, { status: 422, line: 2 });
  const seen = await ask('GET', '/v1/policies', '/v1/policies');
  t.equal(seen.headers.etag, '"3"');
  const stale = { ...yaml, 'if-match': '"2"' } as typeof yaml;
  t.match((await put('version: 1\n', '', stale)).json, { status: 412, code: 'VERSION_CHANGED' });
  t.equal((await put('version: 1\n', '?dryRun=true', { ...yaml, 'if-match': '"3"' } as typeof yaml)).status, 200);
  t.equal((await put('version: 1\n', '', { ...yaml, 'if-match': 'three' } as typeof yaml)).status, 400);
  t.equal((await ask('GET', '/v1/policies/versions/99', '/v1/policies/versions/{version}')).status, 404);
  t.equal(service.policies().version, 3, 'a refused policy changes nothing');
});

t.test('templates: a version each time, refused with line, column and field; no name leaves its place', async (t) => {
  const { ask } = await world(t);
  const yaml = { 'content-type': 'application/yaml' };
  const put = (name: string, payload: string, query = '', headers: Record<string, string> = {}) =>
    ask('PUT', `/v1/templates/${name}${query}`, '/v1/templates/{name}', { payload, headers: { ...yaml, ...headers } });
  const larger = MADE_TEMPLATE.replace('1024', '2048');
  t.match((await put('debian-web', larger, '?dryRun=true')).json, { version: 1, changed: true, dryRun: true });
  t.match((await put('debian-web', larger, '', { 'if-match': '"7"' })).json, { status: 412, code: 'VERSION_CHANGED' });
  t.match((await put('debian-web', larger, '', { 'if-match': '"1"' })).json, { version: 2, changed: true });
  t.equal((await ask('GET', '/v1/templates/debian-web', '/v1/templates/{name}')).headers.etag, '"2"');
  t.match((await put('debian-web', larger.replace('vcpus: 2', 'vcpus: none'))).json, {
    ...{ status: 422, code: 'TEMPLATE_INVALID', line: 6, column: 1, field: 'vcpus' },
  });
  for (const volume of ['../../etc/shadow', '/etc/shadow']) {
    t.match(
      (await put('debian-web', MADE_TEMPLATE.replace('debian-12.qcow2', volume))).json,
      { status: 422, field: 'image.volume' },
      volume,
    );
  }
  t.equal((await put('..%2f..%2fetc', larger)).status, 400);
  t.equal((await put('other', larger)).status, 400, 'its own name alone');
  const check = (name: string, query = '') => ask('POST', `/v1/templates/${name}/check${query}`, '/v1/templates/{name}/check');
  t.match((await check('debian-web')).json.items, [{ host: 'kvm1', ok: false, reason: /no volume/ }]);
  t.equal((await check('nothing')).status, 404);
  t.equal((await check('debian-web', '?host=nowhere')).status, 404);
});

t.test('groups: bounds set within the policy and taken off, members drained, nothing taken back too late', async (t) => {
  const { ask, app } = await world(t);
  const bounds = (method: 'PUT' | 'DELETE', payload?: object) =>
    ask(method, '/v1/groups/web/bounds', '/v1/groups/{name}/bounds', payload && { payload });
  t.match((await bounds('PUT', { min: 2, max: 3 })).json, { bounds: { least: 2, most: 3, by: 'http 127.0.0.1' } });
  t.match((await app.inject('/metrics')).body, /headroom_group_min\{group="web"\} 2\n/);
  t.match((await app.inject('/metrics')).body, /headroom_group_desired_size\{group="web"\} 2\n/);
  t.equal((await bounds('PUT', { min: 2, max: 9 })).status, 400);
  t.equal((await bounds('PUT', { min: 0, max: 3 })).status, 400);
  t.equal((await bounds('DELETE')).json.bounds, null);
  const member = (action: string, vm: string, group = 'web') =>
    ask('POST', `/v1/groups/${group}/members/${vm}/${action}`, `/v1/groups/{name}/members/{vm}/${action}`);
  const [vm, other] = ['6f1b0000-0000-4000-8000-000000000001', '6f1b0000-0000-4000-8000-000000000002'];
  t.equal((await member('drained', vm)).status, 200);
  t.equal((await member('drained', other)).status, 404);
  t.match((await member('undo', vm)).json, { status: 409, code: 'CONFLICT' });
  t.equal((await member('undo', vm, 'mail')).status, 404);
  const hand = (method: 'PUT' | 'DELETE', id: string) => ask(method, `/v1/groups/web/members/${id}`, '/v1/groups/{name}/members/{vm}');
  t.equal((await hand('PUT', other)).status, 200);
  t.match((await hand('DELETE', vm)).json, { status: 409, code: 'CONFLICT' });
  t.equal((await member('undo', 'x')).status, 400);
  t.equal((await ask('GET', '/v1/groups/mail', '/v1/groups/{name}')).status, 404);
});

t.test('suspension: ordered for a VM by name or UUID, also one known by its snapshot alone; followed until it ended', async (t) => {
  const { ask } = await world(t);
  const order = (method: 'POST' | 'PUT' | 'DELETE', vm: string, what: string, payload: object = {}) =>
    ask(method, `/v1/vms/${vm}/${what}`, `/v1/vms/{id}/${what}`, { payload });
  t.match(await order('POST', 'shop-web', 'suspend'), { status: 202, json: { action: 'suspend', vm: WEB, state: 'working' } });
  const asked = await order('POST', 'desktop-9', 'resume');
  t.match(asked, { status: 202, json: { action: 'resume', vmName: 'desktop-9' } });
  const found = await ask('GET', `/v1/suspensions/orders?id=${encodeURIComponent(asked.json.id)}`, '/v1/suspensions/orders');
  t.match(found.json.items, [{ state: 'ended', outcome: 'applied' }]);
  t.equal((await ask('GET', '/v1/suspensions/orders?id=none', '/v1/suspensions/orders')).status, 404);
  t.equal((await order('PUT', 'desktop-9', 'prefetch', { holdSeconds: 60, bytesPerSecondMax: 1e6 })).status, 202);
  t.equal((await order('PUT', 'desktop-9', 'prefetch', { holdSeconds: 0 })).status, 400);
  t.equal((await order('DELETE', 'desktop-9', 'prefetch')).status, 202);
  t.equal((await order('POST', 'desktop-9', 'snapshot/verify')).status, 202);
  t.equal((await order('POST', 'nobody', 'suspend')).status, 404);
  t.match((await ask('POST', '/v1/suspensions/collect', '/v1/suspensions/collect', { payload: {} })).json.items, [{ action: 'collect' }]);
});

t.test('recommendations: approved as they were seen, tried first; a shrink is given back, what was none is not', async (t) => {
  const { ask } = await world(t);
  const waiting = async () => (await ask('GET', '/v1/recommendations', '/v1/recommendations')).json.items;
  const [seen] = await waiting();
  const approve = (id: string, payload: object, query = '') =>
    ask('POST', `/v1/recommendations/${encodeURIComponent(id)}/approve${query}`, '/v1/recommendations/{id}/approve', { payload });
  t.equal((await approve(seen.id, { to: { resource: 'cpu', weight: 100, capCores: -1 } })).status, 400);
  t.equal((await approve('nothing.cpu', {})).status, 404);
  t.match(await approve(seen.id, { to: seen.to }, '?dryRun=true'), { status: 200, json: { id: seen.id, approval: { to: seen.to } } });
  t.equal((await waiting()).length, 1, 'a dry run approves nothing');
  t.equal((await approve(seen.id, { to: seen.to })).status, 200);
  t.same(await waiting(), []);
  const rollback = (vm: string, payload: object) => ask('POST', `/v1/vms/${vm}/rollback`, '/v1/vms/{id}/rollback', { payload });
  t.match(await rollback('shop-web', { resource: 'cpu' }), { status: 200, json: { vm: WEB, from: { capCores: 0.41 }, dryRun: false } });
  t.equal((await rollback('shop-web', { resource: 'memory' })).status, 409);
  t.equal((await rollback('shop-web', {})).status, 400);
  t.equal((await rollback('nobody', { resource: 'cpu' })).status, 404);
});

t.test('logins: asked for, looked at, refused with what to do', async (t) => {
  const { ask } = await world(t);
  const publicKey = generateKeyPairSync('x25519').publicKey.export({ format: 'jwk' });
  const post = (payload: object, vm = 'shop-web') => ask('POST', `/v1/vms/${vm}/credentials`, LOGINS[0], { payload });
  const asked = await post({ publicKey });
  t.match(asked, { status: 202, json: { state: 'pending', vm: WEB, by: /^http /, sealed: null } });
  t.equal((await ask('GET', `/v1/vms/${WEB}/credentials/${asked.json.id}`, LOGINS[1])).status, 200);
  t.equal((await ask('GET', '/v1/vms/shop-web/credentials/none', LOGINS[1])).status, 404);
  t.match(await post({ publicKey: { kty: 'EC' } }), { status: 400, json: { detail: /X25519/ } });
  t.equal((await post({})).status, 400);
  t.equal((await post({ publicKey }, 'nobody')).status, 404);
});

t.test('kill switch: fleet, host and VM by name, on and off', async (t) => {
  const { ask, service } = await world(t);
  const set = (method: 'PUT' | 'DELETE', payload: object) => ask(method, '/v1/kill-switch', '/v1/kill-switch', { payload });
  t.same((await set('PUT', { reason: 'drill' })).json, { scope: 'fleet', engaged: true, dryRun: false });
  t.same((await ask('GET', '/v1/kill-switch', '/v1/kill-switch')).json, { fleet: true, hosts: [], vms: [] });
  t.equal((await ask('GET', '/v1/status', '/v1/status')).json.killSwitch, true);
  t.same((await set('PUT', { host: 'rack1-kvm02', reason: 'drill' })).json, { scope: 'host', engaged: true, dryRun: false });
  t.same((await ask('GET', '/v1/kill-switch', '/v1/kill-switch')).json, { fleet: true, hosts: ['rack1-kvm02'], vms: [] });
  t.same((await set('DELETE', { vm: 'shop-web', reason: 'over' })).json, { scope: 'vm', engaged: false, dryRun: false });
  t.match(service.killSwitchCalls, [
    { scope: 'fleet', engaged: true, by: /^http /, reason: 'drill' },
    { scope: 'rack1-kvm02', engaged: true },
    { scope: WEB, engaged: false, reason: 'over' },
  ]);
});

t.test('audit: whole, or broken and where', async (t) => {
  const { ask, service } = await world(t);
  t.match((await ask('GET', '/v1/audit/verify', '/v1/audit/verify')).json, { ok: true, entries: 3 });
  service.ledger.verify = async () => ({ ok: false, index: 1, problem: 'it was changed' });
  t.match((await ask('GET', '/v1/audit/verify', '/v1/audit/verify')).json, { ok: false, index: 1, problem: /changed/ });
});

t.test('two VMs of one name: the name alone is refused, with the ways out', async (t) => {
  const { ask, service } = await world(t);
  const views = service.vms();
  service.vms = () => views.map((vm) => ({ ...vm, name: 'twin' }));
  t.match((await ask('GET', '/v1/vms/twin', '/v1/vms/{id}')).json, { status: 409, code: 'CONFLICT', detail: new RegExp(WEB) });
});

/** One sample a line: name, labels, value. */
function samples(text: string): string[] {
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

t.test('metrics: gauges per VM and resource, counters of the loops, unknown left out', async (t) => {
  const { app, service } = await world(t);
  const response = await app.inject({ url: '/metrics', headers: { host: 'localhost' } });
  t.match(response.headers['content-type'], /^text\/plain; version=0\.0\.4/);
  const lines = samples(response.body);
  const web = service.vm(WEB)!.resources.cpu;
  const line = (name: string) => lines.find((each) => each.startsWith(`${name}{vm="${WEB}"`) && each.includes('resource="cpu"'));
  t.equal(Number(line('headroom_vm_usage')?.split(' ').at(-1)), web.usage);
  t.equal(Number(line('headroom_vm_allocation')?.split(' ').at(-1)), web.allocation);
  t.ok(line('headroom_vm_demand') && line('headroom_vm_forecast_high'));
  t.notOk(
    lines.some((each) => each.includes('name="idle-legacy"') && each.startsWith('headroom_vm_usage')),
    'unknown is not zero',
  );
  t.ok(lines.includes('headroom_plans_total 41') && lines.includes('headroom_loop_plan_seconds 0.012'));
  t.match(response.body, /# TYPE headroom_plans_total counter/);
  t.match(response.body, /# TYPE headroom_loop_plan_seconds gauge/);
});

t.test('metrics: names and labels that guests chose cannot break the format', async (t) => {
  const { app, service } = await world(t);
  const [first, ...rest] = service.vms();
  service.vms = () => [{ ...first!, name: 'a"b\n# HELP x\\' }, ...rest];
  const { body } = await app.inject({ url: '/metrics', headers: { host: 'localhost' } });
  t.ok(samples(body).every((line) => /^[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})? [-+0-9.eE]+$/.test(line)));
});

t.test('pages: the console, its modules as JavaScript, the API page; nothing from elsewhere', async (t) => {
  const { app } = await world(t);
  const get = (url: string, headers: Record<string, string> = {}) => app.inject({ url, headers: { host: 'localhost', ...headers } });
  const index = await get('/');
  t.match(index.headers['content-type'], /text\/html/);
  t.match(index.headers['content-security-policy'], /default-src 'none'/);
  t.notMatch(index.body, /https?:\/\//);
  const main = await get('/console/main.ts');
  t.match(main.headers['content-type'], /text\/javascript/);
  t.notMatch(main.body, /import type|: HTMLElement/);
  t.equal((await get('/', { 'if-none-match': String(index.headers.etag) })).statusCode, 304);
  const guide = await get('/docs/guide/policy');
  t.match(guide.body, /<a href="\/docs\/guide\/policy" aria-current="page">/);
  t.match(guide.body, /<h2 id="when-a-host-lacks-room">/, 'other pages link to its headings');
  t.notMatch(guide.body, /<script|\.md"/);
  const docs = await get('/docs');
  t.match(docs.body, /\/v1\/vms\/\{id\}\/series/);
  t.notMatch(docs.body, /(src|href)="https?:/);
  t.notMatch(docs.body, /<script/);
});
