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

const NOW_MS = Date.UTC(2026, 10, 1);

/** The fake's fleet under other names: `part` is the last digit of its ids. */
async function partOf(part: number): Promise<AggregatorService> {
  const service = await fakeService({ nowMs: () => NOW_MS });
  const hosts = service.hosts().map((host, i) => ({ ...host, id: `host-${part}${i}` as never }));
  const vms = service
    .vms()
    .map((vm, i) => ({ ...vm, id: `${vm.id.slice(0, -2)}${i}${part}` as never, name: `${vm.name}-${part}`, host: hosts[0]!.id }));
  return { ...service, hosts: () => hosts, vms: () => vms, vm: (id) => vms.find((vm) => vm.id === id) ?? null };
}

/** Of whoever holds the fleet, to all of them. */
let holder: string | null = null;

/** Servers that know of each other; `origins` may be added to. */
async function together(services: readonly AggregatorService[], origins: string[]): Promise<HttpServer[]> {
  const servers: HttpServer[] = [];
  for (const [i, service] of services.entries()) {
    const peers = { origins: () => origins.filter((origin) => origin !== servers[i]?.url), ask: peerClient(), holder: () => holder };
    servers.push(await createHttpServer(service, { port: 0, peers }));
  }
  origins.push(...servers.map(({ url }) => url));
  return servers;
}

t.test('two that live and one that is down', async (t) => {
  const dead = `http://127.0.0.1:${await freePort()}`;
  const origins: string[] = [dead];
  const [a, b] = [await partOf(1), await partOf(2)];
  const servers = await together([a, b], origins);
  t.teardown(() => Promise.all(servers.map((server) => server.close())));
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

t.test('changes are made where the VM is, once, with what came', async (t) => {
  const did: unknown[] = [];
  const parts = await Promise.all([1, 2, 3].map(partOf));
  const services = parts.map((part, i) => ({
    ...part,
    takeBack: (vm: string, resource: string, _by: string, dryRun: boolean) => {
      did.push([i, vm, resource, dryRun]);
      return part.takeBack(vm as never, resource as never, 'test', true);
    },
  })) as AggregatorService[];
  const servers = await together(services, []);
  t.teardown(() => Promise.all(servers.map((server) => server.close())));
  const post = (id: string, query = ''): Promise<Response> =>
    fetch(`${servers[0]!.url}/v1/vms/${encodeURIComponent(id)}/rollback${query}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ resource: 'cpu' }),
    });
  const [byId, byName] = [parts[1]!.vms()[0]!, parts[2]!.vms()[1]!];
  const answers = [await post(byId.id), await post(byName.name, '?dryRun=true'), await post(parts[0]!.vms()[0]!.name)];
  t.same(did, [
    [1, byId.id, 'cpu', false],
    [2, byName.id, 'cpu', true],
    [0, parts[0]!.vms()[0]!.id, 'cpu', false],
  ]);
  const alone = await fetch(`${servers[1]!.url}/v1/vms/${byId.id}/rollback`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ resource: 'cpu' }),
  });
  t.equal(answers[0]!.status, alone.status, 'the answer is that of whoever has it');
  t.same(await answers[0]!.json(), await alone.json());
  did.length = 0;
  t.equal((await post('nobody')).status, 404);
  t.equal((await fetch(`${servers[0]!.url}/v1/vms/${byId.id}/rollback`, { method: 'POST' })).status, 400, 'without a body it is refused');
  t.same(did, []);
});

t.test('a name that two have, here and there or both there, is refused; by their UUIDs each is reached', async (t) => {
  const parts = await Promise.all([1, 2].map(partOf));
  const [mine, other, another] = [parts[0]!.vms()[0]!, parts[1]!.vms()[0]!, parts[1]!.vms()[1]!];
  const twin = { ...other, name: mine.name };
  const vms = [twin, ...parts[1]!.vms().slice(1)];
  const services = [
    parts[0]!,
    { ...parts[1]!, vms: () => vms, vm: (id: string) => vms.find((vm) => vm.id === id) ?? null },
  ] as AggregatorService[];
  const origins: string[] = [];
  const servers = await together(services, origins);
  t.teardown(() => Promise.all(servers.map((server) => server.close())));
  const ask = (id: string, at = 0, more?: RequestInit): Promise<Response> =>
    fetch(`${servers[at]!.url}/v1/vms/${encodeURIComponent(id)}${more ? '/rollback' : ''}`, more);
  for (const at of [0, 1]) {
    const refused = await ask(mine.name, at);
    t.equal(refused.status, 409);
    const { detail } = (await refused.json()) as { detail: string };
    t.match(detail, mine.id);
    t.match(detail, twin.id);
    t.match(await (await ask(mine.id, at)).json(), { id: mine.id });
    t.match(await (await ask(twin.id, at)).json(), { id: twin.id });
  }
  t.match(await (await ask(another.name)).json(), { id: another.id }, 'a name of its own is found where it is');

  const dead = `http://127.0.0.1:${await freePort()}`;
  origins.push(dead);
  const seen = await ask(another.name);
  t.equal(seen.status, 200);
  t.equal(seen.headers.get(MISSING_HEADER), dead, 'who could have it too is told');
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify({ resource: 'cpu' });
  const change = await ask(another.name, 0, { method: 'POST', headers, body });
  t.equal(change.status, 503, 'nothing is changed by a name that somebody may have too');
  t.match(((await change.json()) as { detail: string }).detail, dead);
});

t.test('what is about groups and templates goes to whoever holds the fleet; while that one is away they can be read', async (t) => {
  const origins: string[] = [];
  const [a, b] = [await partOf(1), await partOf(2)];
  const groups = b.spawning.groups().map((group) => ({ ...group, reason: 'decided there' }));
  const servers = await together([a, { ...b, spawning: { ...b.spawning, groups: () => groups } }], origins);
  t.teardown(() => Promise.all(servers.map((server) => server.close())));
  t.teardown(() => {
    holder = null;
  });
  const [at, there] = servers.map(({ url }) => url) as [string, string];
  const reasonAt = async (): Promise<unknown> => ((await (await fetch(`${at}/v1/groups/web`)).json()) as { reason: string }).reason;
  t.not(await reasonAt(), 'decided there');
  holder = there;
  t.equal(await reasonAt(), 'decided there');
  holder = `http://127.0.0.1:${await freePort()}`;
  t.not(await reasonAt(), 'decided there', 'as it is known here');
  const changed = await fetch(`${at}/v1/groups/web/bounds`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ min: 2, max: 2 }),
  });
  t.equal(changed.status, 503);
});
