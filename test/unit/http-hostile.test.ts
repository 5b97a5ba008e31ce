/**
 * Goal: what a hostile page, neighbour or script sends is refused with a clear problem, reaches no file and changes nothing.
 */
import { connect } from 'node:net';
import t from 'tap';
import { createHttpApp } from '../../aggregator/http/app.ts';
import { createHttpServer } from '../../aggregator/http/server.ts';
import { fakeService } from '../support/fake-service.ts';

const service = await fakeService();
const app = await createHttpApp(service, { hostNames: ['headroom.example'] });
t.teardown(() => app.close());

const kill = (headers: Record<string, string>, payload: string | object = { reason: 'drill' }) =>
  app.inject({ method: 'PUT', url: '/v1/kill-switch', headers: { host: 'localhost:8470', ...headers }, payload });

t.test('names it answers to, against DNS rebinding', async (t) => {
  const status = async (host: string) => (await app.inject({ url: '/v1/vms', headers: { host } })).statusCode;
  for (const host of [
    'localhost',
    'localhost:8470',
    '127.0.0.1:8470',
    '[::1]:8470',
    'LOCALHOST',
    'headroom.example',
    'headroom.example:443',
  ]) {
    t.equal(await status(host), 200, host);
  }
  for (const host of [
    'evil.example',
    'localhost.evil.example',
    'evil.example:8470',
    '127.0.0.1.evil.example',
    'localhost:x',
    '[::2]:8470',
    'a@localhost',
    '10.0.0.1',
  ]) {
    t.equal(await status(host), 403, host);
  }
});

t.test('pages of other origins change nothing; programs and the own page may', async (t) => {
  service.killSwitchCalls.length = 0;
  for (const origin of [
    'http://evil.example',
    'null',
    'https://localhost.evil.example',
    'file://',
    'http://localhost:9999',
    '',
    'javascript:1',
  ]) {
    const response = await kill({ origin });
    t.equal(response.statusCode, 403, `origin ${JSON.stringify(origin)}`);
    t.match(response.json(), { code: 'PERMISSION' });
  }
  t.same(service.killSwitchCalls, []);
  t.equal((await kill({})).statusCode, 200);
  t.equal((await kill({ origin: 'http://localhost:8470' })).statusCode, 200);
  t.equal(service.killSwitchCalls.length, 2);
});

t.test('bodies: too large, malformed, of the wrong kind, deeply nested', async (t) => {
  service.killSwitchCalls.length = 0;
  const json = { 'content-type': 'application/json' };
  t.match((await kill(json, `{"reason":"${'x'.repeat(2 * 1024 * 1024)}"}`)).json(), { status: 413, code: 'USAGE' });
  t.match((await kill(json, '{"reason":')).json(), { status: 400, code: 'USAGE' });
  t.match((await kill(json, '')).json(), { status: 400 });
  t.match((await kill(json, '"text"')).json(), { status: 400 });
  t.match((await kill(json, '{"__proto__":{"reason":"x"}}')).json(), { status: 400 });
  t.match((await kill(json, '{"reason":"x","constructor":{"prototype":{"a":1}}}')).json(), { status: 400 });
  t.match((await kill(json, `{"reason":${'['.repeat(100_000)}${']'.repeat(100_000)}}`)).json(), { status: 400 });
  t.match((await kill({ 'content-type': 'application/x-www-form-urlencoded' }, 'reason=x')).json(), { status: 415 });
  t.match((await kill({ 'content-type': 'multipart/form-data' }, 'x')).json(), { status: 415 });
  t.same(service.killSwitchCalls, []);
});

t.test('policies that would cost much are refused in little time', async (t) => {
  const put = (payload: string) =>
    app.inject({ method: 'PUT', url: '/v1/policies', headers: { host: 'localhost', 'content-type': 'application/yaml' }, payload });
  const bomb = ['a: &a [x,x,x,x,x,x,x,x,x]', ...'bcdefghi'.split('').map((c, i) => `${c}: &${c} [${`*${'abcdefgh'[i]},`.repeat(9)}]`)].join(
    '\n',
  );
  t.match((await put(bomb)).json(), { status: 422, code: 'POLICY_INVALID', line: 1 });
  t.match((await put('x'.repeat(1024 * 1024 + 1))).json(), { status: 413 });
  t.match((await put('')).json(), { code: /USAGE|POLICY_INVALID/ });
  t.equal(service.policies().version, 1);
});

t.test('paths: no way to a file, no way to crash', async (t) => {
  const paths = [
    '/console/../http/app.ts',
    '/console/%2e%2e/http/app.ts',
    '/console/..%2fhttp%2fapp.ts',
    '/console/%252e%252e/package.json',
    '/console/....//package.json',
    '/..%5c..%5cpackage.json',
    '/console/main.ts%00.html',
    '/console/',
    '/console',
    '/console/tsconfig.json',
    '//etc/passwd',
    '/v1/vms/..%2f..%2fetc%2fpasswd',
    `/v1/vms/${'a'.repeat(300)}`,
    '/v1/vms/%ff',
    '/v1/vms/%00',
    '/%E0%A4%A',
  ];
  for (const url of paths) {
    const response = await app.inject({ url, headers: { host: 'localhost' } });
    t.ok([400, 404, 414].includes(response.statusCode), `${url}: ${response.statusCode}`);
    t.match(response.headers['content-type'], /problem\+json/, url);
    t.notMatch(response.body, /root:|createHttpApp|"dependencies"/, url);
  }
});

t.test('every answer keeps browsers within bounds', async (t) => {
  for (const url of ['/', '/docs', '/v1/vms', '/nowhere', '/metrics', '/openapi.json']) {
    const { headers } = await app.inject({ url, headers: { host: 'localhost' } });
    t.match(headers, { 'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY', 'referrer-policy': 'no-referrer' }, url);
    t.match(headers['content-security-policy'], /default-src 'none'; script-src 'self'/, url);
    t.match(headers['x-request-id'], /^[0-9a-f-]{36}$/, url);
    t.notOk(headers['access-control-allow-origin'], url);
    t.notOk(headers['x-powered-by'], url);
  }
});

t.test('what a guest is called stays text on the API page and in problems', async (t) => {
  const response = await app.inject({ url: '/v1/vms/%3Cscript%3Ealert(1)%3C%2Fscript%3E', headers: { host: 'localhost' } });
  t.equal(response.statusCode, 404);
  t.match(response.headers['content-type'], /problem\+json/);
});

/** Sends raw bytes; answers what came back until the server closed or fell silent. */
function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.setTimeout(2000, () => socket.destroy());
    socket.on('data', (bytes) => {
      answer += bytes.toString('latin1');
      if (/\r\n\r\n/.test(answer)) socket.end();
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', (error) => (answer === '' ? reject(error) : resolve(answer)));
  });
}

t.test('requests that are no HTTP are refused, and the next one is served', async (t) => {
  const server = await createHttpServer(service, { port: 0 });
  t.teardown(() => server.close());
  t.match(server.url, /^http:\/\/127\.0\.0\.1:\d+$/, 'loopback unless told otherwise');
  const port = Number(new URL(server.url).port);
  t.match(await raw(port, '\x16\x03\x01 not http\r\n\r\n'), /^HTTP\/1\.1 400/);
  t.match(await raw(port, 'GET /v1/vms HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 403/, 'old HTTP without a name');
  t.match(await raw(port, 'GET /v1/vms HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400/, 'no Host');
  t.match(await raw(port, `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'y'.repeat(100_000)}\r\n\r\n`), /^HTTP\/1\.1 431/);
  t.match(
    await raw(port, 'POST /v1/kill-switch HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
    /^HTTP\/1\.1 400/,
  );
  t.equal((await fetch(`${server.url}/healthz`)).status, 200);
});

t.test('an address that is taken is told with what to do', async (t) => {
  const server = await createHttpServer(service, { port: 0 });
  t.teardown(() => server.close());
  const port = Number(new URL(server.url).port);
  await t.rejects(createHttpServer(service, { port }), { code: 'ENVIRONMENT', message: /choose another/ });
});
