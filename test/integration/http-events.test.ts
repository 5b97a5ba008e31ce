/**
 * Goal: events over real sockets. A stream tells what happens; one that comes back is told what it missed; one that does not
 * read is cut off while others go on; closing the server ends them all and leaves no listener.
 */
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { createHttpServer } from '../../aggregator/http/server.ts';
import { type FakeService, fakeService } from '../support/fake-service.ts';

interface Told {
  id: number;
  event: string;
  data: { id: number; message: string };
}

/** Reads a stream's events; comments are counted apart. */
class Stream {
  readonly told: Told[] = [];
  comments = 0;
  ended = false;
  readonly #abort = new AbortController();
  readonly #done: Promise<void>;

  constructor(url: string, lastEventId?: number) {
    this.#done = this.#read(url, lastEventId)
      .catch(() => {})
      .finally(() => {
        this.ended = true;
      });
  }

  async #read(url: string, lastEventId?: number): Promise<void> {
    const headers = lastEventId === undefined ? {} : { 'last-event-id': String(lastEventId) };
    const response = await fetch(`${url}/v1/events`, { headers, signal: this.#abort.signal });
    let rest = '';
    for await (const bytes of response.body!.pipeThrough(new TextDecoderStream())) {
      const blocks = (rest + bytes).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) this.#take(block);
    }
  }

  #take(block: string): void {
    if (block.startsWith(':')) this.comments++;
    const fields = Object.fromEntries(
      block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
    );
    if (fields.data) this.told.push({ id: Number(fields.id), event: fields.event ?? '', data: JSON.parse(fields.data) });
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#done;
  }
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 2000; i++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`it did not come to pass: ${what}`);
}

const happen = (service: FakeService, message: string) => service.emit({ kind: 'notification', vm: null, host: null, message, data: {} });

async function world(t: { teardown(end: () => unknown): void }, heartbeatMs = 15_000) {
  const service = await fakeService();
  const server = await createHttpServer(service, { port: 0, heartbeatMs });
  t.teardown(() => server.close());
  return { service, server };
}

t.test('a stream tells what happens from now on, in order', async (t) => {
  const { service, server } = await world(t);
  const stream = new Stream(server.url);
  t.teardown(() => stream.close());
  await until(() => service.listeners() === 1, 'listening');
  for (const n of [1, 2, 3]) happen(service, `n ${n}\nwith a second line`);
  await until(() => stream.told.length === 3, 'three events');
  t.same(
    stream.told.map(({ data }) => data.message),
    [1, 2, 3].map((n) => `n ${n}\nwith a second line`),
  );
  t.ok(stream.told.every(({ id, event, data }) => id === data.id && event === 'notification'));
});

t.test('one that comes back is told what it missed, once', async (t) => {
  const { service, server } = await world(t);
  const seen = happen(service, 'seen');
  const missed = [happen(service, 'missed 1'), happen(service, 'missed 2')];
  const stream = new Stream(server.url, seen.id);
  t.teardown(() => stream.close());
  await until(() => stream.told.length === 2, 'the missed ones');
  const later = happen(service, 'later');
  await until(() => stream.told.length === 3, 'the later one');
  t.same(
    stream.told.map(({ id }) => id),
    [...missed, later].map(({ id }) => id),
  );
});

t.test('ids from before a restart: all that is remembered is news', async (t) => {
  const { service, server } = await world(t);
  const stream = new Stream(server.url, 1_000_000);
  t.teardown(() => stream.close());
  const remembered = service.events.recent(1000).length;
  await until(() => stream.told.length === remembered, 'everything');
  t.ok(remembered > 0);
});

t.test('a silent stream is kept alive', async (t) => {
  const { server } = await world(t, 20);
  const stream = new Stream(server.url);
  t.teardown(() => stream.close());
  await until(() => stream.comments >= 2, 'heartbeats');
  t.same(stream.told, []);
});

/** Asks for the stream and then never reads. */
function deaf(url: string): Promise<{ socket: Socket; closed: () => boolean }> {
  return new Promise((resolve) => {
    let closed = false;
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => {
      socket.write('GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
      socket.pause();
      resolve({ socket, closed: () => closed });
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      closed = true;
    });
  });
}

t.test('one that does not read is cut off; another misses nothing', async (t) => {
  const { service, server } = await world(t);
  const slow = await deaf(server.url);
  t.teardown(() => slow.socket.destroy());
  const stream = new Stream(server.url);
  t.teardown(() => stream.close());
  await until(() => service.listeners() === 2, 'both listen');
  // Kernel buffers of a loopback connection swallow some megabytes before anything waits here.
  let sent = 0;
  for (; sent < 400 && service.listeners() === 2; sent++) {
    happen(service, 'x'.repeat(64 * 1024));
    await until(() => stream.told.length === sent + 1, 'the reader keeps up');
  }
  t.equal(service.listeners(), 1, `cut off after ${sent} events of 64 KiB`);
  happen(service, 'after');
  await until(() => stream.told.at(-1)?.data.message === 'after', 'the reader goes on');
  t.equal(stream.told.length, sent + 1);
});

t.test('a client that leaves leaves no listener', async (t) => {
  const { service, server } = await world(t);
  const stream = new Stream(server.url);
  await until(() => service.listeners() === 1, 'listening');
  await stream.close();
  await until(() => service.listeners() === 0, 'gone');
  t.equal(service.listeners(), 0);
});

t.test('streams are bounded in number', async (t) => {
  const { service, server } = await world(t);
  const streams = Array.from({ length: 200 }, () => new Stream(server.url));
  t.teardown(() => Promise.all(streams.map((stream) => stream.close())));
  await until(() => service.listeners() === 200, 'all listen');
  const refused = await fetch(`${server.url}/v1/events`);
  t.equal(refused.status, 503);
  t.match(await refused.json(), { code: 'UNAVAILABLE', detail: /200 event streams/ });
});

t.test('closing the server ends streams at once', async (t) => {
  const service = await fakeService();
  const server = await createHttpServer(service, { port: 0 });
  const stream = new Stream(server.url);
  await until(() => service.listeners() === 1, 'listening');
  await server.close();
  await until(() => stream.ended, 'the end');
  t.equal(service.listeners(), 0);
  await t.rejects(fetch(`${server.url}/healthz`));
});
