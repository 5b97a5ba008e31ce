/**
 * Goal: two aggregators over a real etcd share hosts; when one is killed or stopped the other has its hosts within seconds,
 * under higher epochs, and nothing acknowledged is lost.
 */
import t from 'tap';
import { Cluster, pause } from '../support/cluster.ts';
import { ClusterAgent } from '../support/cluster-agent.ts';
import { eventually } from '../support/stack.ts';
import { vmUuid } from '../support/wire-world.ts';

const AGENTS = 8;
t.setTimeout(150_000);

t.test('hosts change hands', async (t) => {
  const cluster = new Cluster();
  t.teardown(() => cluster.stop());
  await cluster.start(2, 1);
  const urls = cluster.nodes.map(({ agentsUrl }) => agentsUrl);
  const agents = Array.from({ length: AGENTS }, (_, i) => new ClusterAgent(`kvm${i}`, vmUuid(i), i % 2 ? urls : [...urls].reverse(), i));
  t.teardown(() => Promise.all(agents.map((agent) => agent.stop())));
  for (const agent of agents) agent.start();
  const [a, b] = [cluster.nodes[0]!, cluster.nodes[1]!];
  const leased = (agent: ClusterAgent, by: string, sinceMs: number): boolean =>
    agent.acts.some((act) => act.kind === 'lease' && act.by === by && act.atMs > sinceMs);

  await eventually('each host has an owner that renews its lease', () =>
    agents.every(({ acts }) => acts.some(({ kind }) => kind === 'lease')),
  );
  t.same(new Set(agents.map(({ owner }) => owner)), new Set(urls), 'both have hosts');
  const deciders = await Promise.all([a, b].map((node) => cluster.metric(node, 'ownership_fleet')));
  t.equal(deciders[0]! + deciders[1]!, 1, 'one decides for the fleet');

  const before = new Map(agents.map((agent) => [agent, agent.acts.at(-1)!]));
  let sinceMs = Date.now();
  await cluster.kill(a);
  await eventually('the other has them all', () => agents.every((agent) => leased(agent, b.agentsUrl, sinceMs)));
  for (const [agent, { by, epoch }] of before) {
    const after = agent.acts.at(-1)!;
    if (by === a.agentsUrl) t.ok(after.epoch > epoch, `${agent.host}: ${after.epoch} above ${epoch}`);
    else t.equal(after.epoch, epoch, `${agent.host} stayed where it was`);
  }
  await eventually('it decides for the fleet, too', async () => (await cluster.metric(b, 'ownership_fleet')) === 1);

  await cluster.launch(a);

  b.child!.kill('SIGSTOP');
  b.stopped = true;
  sinceMs = Date.now();
  await eventually('the first has them all while the other is stopped', () => agents.every((agent) => leased(agent, a.agentsUrl, sinceMs)));
  b.child!.kill('SIGCONT');
  b.stopped = false;
  sinceMs = Date.now() + 500;
  await pause(2500);
  t.ok(
    agents.every(
      ({ acts }) => !acts.some(({ by, kind, atMs }) => by === b.agentsUrl && kind !== 'welcome' && atMs > sinceMs && atMs < sinceMs + 1500),
    ),
    'who was stopped decides nothing about hosts that another has',
  );

  const actors = new Map<string, Set<string>>();
  for (const { host, acts } of agents)
    for (const { epoch, by } of acts) actors.set(`${host} ${epoch}`, (actors.get(`${host} ${epoch}`) ?? new Set()).add(by));
  t.same(
    [...actors].filter(([, by]) => by.size > 1),
    [],
    'no two acted in one epoch',
  );
  for (const agent of agents) agent.endRows();
  await eventually('all rows are acknowledged', () => agents.every(({ drained }) => drained));
  for (const { vm, rowTimesMs } of agents) {
    const stored = await cluster.storedTimes(vm.id);
    t.same(
      rowTimesMs.filter((timeMs) => !stored.has(timeMs)),
      [],
      `${rowTimesMs.length} rows of ${vm.name} are in the store`,
    );
  }
  const answer = (await (await fetch(`${a.url}/v1/audit/verify`)).json()) as { ok?: boolean };
  t.equal(answer.ok, true, JSON.stringify(answer));
});
