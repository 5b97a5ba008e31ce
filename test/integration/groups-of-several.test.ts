/**
 * Goal: two aggregators as processes over a real etcd, each with a host of its own: a group grows onto the host of the one that does not
 * decide, people steer it at either, and when the one that decides is killed the other goes on with the same members.
 */
import t from 'tap';
import { Addresses } from '../../agent/core/addresses.ts';
import { preferredOwner } from '../../aggregator/core/ownership/preferred-owner.ts';
import type { GroupView } from '../../aggregator/http/spawn-service.ts';
import { systemClock } from '../../shared/clock.ts';
import { webSocketConnect } from '../../shared/net/websocket.ts';
import { FRAME_BYTES_MAX } from '../../shared/protocol/frames.ts';
import { buildingHost } from '../support/building-host.ts';
import { Cluster, type Node } from '../support/cluster.ts';
import { TEMPLATE } from '../support/spawn-world.ts';
import { eventually } from '../support/stack.ts';

t.setTimeout(150_000);

const GROUPS = `groups:
  - name: web
    template: web
    mode: auto
    target: {cpu: 0.8}
    min: 1
    max: 2
    perHost: 1
    idleFor: 3s
    drain: 1s
    undo: 1s
    perHour: 1000
`;
const CONNECT_MS_MAX = 2000;

t.test('a group of two owners', async (t) => {
  const cluster = new Cluster(undefined, GROUPS);
  t.teardown(() => cluster.stop());
  await cluster.start(2, 1);
  const urls = cluster.nodes.map(({ agentsUrl }) => agentsUrl);
  const names = cluster.nodes.map(({ name }) => name);
  let load = 0.3;
  /** Of an owner its own host: agents are sent to it by their names. */
  const hosts = names.map((owner) => {
    const name = Array.from({ length: 100 }, (_, i) => `kvm${i}`).find((each) => preferredOwner(each, names) === owner)!;
    const addresses = new Addresses(urls);
    return buildingHost({
      ...{ name, clock: systemClock, addresses, log: () => undefined },
      connect: () => webSocketConnect(addresses.next, FRAME_BYTES_MAX, undefined, CONNECT_MS_MAX)(),
      builder: { behaviour: () => ({ cpuDemandCores: () => load / Math.max(1, running().length), workingSetMiB: () => 200, bootMs: 500 }) },
    });
  });
  const running = (): string[] =>
    hosts.flatMap(({ hypervisor }) => hypervisor.ids().filter((id) => hypervisor.truth(id).power === 'running'));
  t.teardown(() => Promise.all(hosts.map(({ agent }) => agent.stop())));
  for (const { agent } of hosts) void agent.start();
  await eventually('each has a host', async () =>
    (await Promise.all(cluster.nodes.map((node) => cluster.metric(node, 'ownership_hosts')))).every((count) => count === 1),
  );
  const holds = await Promise.all(cluster.nodes.map((node) => cluster.metric(node, 'ownership_fleet')));
  const [decider, other] = (holds[0] === 1 ? cluster.nodes : [...cluster.nodes].reverse()) as [Node, Node];
  const ask = async <T>(node: Node, method: string, path: string, body?: string, type = 'application/json'): Promise<T> => {
    const sent = body === undefined ? {} : { body, headers: { 'content-type': type } };
    const answer = await fetch(`${node.url}${path}`, { method, ...sent });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  };
  const group = (node: Node): Promise<GroupView> => ask(node, 'GET', '/v1/groups/web');

  await ask(other, 'PUT', '/v1/templates/web', TEMPLATE, 'application/yaml');
  const checked = await ask<{ items: { host: string; ok: boolean }[] }>(other, 'POST', '/v1/templates/web/check', '{}');
  t.same(
    checked.items
      .filter(({ ok }) => ok)
      .map(({ host }) => host)
      .sort(),
    hosts.map(({ name }) => name).sort(),
    'either owner’s host could make one',
  );
  await eventually('the least serves', async () => (await group(decider)).serving === 1);
  t.equal(running().length, 1);
  load = 1.4;
  await eventually('it grew onto the other owner’s host', async () => (await group(decider)).serving === 2);
  t.ok(
    hosts.every(({ hypervisor }) => hypervisor.ids().length === 1),
    'one on each',
  );
  t.same((await group(other)).members.map(({ vm }) => vm).sort(), running().sort(), 'told at either');
  const members = running().sort();

  await cluster.kill(decider);
  await eventually('the other decides for the fleet', async () => (await cluster.metric(other, 'ownership_fleet')) === 1);
  await eventually('and has both hosts', async () => (await cluster.metric(other, 'ownership_hosts')) === 2);
  await eventually('the same members serve', async () => {
    const { serving, decidedAtMs } = await group(other);
    return serving === 2 && decidedAtMs !== null;
  });
  t.same(running().sort(), members, 'nothing was made twice, nothing ended');

  await cluster.launch(decider);
  await eventually('both are there', async () => (await cluster.metric(other, 'ownership_members')) === 2);
  // The one that does not decide now is asked.
  await ask(decider, 'PUT', '/v1/groups/web/bounds', JSON.stringify({ min: 1, max: 1 }));
  await eventually(
    'one is let go, and nothing is left of it',
    () => hosts.reduce((sum, { builder }) => sum + builder.remains().length, 0) === 1,
  );
  const [entry] = (await ask<{ items: { body: { phase?: string } }[] }>(other, 'GET', '/v1/ledger?kind=spawn&limit=1')).items;
  t.equal(entry?.body.phase, 'gone');
});
