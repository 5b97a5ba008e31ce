/**
 * The contract of Transport, run against every adapter: order, integrity, limits, back-pressure, pause, and an end that
 * is told once. Input: a way to make connected pairs with a given frame limit.
 */
import type { Test } from 'tap';
import { isHeadroomError } from '../../shared/errors.ts';
import type { Transport } from '../../shared/net/transport.ts';

export interface TransportPair {
  client: Transport;
  server: Transport;
}

export interface TransportAdapter {
  name: string;
  maxBytes: number;
  /** A new connected pair. */
  pair(): Promise<TransportPair>;
  /** Connects to where nobody listens; absent where the medium has no such case. */
  connectToNobody?: () => Promise<Transport>;
}

const WAIT_MS = 10_000;

/** Waits for a condition that other code will bring about. */
async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + WAIT_MS;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 17 + (i >> 8)) & 0xff);
}

/** Collects what a transport says. */
function watch(transport: Transport): { messages: Uint8Array[]; closes: (Error | undefined)[]; drains: number } {
  const seen = { messages: [] as Uint8Array[], closes: [] as (Error | undefined)[], drains: 0 };
  transport.onMessage((message) => seen.messages.push(message.slice()));
  transport.onClose((error) => seen.closes.push(error));
  transport.onDrain(() => seen.drains++);
  return seen;
}

export function transportContract(t: Test, adapter: TransportAdapter): void {
  t.test(`${adapter.name}: messages arrive whole, in order, both ways`, async (t) => {
    const { client, server } = await adapter.pair();
    const atServer = watch(server);
    const atClient = watch(client);
    const sizes = [1, 2, 125, 126, 65535, 65536, 3, 200_000, adapter.maxBytes];
    for (const [i, size] of sizes.entries()) {
      client.send(pattern(size, i));
      server.send(pattern(size, i + 100));
    }
    await until(() => atServer.messages.length === sizes.length && atClient.messages.length === sizes.length, 'all messages');
    sizes.forEach((size, i) => {
      t.ok(Buffer.from(atServer.messages[i]!).equals(pattern(size, i)), `up ${size}`);
      t.ok(Buffer.from(atClient.messages[i]!).equals(pattern(size, i + 100)), `down ${size}`);
    });
    t.ok(client.local && server.local, 'both ends are on this machine');
    t.notOk(client.lossy);
    t.type(server.peer, 'string');
    client.close('done');
    await until(() => atServer.closes.length === 1, 'the close');
  });

  t.test(`${adapter.name}: what was sent before close arrives; the end is told once on both sides`, async (t) => {
    const { client, server } = await adapter.pair();
    const atServer = watch(server);
    const atClient = watch(client);
    for (let i = 0; i < 50; i++) client.send(pattern(1000, i));
    client.close('done');
    client.close('again');
    t.equal(client.send(pattern(5, 0)), false, 'after close nothing is sent');
    await until(() => atServer.closes.length > 0 && atClient.closes.length > 0, 'both closes');
    t.equal(atServer.messages.length, 50);
    await new Promise((resolve) => setTimeout(resolve, 20));
    t.equal(atServer.closes.length, 1);
    t.equal(atClient.closes.length, 1);
    t.equal(atClient.closes[0], undefined, 'our own close is no error');
  });

  t.test(`${adapter.name}: a message above the limit ends that connection with an error and is not delivered`, async (t) => {
    const { client, server } = await adapter.pair();
    const atServer = watch(server);
    watch(client);
    client.send(pattern(10, 1));
    client.send(new Uint8Array(adapter.maxBytes + 1));
    client.send(pattern(10, 2));
    await until(() => atServer.closes.length === 1, 'the close');
    t.ok(isHeadroomError(atServer.closes[0], 'FRAME_TOO_LARGE'), String(atServer.closes[0]));
    t.equal(atServer.messages.length, 1);
  });

  t.test(`${adapter.name}: a paused reader pushes back on the sender, and loses nothing`, async (t) => {
    const { client, server } = await adapter.pair();
    const atServer = watch(server);
    const atClient = watch(client);
    server.pause();
    const size = 64 * 1024;
    let sent = 0;
    let open = true;
    while (open && sent < 2000) {
      open = client.send(pattern(size, sent++));
      if (sent % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    t.equal(open, false, `send said stop after ${sent} messages`);
    t.ok(client.bufferedBytes > 0, 'bytes wait');
    t.ok(atServer.messages.length < sent, 'the paused side has not taken all');
    server.resume();
    await until(() => atServer.messages.length === sent, 'all messages after resume');
    await until(() => atClient.drains > 0, 'the drain');
    atServer.messages.forEach((message, i) => {
      if (!Buffer.from(message).equals(pattern(size, i))) t.fail(`message ${i} differs`);
    });
    client.close('done');
    await until(() => atServer.closes.length === 1, 'the close');
  });

  t.test(`${adapter.name}: a listener that comes late misses nothing`, async (t) => {
    const { client, server } = await adapter.pair();
    client.onClose(() => undefined);
    client.send(pattern(10, 1));
    client.send(pattern(10, 2));
    await new Promise((resolve) => setTimeout(resolve, 30));
    const atServer = watch(server);
    await until(() => atServer.messages.length === 2, 'both messages');
    client.close('done');
    await until(() => atServer.closes.length === 1, 'the close');
    t.equal(atServer.messages.length, 2);
  });

  const { connectToNobody } = adapter;
  if (connectToNobody) {
    t.test(`${adapter.name}: connecting to nobody rejects with CONNECTION_CLOSED`, async (t) => {
      await t.rejects(connectToNobody(), { code: 'CONNECTION_CLOSED' });
    });
  }
}
