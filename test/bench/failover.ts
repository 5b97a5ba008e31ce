/**
 * `bench failover`: three aggregators, three members of etcd and InfluxDB as processes on loopback, simulated host agents over real
 * sockets. In each round one of them (an owner, who decides for the fleet, etcd's leader) is killed or stopped at a random
 * moment, or an owner is cut off from etcd or from its agents, and comes back later. Judged by the agents' own records: how long hosts were without an owner, whether two acted in one
 * epoch, and by ledger and store: whether anything acknowledged is lost. Beside them is a real guest with a real agent, whose values must
 * hold meanwhile. HEADROOM_FAILOVER_AGENTS, _ROUNDS and _SEED; _GUEST=no leaves the guest out; _FAULTS: some, with commas.
 */
import { createPrng, type Prng } from '../../shared/prng.ts';
import { Cluster, type Node, pause } from '../support/cluster.ts';
import { ClusterAgent } from '../support/cluster-agent.ts';
import { ClusterGuest } from '../support/cluster-guest.ts';
import { vmUuid } from '../support/wire-world.ts';
import { type Benchmark, median, rounded } from './benchmark.ts';
import { doubleOwners, lostEntries, lostRows, unowned, untilNext } from './failover-judges.ts';

const AGENTS = Number(process.env.HEADROOM_FAILOVER_AGENTS ?? 100);
const ROUNDS = Number(process.env.HEADROOM_FAILOVER_ROUNDS ?? 20);
const SEED = Number(process.env.HEADROOM_FAILOVER_SEED ?? 1);
const FAULTS = [
  ...(['owner killed', 'decider killed', 'leader killed', 'owner stopped', 'decider stopped', 'leader stopped'] as const),
  // A member of etcd that is stopped is one that nobody reaches: its sockets stay open, and nothing comes.
  ...([
    'owner cut off from etcd',
    'owner cut off from its agents',
    'decider cut off from etcd',
    'decider cut off from its agents',
  ] as const),
] as const;
type Fault = (typeof FAULTS)[number];
const ASKED = process.env.HEADROOM_FAILOVER_FAULTS?.split(',') ?? FAULTS;
const WITH_GUEST = process.env.HEADROOM_FAILOVER_GUEST !== 'no';

/** What was killed or stopped stays away for so long: leases end and hosts move meanwhile. */
const AWAY_MS = 8000;
/**
 * Aggregators, etcd, InfluxDB and all agents share one machine: plans a second and steps of two, as for a few VMs, are work for tens of
 * thousands of VMs at the usual minute and five, and what would be measured is how late a process comes that waits for its turn.
 */
const PACE = { planPeriodMs: 2000, stepMs: 10_000 };
/** Owners act once a plan period: this long without is a host without an owner. */
const UNOWNED_MS = PACE.planPeriodMs + 1500;
const SETTLE_MS_MAX = 90_000;
const POLL_MS = 200;
const WRITE_PAUSE_MS = 400;

/** A machine that gives us no time for so long measures itself: the round is taken again. */
const STALL_MS = 1000;
const REPEATED_MAX = 10;

/** Longest time that this very process, which keeps the agents' records, did not run. */
class Stalls {
  #lastMs = Date.now();
  #longestMs = 0;
  readonly #timer = setInterval(() => this.#look(), 100);

  /** Since it was last asked, ms. */
  take(): number {
    this.#look();
    const longestMs = this.#longestMs;
    this.#longestMs = 0;
    return longestMs;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const nowMs = Date.now();
    this.#longestMs = Math.max(this.#longestMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
  }
}

interface Round {
  fault: Fault;
  /** By host, seconds until an owner acted again; only those that were without one. */
  ownedAgainSeconds: number[];
  /** Of the real guest's host, where it was without one. */
  guestSeconds: number | null;
}

interface Rounds {
  rounds: Round[];
  /** Taken again, since this machine stood still. */
  repeated: number;
}

/** All that is watched: simulated agents, and the guest where it was not left out. */
interface Watched {
  agents: readonly ClusterAgent[];
  guest: ClusterGuest | null;
}

/** An operator who writes to the ledger all the time, and remembers what was acknowledged. */
class Writer {
  readonly acknowledged: string[] = [];
  refused = 0;
  #running = true;
  #done: Promise<void> = Promise.resolve();

  start(cluster: Cluster, agents: readonly ClusterAgent[], random: Prng): void {
    this.#done = (async () => {
      for (let n = 0; this.#running; n++) {
        const agent = agents[random.below(agents.length)]!;
        const node = cluster.nodes.find(({ agentsUrl }) => agentsUrl === agent.owner);
        if (node !== undefined) await this.#write(node, agent.host, `entry ${n}`);
        await pause(WRITE_PAUSE_MS);
      }
    })();
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#done;
  }

  async #write(node: Node, host: string, reason: string): Promise<void> {
    const body = JSON.stringify({ host, reason });
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${node.url}/v1/kill-switch`, { method: 'DELETE', headers, body, signal: AbortSignal.timeout(5000) }).catch(
      () => null,
    );
    if (answer?.ok) this.acknowledged.push(reason);
    else this.refused++;
  }
}

async function decider(cluster: Cluster): Promise<Node> {
  for (;;) {
    for (const node of cluster.nodes) if ((await cluster.metric(node, 'ownership_fleet')) === 1) return node;
    await pause(100);
  }
}

/** Every host has been acted on by an owner of late, and all aggregators know of each other. */
async function settled(cluster: Cluster, { agents, guest }: Watched): Promise<void> {
  // By its own pauses, not by the clock: a machine that gives us no time is waited for.
  for (let waitedMs = 0; waitedMs < SETTLE_MS_MAX; waitedMs += POLL_MS) {
    await pause(POLL_MS);
    const sinceMs = Date.now() - UNOWNED_MS;
    if (!agents.every(({ acts }) => (acts.at(-1)?.atMs ?? 0) > sinceMs) || guest?.owned === false) continue;
    const members = await Promise.all(cluster.nodes.map((node) => cluster.metric(node, 'ownership_members')));
    if (members.every((count) => count === cluster.nodes.length)) return;
  }
  const late = agents.filter(({ acts }) => (acts.at(-1)?.atMs ?? 0) < Date.now() - UNOWNED_MS);
  const others = guest?.owned === false ? 'the guest’s host has none' : 'an aggregator is not back';
  throw new Error(`after ${SETTLE_MS_MAX} ms ${late.length} hosts have no owner (${late[0]?.host}), or ${others}`);
}

async function aggregatorFault(cluster: Cluster, node: Node, stop: boolean): Promise<{ atMs: number; heal: () => Promise<void> }> {
  const atMs = Date.now();
  if (stop) {
    node.child!.kill('SIGSTOP');
    node.stopped = true;
    return {
      atMs,
      async heal() {
        node.child!.kill('SIGCONT');
        node.stopped = false;
      },
    };
  }
  await cluster.kill(node);
  return { atMs, heal: () => cluster.launch(node) };
}

/** Nothing passes, and nobody is told. */
function partition({ wires }: Node, fault: Fault): { atMs: number; heal: () => Promise<void> } {
  const cut = fault.endsWith('etcd') ? wires.etcd : [wires.agents];
  for (const wire of cut) wire.cut();
  return {
    atMs: Date.now(),
    async heal() {
      for (const wire of cut) wire.mend();
    },
  };
}

async function strike(cluster: Cluster, victim: Node | null, fault: Fault): Promise<{ atMs: number; heal: () => Promise<void> }> {
  const stop = fault.endsWith('stopped');
  if (victim === null) return etcdFault(cluster, stop);
  return fault.includes('cut off') ? partition(victim, fault) : aggregatorFault(cluster, victim, stop);
}

async function etcdFault(cluster: Cluster, stop: boolean): Promise<{ atMs: number; heal: () => Promise<void> }> {
  let leader = await cluster.etcd.leader();
  while (leader < 0) {
    await pause(100);
    leader = await cluster.etcd.leader();
  }
  const atMs = Date.now();
  cluster.etcd.signal(leader, stop ? 'SIGSTOP' : 'SIGKILL');
  return {
    atMs,
    async heal() {
      if (stop) cluster.etcd.signal(leader, 'SIGCONT');
      else await cluster.etcd.start(leader);
    },
  };
}

async function oneRound(cluster: Cluster, watched: Watched, fault: Fault, random: Prng): Promise<Round> {
  const { agents, guest } = watched;
  await pause(1000 + random.next() * 4000);
  let victim: Node | null = null;
  if (fault.startsWith('owner')) {
    const { owner } = agents[random.below(agents.length)]!;
    victim = cluster.nodes.find(({ agentsUrl }) => agentsUrl === owner)!;
  } else if (fault.startsWith('decider')) victim = await decider(cluster);
  const before = new Map(agents.map((agent) => [agent, agent.acts.length]));
  const guestBefore = guest?.acts().at(-1);
  const { atMs, heal } = await strike(cluster, victim, fault);
  await pause(AWAY_MS);
  await heal();
  await settled(cluster, watched);
  const ownedAgainSeconds: number[] = [];
  for (const [{ acts }, count] of before) {
    const last = acts[count - 1];
    const seconds =
      last !== undefined && last.by === victim?.agentsUrl ? untilNext(acts, atMs, last.epoch) : unowned(acts, atMs, UNOWNED_MS);
    if (seconds !== null) ownedAgainSeconds.push(seconds);
  }
  const struck = guestBefore !== undefined && guestBefore.by === victim?.agentsUrl;
  return { fault, ownedAgainSeconds, guestSeconds: struck ? untilNext(guest!.acts(), atMs, guestBefore.epoch) : null };
}

async function drained(agents: readonly ClusterAgent[]): Promise<void> {
  for (const agent of agents) agent.endRows();
  const waiting = (): number => agents.filter((agent) => !agent.drained).length;
  for (let waitedMs = 0; waitedMs < SETTLE_MS_MAX && waiting() > 0; waitedMs += POLL_MS) await pause(POLL_MS);
  if (waiting() > 0) throw new Error(`${waiting()} agents still have rows that nobody acknowledged`);
}

const rotated = <T>(values: readonly T[], by: number): T[] => [...values.slice(by), ...values.slice(0, by)];

const p95 = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.ceil(0.95 * values.length) - 1] ?? 0;

/** Rounds until there are as many as asked for. */
async function allRounds(cluster: Cluster, watched: Watched, random: Prng, tell: (line: string) => void): Promise<Rounds> {
  const rounds: Round[] = [];
  const stalls = new Stalls();
  let repeated = 0;
  try {
    while (rounds.length < ROUNDS) {
      stalls.take();
      const round = await oneRound(cluster, watched, ASKED[rounds.length % ASKED.length] as Fault, random);
      const stalledMs = stalls.take();
      if (stalledMs > STALL_MS && ++repeated <= REPEATED_MAX) {
        tell(`${round.fault}: taken again, this process had no time for ${stalledMs} ms`);
        continue;
      }
      rounds.push(round);
      const { fault, ownedAgainSeconds: seconds, guestSeconds } = round;
      const all = `p95 ${rounded(p95(seconds))} s, most ${rounded(Math.max(0, ...seconds))} s`;
      const guest = guestSeconds === null ? '' : `, the guest’s ${rounded(guestSeconds)} s`;
      tell(`round ${rounds.length}, ${fault}: ${seconds.length} hosts without an owner, ${all}${guest}`);
    }
    return { rounds, repeated };
  } finally {
    stalls.stop();
  }
}

function inSeconds(rounds: readonly Round[]): Record<string, unknown> {
  const all = rounds.flatMap(({ ownedAgainSeconds }) => ownedAgainSeconds);
  const guests = rounds.flatMap(({ guestSeconds }) => (guestSeconds === null ? [] : [guestSeconds]));
  const byFault = [...Map.groupBy(rounds, ({ fault }) => fault)].map(([fault, same]): [string, number] => [
    fault,
    rounded(p95(same.flatMap(({ ownedAgainSeconds }) => ownedAgainSeconds))),
  ]);
  return {
    ownedAgainSecondsP95: rounded(p95(all)),
    ownedAgainSecondsP50: rounded(median(all)),
    ownedAgainSecondsMax: rounded(Math.max(0, ...all)),
    ownedAgainSecondsP95ByFault: Object.fromEntries(byFault),
    takeovers: all.length,
    guestOwnedAgainSeconds: guests.map(rounded),
  };
}

export const failover: Benchmark = {
  about: 'several aggregators: killed, stopped, cut off, etcd killed and stopped, by the agents’ records',
  async run(tell) {
    const random = createPrng(SEED, 'failover');
    const cluster = new Cluster(PACE);
    const writer = new Writer();
    const agents: ClusterAgent[] = [];
    const guest = WITH_GUEST ? new ClusterGuest(cluster.folder) : null;
    const watched: Watched = { agents, guest };
    try {
      await cluster.start(3, 3);
      const urls = cluster.nodes.map(({ agentsUrl }) => agentsUrl);
      await guest?.start(rotated(urls, random.below(urls.length)));
      for (let i = 0; i < AGENTS; i++) agents.push(new ClusterAgent(`kvm${i}`, vmUuid(i), rotated(urls, random.below(urls.length)), SEED));
      for (const agent of agents) agent.start();
      await settled(cluster, watched);
      writer.start(cluster, agents, random.stream('writer'));
      const { rounds, repeated } = await allRounds(cluster, watched, random, tell);
      await writer.stop();
      await drained(agents);
      const lostBatches = await lostRows(cluster, agents);
      // Its host's lease ends once all aggregators are stopped: that is none of what is judged.
      const [guestAccount, guestActs] = [guest?.account() ?? null, guest?.acts() ?? []];
      await Promise.all(agents.map((agent) => agent.stop()));
      // Each brings its copy up to date.
      for (const { url } of cluster.nodes) await fetch(`${url}/v1/audit/verify`);
      await Promise.all(cluster.nodes.map((node) => cluster.kill(node, 'SIGTERM')));
      const acts = [...agents.map((agent) => agent.acts), guestActs];
      return {
        ...{ rounds: rounds.length, ...inSeconds(rounds), doubleOwners: doubleOwners(acts) },
        ...{ lostEntries: await lostEntries(cluster, agents, writer.acknowledged), lostBatches },
        ...{ agents: AGENTS, seed: SEED, roundsRepeated: repeated, guest: guestAccount },
        overcommittedHosts: agents.filter(({ overcommitted }) => overcommitted > 0).length,
        entriesAcknowledged: writer.acknowledged.length,
        entriesRefused: writer.refused,
        rowsSent: agents.reduce((sum, { rowTimesMs }) => sum + rowTimesMs.length, 0),
        acts: acts.reduce((sum, each) => sum + each.length, 0),
        commands: acts.reduce((sum, each) => sum + each.filter(({ kind }) => kind === 'command').length, 0),
      };
    } finally {
      await writer.stop();
      for (const agent of agents) agent.endRows();
      await guest?.stop();
      await cluster.stop();
    }
  },
};
