/** Goal: the WebSocket transport keeps the Transport contract, on loopback TCP and on a Unix socket, and refuses browsers. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { WebSocket } from 'ws';
import type { Transport } from '../../shared/net/transport.ts';
import { serveWebSocket, type WebSocketListen, webSocketConnect } from '../../shared/net/websocket.ts';
import { type TransportPair, transportContract } from './transport-contract.ts';

const MAX = 1024 * 1024;
const dir = mkdtempSync(join(tmpdir(), 'headroom-ws-'));
t.teardown(() => rmSync(dir, { recursive: true }));

async function makePairs(
  listen: Omit<WebSocketListen, 'maxBytes'>,
): Promise<{ pair: () => Promise<TransportPair>; close: () => Promise<void>; url: string }> {
  const arrived: Transport[] = [];
  const server = await serveWebSocket({ ...listen, maxBytes: MAX }, (transport) => arrived.push(transport));
  const connect = webSocketConnect(server.url, MAX);
  return {
    url: server.url,
    close: () => server.close(),
    pair: async () => {
      const client = await connect();
      while (arrived.length === 0) await new Promise((resolve) => setImmediate(resolve));
      return { client, server: arrived.shift()! };
    },
  };
}

const tcp = await makePairs({});
const unix = await makePairs({ path: join(dir, 'agents.sock') });
t.teardown(() => Promise.all([tcp.close(), unix.close()]));

transportContract(t, {
  name: 'WebSocket',
  maxBytes: MAX,
  pair: tcp.pair,
  connectToNobody: webSocketConnect('ws://127.0.0.1:1/v1/agents', MAX),
});
transportContract(t, { name: 'WebSocket on a Unix socket', maxBytes: MAX, pair: unix.pair });

t.test('whatever sends an Origin, or asks for another path, is refused', async (t) => {
  const status = (url: string, origin?: string): Promise<string> =>
    new Promise((resolve) => {
      const socket = new WebSocket(url, origin ? { origin } : {});
      socket.on('error', (error) => resolve(error.message));
      socket.on('open', () => resolve('open'));
    });
  t.match(await status(tcp.url, 'http://127.0.0.1:8080'), '403');
  t.match(await status(tcp.url.replace('/v1/agents', '/')), '404');
});

t.test('a text message ends the connection with FRAME_MALFORMED', async (t) => {
  const socket = new WebSocket(tcp.url);
  await new Promise((resolve) => socket.on('open', resolve));
  const code = new Promise((resolve) => socket.on('close', resolve));
  socket.send('hello');
  // The pair's queue holds the server side of this socket: take it out.
  const { client, server } = await tcp.pair();
  const error = await new Promise<Error | undefined>((resolve) => server.onClose(resolve));
  t.match(error, { code: 'FRAME_MALFORMED' });
  t.equal(await code, 1003);
  client.close('done');
});

t.test('an address in use is refused with UNAVAILABLE; a socket file left behind is taken over', async (t) => {
  await t.rejects(
    serveWebSocket({ path: join(dir, 'agents.sock'), maxBytes: MAX }, () => undefined),
    { code: 'UNAVAILABLE' },
  );
  const port = Number(new URL(tcp.url).port);
  await t.rejects(
    serveWebSocket({ port, maxBytes: MAX }, () => undefined),
    { code: 'UNAVAILABLE' },
  );
  // What a killed process leaves: a socket file nobody answers on.
  const stale = join(dir, 'stale.sock');
  const first = createServer().listen(stale);
  await new Promise((resolve) => first.once('listening', resolve));
  const { linkSync } = await import('node:fs');
  linkSync(stale, `${stale}.kept`);
  await new Promise((resolve) => first.close(resolve));
  linkSync(`${stale}.kept`, stale);
  const server = await serveWebSocket({ path: stale, maxBytes: MAX }, () => undefined);
  await server.close();
  // A plain file is not ours to remove.
  const file = join(dir, 'notes.txt');
  writeFileSync(file, 'keep');
  await t.rejects(
    serveWebSocket({ path: file, maxBytes: MAX }, () => undefined),
    { code: 'UNAVAILABLE' },
  );
});
