/**
 * Fuzzes the HTTP API: requests made by property (every route, hostile parameters, headers and bodies) into the application,
 * and mutated bytes over real sockets, with and without tokens. Input: a seed and how many requests; output: counts by status,
 * or an error that names the seed and the request. Nothing may answer with a failure of ours.
 */

import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { createPrng, type Prng } from '../../shared/prng.ts';
import { accessWorld } from '../support/access-world.ts';
import { FAKE_POLICY } from '../support/fake-service.ts';

export interface HttpFuzzFigures {
  requests: number;
  overSockets: number;
  byStatus: Record<string, number>;
}

const METHODS = ['GET', 'GET', 'GET', 'PUT', 'POST', 'DELETE', 'HEAD', 'OPTIONS', 'PATCH'] as const;
const HOSTILE = [
  ...[
    '',
    '0',
    '-1',
    '1e309',
    'NaN',
    'null',
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    '../../etc/passwd',
    '..%2f..%2fetc',
    '%00',
    '%ff',
  ],
  ...[
    "'; DROP TABLE entry;--",
    '<script>alert(1)</script>',
    '#{7*7}',
    '\u202e',
    'a'.repeat(300),
    '９',
    '[]',
    '{}',
    '1,2',
    'true',
    '*',
    '%E0%A4%A',
    '\\',
  ],
];
const QUERY = [
  'limit',
  'cursor',
  'format',
  'vm',
  'kind',
  'newestFirst',
  'resource',
  'fromMs',
  'toMs',
  'points',
  'open',
  'dryRun',
  '__proto__',
  'a[b]',
];
const TYPES = [
  'application/json',
  'application/yaml',
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data',
  'application/json; charset=utf-16',
  '',
];
/** Answers that say something is away: those a service may give. */
const AWAY = new Set([503, 504]);
/** Of so many requests one goes over a socket. */
const SOCKET_EVERY = 10;
const AT_ONCE = 16;
const SOCKET_MS = 2000;

type World = Awaited<ReturnType<typeof accessWorld>>;

interface Made {
  method: (typeof METHODS)[number];
  url: string;
  headers: Record<string, string>;
  payload?: string;
}

class RequestMaker {
  readonly #prng: Prng;
  readonly #paths: readonly string[];
  readonly #vms: readonly string[];
  readonly #tokens: readonly string[];

  constructor(prng: Prng, paths: readonly string[], vms: readonly string[], tokens: readonly string[]) {
    this.#prng = prng;
    this.#paths = paths;
    this.#vms = vms;
    this.#tokens = tokens;
  }

  make(): Made {
    const method = this.#one(METHODS);
    const path = this.#one(this.#paths).replaceAll(/\{[^}]+\}/g, () => encodeSometimes(this.#prng, this.#value()));
    const body = method === 'PUT' || method === 'POST' || method === 'DELETE' ? this.#body() : null;
    const headers: Record<string, string> = { host: this.#prng.below(20) === 0 ? this.#header() : 'localhost' };
    if (this.#prng.below(4) > 0) headers.authorization = `Bearer ${this.#one(this.#tokens)}`;
    if (this.#prng.below(10) === 0) headers.cookie = `headroom=${this.#header()}`;
    if (this.#prng.below(10) === 0) headers.origin = this.#one(['http://localhost', 'https://evil.example', 'null', this.#header()]);
    if (this.#prng.below(10) === 0)
      headers[this.#one(['if-match', 'last-event-id', 'if-none-match', 'x-forwarded-for', 'range'])] = this.#header();
    if (body !== null) headers['content-type'] = this.#one(TYPES);
    // Streams have no end: those routes are always asked for a list.
    const streams = /events|notifications/.test(path);
    const url = `${path}${this.#query(streams)}`;
    return { method, url, headers, ...(body === null ? {} : { payload: body }) };
  }

  #query(list: boolean): string {
    const pairs = Array.from({ length: this.#prng.below(4) }, () => [this.#one(QUERY), this.#value()] as const);
    const kept = list ? [...pairs.filter(([name]) => name !== 'format'), ['format', 'json'] as const] : pairs;
    return kept.length === 0 ? '' : `?${kept.map(([name, value]) => `${name}=${encodeSometimes(this.#prng, value)}`).join('&')}`;
  }

  #value(): string {
    const kind = this.#prng.below(4);
    if (kind === 0) return this.#one(this.#vms);
    if (kind === 1) return String(this.#prng.below(2 ** 31));
    if (kind === 2) return this.#one(HOSTILE);
    return Array.from({ length: 1 + this.#prng.below(12) }, () => String.fromCharCode(33 + this.#prng.below(94))).join('');
  }

  #header(): string {
    return this.#value().replaceAll(/[^\x20-\x7e]/g, '?');
  }

  #body(): string {
    const kind = this.#prng.below(6);
    if (kind === 0) return '['.repeat(this.#prng.below(5000));
    if (kind === 1) return this.#mutated(FAKE_POLICY);
    if (kind === 2)
      return this.#mutated(
        '{"reason":"x","vm":"a","host":"b","name":"c","role":"viewer","validSeconds":60,"token":"t","labels":{"a":"b"}}',
      );
    if (kind === 3) return JSON.stringify(this.#json(0));
    if (kind === 4) return this.#value();
    return `{"reason":${JSON.stringify(this.#value())},"__proto__":{"x":1}}`;
  }

  #json(depth: number): unknown {
    const kind = this.#prng.below(depth > 6 ? 4 : 6);
    if (kind === 0) return this.#value();
    if (kind === 1) return this.#prng.below(1000) - 500;
    if (kind === 2) return null;
    if (kind === 3) return this.#prng.below(2) === 0;
    if (kind === 4) return Array.from({ length: this.#prng.below(5) }, () => this.#json(depth + 1));
    const names = ['reason', 'vm', 'host', 'name', 'role', 'token', 'labels', 'tenant', 'publicKey', 'validSeconds', 'x'];
    return Object.fromEntries(Array.from({ length: this.#prng.below(5) }, () => [this.#one(names), this.#json(depth + 1)]));
  }

  #mutated(text: string): string {
    const letters = [...text];
    for (let i = this.#prng.below(5); i >= 0; i--) {
      const at = this.#prng.below(letters.length);
      if (this.#prng.below(2) === 0) letters.splice(at, this.#prng.below(8));
      else letters.splice(at, 0, this.#value());
      if (letters.length === 0) return '';
    }
    return letters.join('');
  }

  #one<T>(list: readonly T[]): T {
    return list[this.#prng.below(list.length)]!;
  }
}

function encodeSometimes(prng: Prng, text: string): string {
  return prng.below(8) === 0 ? text.replaceAll(/[\s#?]/g, '') : encodeURIComponent(text.isWellFormed() ? text : '');
}

/** The request as bytes, some of them changed. */
function rawBytes({ method, url, headers, payload = '' }: Made, prng: Prng): Buffer {
  const lines = Object.entries({ ...headers, connection: 'close', 'content-length': String(Buffer.byteLength(payload)) });
  const bytes = Buffer.from(
    `${method} ${url} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}`).join('\r\n')}\r\n\r\n${payload}`,
  );
  for (let i = prng.below(4); i > 0; i--) bytes[prng.below(Math.min(bytes.length, 400))] = prng.below(256);
  return prng.below(8) === 0 ? bytes.subarray(0, prng.below(bytes.length)) : bytes;
}

/** The status, or `closed` when the server hung up without one. */
function overSocket(port: number, bytes: Buffer): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => socket.end(bytes));
    socket.setTimeout(SOCKET_MS, () => socket.destroy());
    socket.on('data', (data) => {
      if (answer.length < 64) answer += data.toString('latin1');
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 'closed'));
  });
}

export async function fuzzHttp(seed: number, requests: number, tell: (done: number) => void = () => undefined): Promise<HttpFuzzFigures> {
  const prng = createPrng(seed, 'http');
  const world = await accessWorld({ requestsPerSecond: 1e9 });
  const tokens = [
    await world.token({ name: 'viewer' }),
    await world.token({ name: 'operator', role: 'operator' }),
    await world.token({ name: 'administrator', role: 'administrator' }),
    await world.token({ name: 'tenant', role: 'administrator', tenant: 'shop' }),
    `hra_${'0'.repeat(12)}_${'x'.repeat(43)}`,
  ];
  const { paths } = (await world.ask('GET', '/openapi.json')).json() as { paths: Record<string, unknown> };
  const vms = world.service.vms().flatMap(({ id, name }) => [id, name]);
  const maker = new RequestMaker(prng, [...Object.keys(paths), '/', '/docs', '/metrics', '/nowhere', '/console/main.ts'], vms, tokens);
  await world.app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = world.app.server.address() as AddressInfo;
  const figures: HttpFuzzFigures = { requests: 0, overSockets: 0, byStatus: {} };
  const count = (status: string | number): void => {
    figures.requests++;
    figures.byStatus[status] = (figures.byStatus[status] ?? 0) + 1;
  };
  try {
    while (figures.requests < requests) {
      const batch = Array.from({ length: AT_ONCE }, async (_, i) => {
        const made = maker.make();
        if (i % SOCKET_EVERY === 0) {
          figures.overSockets++;
          const status = await overSocket(port, rawBytes(made, prng));
          check(Number(status) || 0, made, seed);
          count(status);
        } else count(await injected(world, made, seed));
      });
      await Promise.all(batch);
      // What the made service writes down is not the server's memory.
      world.service.killSwitchCalls.length = 0;
      if (figures.requests % (AT_ONCE * 1000) < AT_ONCE) tell(figures.requests);
      for (const { id, name } of world.tokens.list())
        if (!['viewer', 'operator', 'administrator', 'tenant'].includes(name)) await world.tokens.revoke(id, 'fuzz');
    }
    if (({} as { x?: unknown }).x !== undefined) throw new Error(`a prototype was reached; SEED=${seed}`);
    const { statusCode } = await world.ask('GET', '/v1/vms', { bearer: tokens[0]! });
    if (statusCode !== 200) throw new Error(`an honest request is answered with ${statusCode} afterwards; SEED=${seed}`);
  } finally {
    await world.app.close();
  }
  return figures;
}

async function injected({ app }: World, made: Made, seed: number): Promise<number> {
  const { statusCode } = await app.inject(made as never);
  check(statusCode, made, seed);
  return statusCode;
}

function check(status: number, made: Made, seed: number): void {
  if (status < 500 || AWAY.has(status)) return;
  throw new Error(`status ${status} to ${JSON.stringify(made).slice(0, 2000)}; SEED=${seed}`);
}
