/**
 * Goal: with access control on, nobody gets anything without showing who they are, roles and scopes hold for every route, and
 * every change and refusal is in the ledger. Without it (one machine) everything works as before.
 */
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { parseFlags, resolveConfig } from '../../aggregator/config.ts';
import { accessWorld, identityProvider } from '../support/access-world.ts';
import { FAKE_POLICY } from '../support/fake-service.ts';

const REASON = { reason: 'drill' };

t.test('nothing but health, the pages and the log-in answers a stranger', async (t) => {
  const { app, ask } = await accessWorld();
  t.teardown(() => app.close());
  const { paths } = (await ask('GET', '/openapi.json')).json() as { paths: Record<string, Record<string, unknown>> };
  let refused = 0;
  for (const [path, methods] of Object.entries(paths)) {
    for (const method of Object.keys(methods)) {
      const url = path.replaceAll(/\{[^}]+\}/g, '1');
      const { statusCode, headers } = await ask(method.toUpperCase() as 'GET', url, method === 'get' ? {} : { payload: {} });
      if (['/healthz', '/readyz', '/v1/session'].includes(path) && !(path === '/v1/session' && method === 'get')) continue;
      if (/^\/v1\/session\/(ways|provider|provider\/answer)$/.test(path)) continue;
      t.equal(statusCode, 401, `${method} ${path}`);
      t.match(headers['www-authenticate'], /^Bearer/, path);
      refused++;
    }
  }
  t.ok(refused > 25, `${refused} routes`);
  for (const url of ['/', '/docs', '/healthz', '/console/main.ts']) t.equal((await ask('GET', url)).statusCode, 200, url);
  t.equal((await ask('GET', '/metrics')).statusCode, 401);
});

t.test('roles: a viewer reads, an operator stops, an administrator decides; each change is in the ledger by name', async (t) => {
  const { app, ask, token, service, audit } = await accessWorld();
  t.teardown(() => app.close());
  const [viewer, operator, admin] = [
    await token({ name: 'v' }),
    await token({ name: 'o', role: 'operator' }),
    await token({ name: 'a', role: 'administrator' }),
  ];
  const policy = { payload: FAKE_POLICY, headers: { 'content-type': 'application/yaml' } };
  const cases = [
    ['GET', '/v1/vms', {}, [200, 200, 200]],
    ['PUT', '/v1/kill-switch', { payload: REASON }, [403, 200, 200]],
    ['PUT', '/v1/policies', policy, [403, 403, 200]],
    ['GET', '/v1/api-tokens', {}, [403, 403, 200]],
    ['POST', '/v1/enrolment-tokens', { payload: { host: 'h1' } }, [403, 403, 200]],
    ['DELETE', '/v1/agent-keys', { payload: { host: 'h1', ...REASON } }, [403, 403, 404]],
  ] as const;
  for (const [method, url, given, expected] of cases) {
    const codes = [];
    for (const bearer of [viewer, operator, admin]) codes.push((await ask(method, url, { ...given, bearer })).statusCode);
    t.same(codes, expected, `${method} ${url}`);
  }
  t.same(
    service.killSwitchCalls.map(({ by }) => by),
    ['token o (http 127.0.0.1)', 'token a (http 127.0.0.1)'],
  );
  const told = await audit();
  t.equal(told.filter(({ event, code }) => event === 'request-refused' && code === 'PERMISSION').length, 9);
  t.ok(told.some(({ event, subject, by }) => event === 'request' && subject === 'PUT /v1/policies' && /token a/.test(by)));
});

t.test('a tenant sees and touches its own VMs only; of what belongs to all, nothing', async (t) => {
  const { app, ask, token, service } = await accessWorld();
  t.teardown(() => app.close());
  const all = service.vms();
  const own = all.filter(({ labels }) => labels.team === 'shop');
  const other = all.find(({ labels }) => labels.team !== 'shop')!;
  t.ok(own.length > 0 && own.length < all.length, 'the made fleet has several tenants');
  const bearer = await token({ name: 'shop', role: 'administrator', tenant: 'shop' });
  const names = (await ask('GET', '/v1/vms', { bearer })).json().items.map(({ id }: { id: string }) => id);
  t.same(names.sort(), own.map(({ id }) => id).sort());
  for (const url of [`/v1/vms/${other.id}`, `/v1/vms/${other.name}`, `/v1/vms/${other.id}/explain`, `/v1/vms/${other.id}/notifications`])
    t.equal((await ask('GET', url, { bearer })).statusCode, 404, url);
  t.equal((await ask('PUT', '/v1/kill-switch', { bearer, payload: { vm: other.id, ...REASON } })).statusCode, 404);
  t.equal((await ask('PUT', '/v1/kill-switch', { bearer, payload: REASON })).statusCode, 403, 'the fleet');
  t.equal((await ask('PUT', '/v1/kill-switch', { bearer, payload: { vm: own[0]!.id, ...REASON } })).statusCode, 200);
  for (const url of ['/v1/policies', '/v1/ledger', '/v1/audit/verify', '/metrics', '/v1/api-tokens', '/v1/agent-keys'])
    t.equal((await ask('GET', url, { bearer })).statusCode, 403, url);
  t.same((await ask('GET', '/v1/hosts', { bearer })).json().items, []);
  t.same((await ask('GET', '/v1/plans', { bearer })).json().items, []);
  const events = (await ask('GET', '/v1/events?format=json', { bearer })).json().items as { vm: string | null }[];
  const ids = new Set<string>(own.map(({ id }) => id));
  t.ok(events.every(({ vm }) => vm !== null && ids.has(vm)));
  for (const item of ((await ask('GET', '/v1/anomalies', { bearer })).json() as { items: { vm: string }[] }).items) t.ok(ids.has(item.vm));
});

t.test('tokens: shown once, kept as hashes, end by revocation and by time', async (t) => {
  const { app, ask, token, ledger, clock, audit } = await accessWorld();
  t.teardown(() => app.close());
  const admin = await token({ name: 'root', role: 'administrator' });
  const made = await ask('POST', '/v1/api-tokens', { bearer: admin, payload: { name: 'ci', role: 'viewer', validSeconds: 60 } });
  const { token: secret, id } = made.json() as { token: string; id: string };
  t.match(secret, /^hra_[0-9a-f]{12}_[A-Za-z0-9_-]{43}$/);
  t.equal(made.headers['cache-control'], 'no-store');
  t.equal((await ask('GET', '/v1/session', { bearer: secret })).json().name, 'token ci');
  t.notMatch(JSON.stringify((await ask('GET', '/v1/api-tokens', { bearer: admin })).json()), secret);
  t.notMatch(new TextDecoder().decode((await ledger.getBlob('api-tokens'))!), secret.slice(20));
  t.notMatch(JSON.stringify(await audit()), secret.slice(20), 'and not in the ledger');
  clock.moveMs = 61_000;
  t.equal((await ask('GET', '/v1/vms', { bearer: secret })).statusCode, 401, 'expired');
  clock.moveMs = 0;
  t.equal((await ask('DELETE', `/v1/api-tokens/${id}`, { bearer: admin })).statusCode, 200);
  t.equal((await ask('GET', '/v1/vms', { bearer: secret })).statusCode, 401, 'revoked');
  const again = { bearer: admin, payload: { name: 'root', role: 'viewer' } };
  t.equal((await ask('POST', '/v1/api-tokens', again)).statusCode, 409, 'one name, one token');
});

t.test('guesses are slowed down per address, and honest tokens from there still work; requests are limited per name', async (t) => {
  const { app, ask, token, audit } = await accessWorld({ requestsPerSecond: 5 });
  t.teardown(() => app.close());
  const good = await token({ name: 'good' });
  const codes: number[] = [];
  for (let i = 0; i < 15; i++) codes.push((await ask('GET', '/v1/vms', { bearer: `hra_${'0'.repeat(12)}_${'x'.repeat(43)}` })).statusCode);
  t.same([...new Set(codes)], [401, 429]);
  t.equal(codes.filter((code) => code === 401).length, 10);
  t.equal((await ask('GET', '/v1/vms', { bearer: good })).statusCode, 200);
  const mine: number[] = [];
  for (let i = 0; i < 40; i++) mine.push((await ask('GET', '/v1/session', { bearer: good })).statusCode);
  t.ok(mine.includes(429), 'more than it may');
  t.equal((await ask('GET', '/healthz')).statusCode, 200, 'and nobody else pays');
  t.ok((await audit()).filter(({ code }) => code === 'UNAUTHENTICATED').length === 10);
});

t.test("the console's session: a cookie of this site only, changes only from its own pages, ended by log-out and revocation", async (t) => {
  const { app, ask, token, tokens } = await accessWorld();
  t.teardown(() => app.close());
  const bearer = await token({ name: 'person', role: 'operator' });
  const login = await ask('POST', '/v1/session', { payload: { token: bearer } });
  const cookie = String(login.headers['set-cookie']);
  t.match(cookie, /^headroom=hrs_.*; Path=\/; HttpOnly; SameSite=Strict; Max-Age=(43200|43199)$/);
  const headers = { cookie: cookie.split(';')[0]! };
  t.equal((await ask('GET', '/v1/vms', { headers })).statusCode, 200);
  const put = (more: Record<string, string>) => ask('PUT', '/v1/kill-switch', { headers: { ...headers, ...more }, payload: REASON });
  t.equal((await put({})).statusCode, 403, 'no origin');
  t.equal((await put({ origin: 'https://evil.example' })).statusCode, 403);
  t.equal((await put({ origin: 'http://localhost' })).statusCode, 200);
  t.equal((await ask('DELETE', '/v1/session', { headers: { ...headers, origin: 'http://localhost' } })).statusCode, 200);
  t.equal((await ask('GET', '/v1/vms', { headers })).statusCode, 401, 'logged out');
  const second = await ask('POST', '/v1/session', { payload: { token: bearer } });
  const kept = { cookie: String(second.headers['set-cookie']).split(';')[0]! };
  await tokens.revoke('person', 'test');
  t.equal((await ask('GET', '/v1/vms', { headers: kept })).statusCode, 401, 'with its token gone the session is, too');
  t.equal((await ask('POST', '/v1/session', { payload: { token: 'nonsense' } })).statusCode, 401);
});

t.test('people by their identity provider: roles and tenants of the claims, and nothing that is not signed for us', async (t) => {
  const directory = t.testdir();
  const { oidc, sign } = await identityProvider(directory, writeFileSync);
  const { app, ask } = await accessWorld({ oidc });
  t.teardown(() => app.close());
  const who = async (jwt: string) => {
    const { statusCode, json } = await ask('GET', '/v1/session', { bearer: jwt });
    return statusCode === 200 ? json() : statusCode;
  };
  t.match(await who(await sign({ groups: ['sre'], org: 'shop' })), { name: 'oidc alice@example.com', role: 'operator', tenant: 'shop' });
  t.match(await who(await sign({ groups: ['everyone', 'platform'] })), { role: 'administrator', tenant: null, fleetWide: true });
  t.equal(await who(await sign({ groups: ['sre'] })), 401, 'no tenant where there must be one');
  t.equal(await who(await sign({ groups: ['others'], org: 'shop' })), 401, 'no role');
  t.equal(await who(await sign({ groups: ['constructor'], org: 'shop' })), 401);
  t.equal(await who(await sign({ groups: ['sre'], org: 'shop' }, { issuer: 'https://evil.example' })), 401);
  t.equal(await who(await sign({ groups: ['sre'], org: 'shop' }, { audience: 'other' })), 401);
  t.equal(await who(await sign({ groups: ['sre'], org: 'shop' }, { expires: '-5m' })), 401);
  const [head, body] = (await sign({ groups: ['platform'] })).split('.');
  t.equal(await who(`${head}.${body}.AAAA`), 401, 'no signature');
  const none = Buffer.from('{"alg":"none"}').toString('base64url');
  t.equal(await who(`${none}.${body}.AA`), 401, 'alg none');
});

t.test('beyond this machine the configuration asks for certificates and for who people are', async (t) => {
  const resolve = (text: string) => resolveConfig(text, parseFlags([]));
  const tls = 'tls: {certFile: c, keyFile: k}';
  t.match(resolve('{}').access, { people: 'open', agents: 'beyond-this-machine', tls: null });
  t.match(resolve(`{listen: {host: 0.0.0.0}, ${tls}}`).access, { people: 'tokens' });
  for (const [text, message] of [
    ['{listen: {host: 0.0.0.0}}', /0\.0\.0\.0 is beyond this machine.*tls\.certFile/],
    [`{listen: {host: "::"}, ${tls}, access: {people: open}}`, /access\.people must be tokens/],
    ['{agents: {host: 10.0.0.1}}', /10\.0\.0\.1 is beyond this machine/],
    ['{access: {oidc: {issuer: i, audience: a, roles: {x: viewer}}}}', /keysUrl or keysFile/],
    ['{access: {oidc: {issuer: i, audience: a, keysUrl: "http://x", roles: {x: viewer}}}}', /https only/],
    ['{access: {peeple: open}}', /\/access/],
  ] as const)
    t.throws(() => resolve(text), { code: 'CONFIG_INVALID', message }, text);
});
