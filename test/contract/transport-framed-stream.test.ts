/** Goal: length-prefixed messages over a real Unix socket keep the Transport contract; framing errors close. */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { connectFramedStream, serveFramedStream } from '../../shared/net/framed-stream.ts';
import type { Transport } from '../../shared/net/transport.ts';
import { transportContract } from './transport-contract.ts';

const MAX = 1024 * 1024;
const dir = mkdtempSync(join(tmpdir(), 'headroom-framed-'));
const path = join(dir, 's.sock');
const arrived: Transport[] = [];
const server = await serveFramedStream(path, MAX, (transport) => arrived.push(transport));
t.teardown(async () => {
  await server.close();
  rmSync(dir, { recursive: true });
});

const nextArrival = async (): Promise<Transport> => {
  while (arrived.length === 0) await new Promise((resolve) => setImmediate(resolve));
  return arrived.shift()!;
};

transportContract(t, {
  name: 'framed stream',
  maxBytes: MAX,
  pair: async () => {
    const client = await connectFramedStream(path, MAX)();
    return { client, server: await nextArrival() };
  },
  connectToNobody: connectFramedStream(join(dir, 'nobody.sock'), MAX),
});

t.test('a length of zero ends the connection', async (t) => {
  const raw = connect(path);
  const transport = await nextArrival();
  const closed = new Promise<Error | undefined>((resolve) => transport.onClose(resolve));
  raw.write(Buffer.from([0, 0, 0, 0, 1, 2, 3]));
  t.match(await closed, { code: 'FRAME_MALFORMED' });
});

t.test('a stream cut anywhere between bytes is put together again', async (t) => {
  const raw = connect(path);
  const transport = await nextArrival();
  const seen: string[] = [];
  transport.onMessage((message) => seen.push(Buffer.from(message).toString()));
  for (const byte of Buffer.from([0, 0, 0, 3, 97, 98, 99, 0, 0, 0, 1, 100])) {
    raw.write(Buffer.from([byte]));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  while (seen.length < 2) await new Promise((resolve) => setTimeout(resolve, 1));
  t.same(seen, ['abc', 'd']);
  raw.destroy();
});
