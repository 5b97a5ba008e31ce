/**
 * Goal: any aggregator answers for the hosts of all: lists are whole and in order page by page, what is about a VM elsewhere is read and
 * changed there with what the asker showed, nothing goes in circles, and one that is down is named.
 */
import t from 'tap';
import { peerClient } from '../../aggregator/http/peer-client.ts';
import { MISSING_HEADER } from '../../aggregator/http/peers.ts';
import { createHttpServer, type HttpServer } from '../../aggregator/http/server.ts';
import type { AggregatorService } from '../../aggregator/http/service.ts';
import { fakeService } from '../support/fake-service.ts';
import { freePort } from '../support/free-port.ts';

interface Listed {
  items: { id: string; host?: string }[];
  cursor: string | null;
}

/** The fake's fleet under other names: `part` is the last digit of its ids. */
async function partOf(part: number): Promise<AggregatorService> {
  const service = await fakeService();
  const hosts = service.hosts().map((host, i) => ({ ...host, id: `host-${part}${i}` as never }));
  const vms = service
    .vms()
    .map((vm, i) => ({ ...vm, id: `${vm.id.slice(0, -2)}${i}${part}` as never, name: `${vm.name}-${part}`, host: hosts[0]!.id }));
  return { ...service, hosts: () => hosts, vms: () => vms, vm: (id) => vms.find((vm) => vm.id === id) ?? null };
}

t.test('two that live and one that is down', async (t) => {
  const dead = `http://127.0.0.1:${await freePort()}`;
  const origins: string[] = [dead];
  const servers: HttpServer[] = [];
  const [a, b] = [await partOf(1), await partOf(2)];
  for (const [i, service] of [a, b].entries()) {
    const peers = { origins: () => origins.filter((origin) => origin !== servers[i]?.url), ask: peerClient() };
    servers.push(await createHttpServer(service, { port: 0, peers }));
  }
  t.teardown(() => Promise.all(servers.map((server) => server.close())));
  origins.push(...servers.map(({ url }) => url));
  const at = servers[0]!.url;

  const answer = await fetch(`${at}/v1/vms?limit=1000`);
  const all = (await answer.json()) as Listed;
  const wanted = [...a.vms(), ...b.vms()].map(({ id }) => String(id)).sort();
  t.ok(b.vms().length > 1);
  t.same(
    all.items.map(({ id }) => id),
    wanted,
  );
  t.equal(answer.headers.get(MISSING_HEADER), dead, 'whose hosts are missing is told');

  const paged: string[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page = (await (await fetch(`${at}/v1/vms?limit=2${cursor && `&cursor=${cursor}`}`)).json()) as Listed;
    t.ok(page.items.length <= 2);
    paged.push(...page.items.map(({ id }) => id));
    cursor = page.cursor;
  }
  t.same(paged, wanted, 'page by page it is the same');

  const elsewhere = b.vms()[0]!;
  t.match(await (await fetch(`${at}/v1/vms/${elsewhere.id}`)).json(), { id: elsewhere.id, name: elsewhere.name });
  t.match(await (await fetch(`${at}/v1/vms/${elsewhere.name}/explain`)).json(), { vm: elsewhere.id });
  t.match(await (await fetch(`${at}/v1/hosts/${b.hosts()[0]!.id}`)).json(), { id: b.hosts()[0]!.id });
  t.equal((await fetch(`${at}/v1/vms/nobody`)).status, 404);
  t.equal((await fetch(`${at}/v1/vms/${elsewhere.id}`, { headers: { 'x-headroom-passed': '1' } })).status, 404, 'once passed on it stays');
});
