/**
 * Goal: agents and aggregators are upgraded in any order, across a version of the wire, while rows, commands and events flow: nothing
 * acknowledged is lost. The older version is its own frozen program, at whichever end it stands.
 */
import t from 'tap';
import { HOST_BUFFER_LIMITS, SampleBuffer } from '../../agent/core/sample-buffer.ts';
import * as newerUplink from '../../agent/loops/uplink.ts';
import * as newerIngest from '../../aggregator/ingest/ingest.ts';
import * as newerServer from '../../aggregator/ingest/serve-agents.ts';
import { systemClock } from '../../shared/clock.ts';
import type { HostId } from '../../shared/ids.ts';
import { type TransportServer, webSocketConnect } from '../../shared/net/websocket.ts';
import { createPrng } from '../../shared/prng.ts';
import { EVENT_KINDS, FRAME_BYTES_MAX, type FrameOf } from '../../shared/protocol/frames.ts';
import { asVersion, PROTOCOL_VERSIONS } from '../../shared/protocol/versions.ts';
import { frozenCheck, frozenEnds } from '../support/frozen-wire.ts';
import {
  commandFrame,
  eventFrame,
  helloFrame,
  inventoryFrame,
  MemoryStore,
  RecordingSink,
  resultFrame,
  rowsOf,
  until,
  vmUuid,
} from '../support/wire-world.ts';

const older = await frozenEnds(1);
const newer = { ...newerUplink, ...newerIngest, ...newerServer, HOST_BUFFER_LIMITS, SampleBuffer };
type Ends = Pick<typeof newer, 'createUplink' | 'createIngest' | 'serveAgents' | 'SampleBuffer' | 'HOST_BUFFER_LIMITS'>;
const versionOf = (ends: Ends): number => (ends === newer ? PROTOCOL_VERSIONS[0] : 1);

class Aggregator {
  readonly sink = new RecordingSink();
  readonly problems: string[] = [];
  readonly #ends: Ends;
  readonly #ingest: newerIngest.Ingest;
  #server: TransportServer | undefined;

  constructor(ends: Ends, store: MemoryStore, urls: string[]) {
    this.#ingest = ends.createIngest({
      clock: systemClock,
      store,
      sink: this.sink,
      epoch: 7,
      ownsVm: (vm) => this.sink.owners.get(vm) ?? null,
      onProblem: (_peer, error) => this.problems.push(`${error.code}: ${error.message}`),
      aggregators: () => urls,
    });
    this.#ends = ends;
  }

  async start(port = 0): Promise<number> {
    this.#server = await this.#ends.serveAgents(this.#ingest, { port });
    return Number(new URL(this.#server.url).port);
  }

  send(host: string, frame: newerIngest.DownFrame): boolean {
    return this.#ingest.send(host as HostId, frame);
  }

  async stop(): Promise<void> {
    await this.#ingest.stop();
    await this.#server?.close();
  }
}

/** A host's agent, which keeps what it has while its program is replaced, as the disk does. */
class Agent {
  readonly host: string;
  readonly vm: string;
  readonly acknowledged = new Set<number>();
  readonly made: number[] = [];
  welcomes: FrameOf<'welcome'>[] = [];
  commands: string[] = [];
  #ends: Ends = older;
  #uplink: newerUplink.Uplink | undefined;
  #buffer: SampleBuffer | undefined;
  readonly #port: number;

  constructor(n: number, port: number) {
    this.host = `host-${n}`;
    this.vm = vmUuid(n);
    this.#port = port;
  }

  run(ends: Ends): void {
    this.#ends = ends;
    this.#buffer = new ends.SampleBuffer(ends.HOST_BUFFER_LIMITS);
    const uplink = ends.createUplink({
      role: 'host',
      connect: webSocketConnect(`ws://127.0.0.1:${this.#port}/v1/agents`, FRAME_BYTES_MAX),
      clock: systemClock,
      prng: createPrng(1, this.host),
      hello: () => helloFrame({ host: this.host, versions: ends === newer ? [...PROTOCOL_VERSIONS] : [1] }),
      buffer: this.#buffer,
      flushMs: 20,
      backoff: { baseMs: 20, capMs: 100 },
      handlers: {
        onWelcome: (welcome) => {
          this.welcomes.push(welcome);
          uplink.send(inventoryFrame([this.vm]));
        },
        onCommand: (command) => {
          this.commands.push(command.commandId);
          uplink.send(resultFrame(command.vm, command.commandId));
        },
      },
    });
    this.#uplink = uplink;
    uplink.start();
  }

  /** The next second's row. */
  row(timeMs: number): void {
    if (this.#buffer === undefined) return;
    this.made.push(timeMs);
    this.#buffer.append(rowsOf(this.vm, [timeMs]), systemClock.monotonicMs(), (stored) => stored && this.acknowledged.add(timeMs));
  }

  /** Older agents say what they know only. */
  event(message: string): void {
    this.#uplink?.send({ ...eventFrame(message, this.vm), kind: this.version < 2 ? 'lifecycle' : 'migrated' });
  }

  get empty(): boolean {
    return this.#buffer?.empty ?? true;
  }

  get version(): number {
    return versionOf(this.#ends);
  }

  async upgrade(ends: Ends): Promise<void> {
    const [buffer, before] = [this.#buffer, this.welcomes.length];
    // Nothing new is measured while it stops; what it still has is the disk ring's to keep, and there is none here.
    this.#buffer = undefined;
    await until(() => buffer?.empty !== false, `${this.host} has drained`);
    await this.#uplink?.stop();
    this.run(ends);
    await until(() => this.welcomes.length > before, `${this.host} is back`);
  }

  stop(): Promise<void> {
    return this.#uplink?.stop() ?? Promise.resolve();
  }
}

t.test('one after another, under load, there and back again', async (t) => {
  const store = new MemoryStore();
  store.delayMs = 5;
  const urls = ['ws://a.example:7400/v1/agents', 'ws://b.example:7400/v1/agents'];
  let aggregator = new Aggregator(older, store, urls);
  const port = await aggregator.start();
  const agents = Array.from({ length: 8 }, (_, i) => new Agent(i + 1, port));
  for (const agent of agents) agent.run(older);
  let timeMs = 1_700_000_000_000;
  const feeder = setInterval(() => {
    timeMs += 1000;
    for (const agent of agents) agent.row(timeMs);
  }, 5);
  t.teardown(async () => {
    clearInterval(feeder);
    await Promise.all(agents.map((agent) => agent.stop()));
    await aggregator.stop();
  });
  let orders = 0;
  /** Everybody is taken in by the newest version both know, is commanded, and is heard. */
  const works = async (ends: Ends, what: string): Promise<void> => {
    const order = `order-${++orders}`;
    for (const agent of agents) {
      await until(() => aggregator.send(agent.host, commandFrame(agent.vm, order)), `${what}: a connection of ${agent.host}`);
      agent.event(`${order} ${agent.host}`);
    }
    await until(() => agents.every(({ commands }) => commands.includes(order)), `${what}: commands`);
    await until(() => agents.every(({ host }) => aggregator.sink.events.some(({ message }) => message === `${order} ${host}`)), 'events');
    for (const agent of agents) {
      const version = Math.min(agent.version, versionOf(ends));
      t.equal(agent.welcomes.at(-1)?.version, version, `${what}: ${agent.host} speaks version ${version}`);
      t.same(agent.welcomes.at(-1)?.aggregators, version === 2 ? urls : undefined);
      const { kind } = aggregator.sink.events.find(({ message }) => message === `${order} ${agent.host}`)!;
      t.equal(kind, version === 2 ? 'migrated' : 'lifecycle', 'what the older does not know comes in words that it knows');
    }
    t.same(
      aggregator.problems.filter((problem) => !problem.startsWith('CONNECTION_CLOSED')),
      [],
      `${what}: nobody is refused`,
    );
  };
  const replaceAggregator = async (ends: Ends): Promise<void> => {
    await aggregator.stop();
    aggregator = new Aggregator(ends, store, urls);
    await aggregator.start(port);
  };
  await works(older, 'older everywhere');
  await replaceAggregator(newer);
  await works(newer, 'a newer aggregator');
  for (const agent of agents.slice(0, 4)) await agent.upgrade(newer);
  await works(newer, 'half of the agents newer');
  await replaceAggregator(older);
  await works(older, 'the aggregator set back');
  await replaceAggregator(newer);
  for (const agent of agents.slice(4)) await agent.upgrade(newer);
  await works(newer, 'newer everywhere');

  clearInterval(feeder);
  await until(() => agents.every(({ empty }) => empty), 'all rows');
  for (const { host, vm, made, acknowledged } of agents) {
    const stored = new Set(store.times(vm));
    t.ok(made.length > 20, `${host}: ${made.length} rows`);
    t.same(
      [...acknowledged].filter((time) => !stored.has(time)),
      [],
      `${host}: nothing acknowledged is lost`,
    );
    t.same(
      made.filter((time) => !stored.has(time)),
      [],
      `${host}: nothing at all is lost`,
    );
  }
});

t.test('what goes to an older end is sound by the schemas of its own time', async (t) => {
  const problem = frozenCheck(1);
  for (const kind of EVENT_KINDS) t.equal(problem(asVersion({ ...eventFrame('x'), kind }, 1)), null, kind);
  t.match(problem({ ...eventFrame('x'), kind: 'migrated' }), /event/, 'and would not be otherwise');
  t.equal(problem(asVersion(helloFrame(), 1)), null, 'hello');
  t.equal(problem(asVersion(inventoryFrame([vmUuid(1)]), 1)), null, 'inventory');
  t.equal(problem(asVersion(commandFrame(vmUuid(1)), 1)), null, 'command');
});
