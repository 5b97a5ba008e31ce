/** Goal: the simulated transport keeps the Transport contract, and its faults do what they say. */
import t from 'tap';
import { systemClock } from '../../shared/clock.ts';
import { createSimulatedNetwork } from '../../shared/net/simulated.ts';
import type { Transport } from '../../shared/net/transport.ts';
import { createPrng } from '../../shared/prng.ts';
import { type TransportPair, transportContract } from './transport-contract.ts';

const MAX = 1024 * 1024;

function network(options: Partial<Parameters<typeof createSimulatedNetwork>[0]> = {}): {
  net: ReturnType<typeof createSimulatedNetwork>;
  pair: () => Promise<TransportPair>;
} {
  const net = createSimulatedNetwork({ clock: systemClock, name: 'a', maxBytes: MAX, ...options });
  const arrived: Transport[] = [];
  net.onConnection((transport) => arrived.push(transport));
  return { net, pair: async () => ({ client: await net.connect(), server: arrived.shift()! }) };
}

const random = createPrng(7);
transportContract(t, {
  name: 'simulated with uneven delays',
  maxBytes: MAX,
  pair: network({ fate: () => [random.below(4)] }).pair,
  connectToNobody: createSimulatedNetwork({ clock: systemClock, name: 'nobody', maxBytes: MAX }).connect,
});

t.test('a lossy link drops, repeats and reorders as told', async (t) => {
  const fates: (readonly number[])[] = [[], [0, 5], [20], [1]];
  const { pair } = network({ lossy: true, fate: () => fates.shift() ?? [0] });
  const { client, server } = await pair();
  const seen: number[] = [];
  server.onMessage((message) => seen.push(message[0]!));
  for (const n of [1, 2, 3, 4]) client.send(Uint8Array.of(n));
  await new Promise((resolve) => setTimeout(resolve, 60));
  t.same(seen, [2, 4, 2, 3]);
  t.ok(client.lossy && server.lossy);
});

t.test('a partition cuts what is open and refuses what comes, until it heals', async (t) => {
  const { net, pair } = network();
  const { client, server } = await pair();
  const ends: string[] = [];
  client.onClose((error) => ends.push(`client ${error?.name}`));
  server.onClose((error) => ends.push(`server ${error?.name}`));
  t.equal(net.openConnections, 1);
  net.setPartitioned(true);
  t.same(ends.sort(), ['client HeadroomError', 'server HeadroomError']);
  await t.rejects(net.connect(), { code: 'CONNECTION_CLOSED' });
  net.setPartitioned(false);
  t.ok((await pair()).client);
});
