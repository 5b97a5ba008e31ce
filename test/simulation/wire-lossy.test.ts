/**
 * Goal: on a network that drops, repeats and reorders single messages and cuts connections, rows still arrive, each row
 * once in the store, nothing acknowledged lost; results arrive at least once. Simulated time, fixed seeds and one drawn.
 */
import t, { type Test } from 'tap';
import { HOST_BUFFER_LIMITS, SampleBuffer } from '../../agent/core/sample-buffer.ts';
import { createUplink, type Uplink } from '../../agent/loops/uplink.ts';
import { createIngest } from '../../aggregator/ingest/ingest.ts';
import { createSimulatedNetwork } from '../../shared/net/simulated.ts';
import { createPrng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX } from '../../shared/protocol/frames.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import {
  commandFrame,
  helloFrame,
  inventoryFrame,
  MemoryStore,
  RecordingSink,
  resultFrame,
  rowsOf,
  vmUuid,
} from '../support/wire-world.ts';

interface Outcome {
  rowsMade: number;
  rowsStored: number;
  lostAcknowledged: number;
  commandsSent: number;
  commandsAnswered: number;
  commandRepeats: number;
  connects: number;
  fates: Record<'dropped' | 'repeated' | 'delayed', number>;
}

async function run(t: Test, seed: number, lossy: boolean): Promise<Outcome> {
  const random = createPrng(seed);
  const time = new SimulatedTime(random.stream('time'), 1_700_000_000_000);
  const clock = new NodeClock(time);
  const store = new MemoryStore();
  const sink = new RecordingSink();
  const ingest = createIngest({ clock, store, sink, epoch: 1, ownsVm: (vm) => sink.owners.get(vm) ?? null });
  const fates = { dropped: 0, repeated: 0, delayed: 0 };
  const network = random.stream('network');
  let faulty = true;
  const net = createSimulatedNetwork({
    clock,
    name: 'host-a',
    maxBytes: FRAME_BYTES_MAX,
    lossy,
    fate: () => {
      const draw = faulty ? network.next() : 1;
      if (draw < 0.1) {
        fates.dropped++;
        return [];
      }
      if (draw < 0.2) {
        fates.repeated++;
        return [1 + network.below(50), 1 + network.below(500)];
      }
      if (draw < 0.4) fates.delayed++;
      return [draw < 0.4 ? network.below(2000) : 1];
    },
  });
  net.onConnection((transport) => ingest.accept(transport));
  const vms = [vmUuid(1), vmUuid(2), vmUuid(3)];
  const buffer = new SampleBuffer(HOST_BUFFER_LIMITS);
  const seen = new Set<string>();
  let commandRepeats = 0;
  const uplink: Uplink = createUplink({
    role: 'host',
    connect: net.connect,
    clock,
    prng: random.stream('uplink'),
    hello: () => helloFrame(),
    buffer,
    ackTimeoutMs: 10_000,
    handlers: {
      onWelcome: () => uplink.send(inventoryFrame(vms)),
      onCommand: (command) => {
        if (seen.has(command.commandId)) commandRepeats++;
        seen.add(command.commandId);
        uplink.send(resultFrame(command.vm, command.commandId));
      },
    },
  });
  uplink.start();
  const acknowledged: string[] = [];
  let rowsMade = 0;
  let commandsSent = 0;
  const unanswered = new Set<string>();
  const feeder = clock.setInterval(() => {
    const label = clock.wallMs();
    for (const vm of vms) {
      rowsMade++;
      buffer.append(rowsOf(vm, [label]), clock.monotonicMs(), (stored) => stored && acknowledged.push(`${vm}/host/${label}`));
    }
    // Inventories are repeated by the agent's own loop; commands by the executor until they are answered.
    if (rowsMade % 30 === 0) uplink.send(inventoryFrame(vms));
    for (const result of sink.results.splice(0)) unanswered.delete(result.commandId);
    if (rowsMade % 15 === 0) unanswered.add(`c-${++commandsSent}`);
    for (const id of unanswered) ingest.send('host-a' as never, commandFrame(vms[0]!, id));
  }, 1000);
  const cutter = clock.setInterval(() => net.dropConnections(), 47_000);
  await time.runUntil(300_000);
  faulty = false;
  cutter.cancel();
  feeder.cancel();
  for (let now = 300_000; now < 420_000; now += 1000) {
    await time.runUntil(now + 1000);
    for (const result of sink.results.splice(0)) unanswered.delete(result.commandId);
    if ((now / 1000) % 10 === 0) {
      uplink.send(inventoryFrame(vms));
      for (const id of unanswered) ingest.send('host-a' as never, commandFrame(vms[0]!, id));
    }
  }
  const lostAcknowledged = acknowledged.filter((key) => !store.rows.has(key)).length;
  const connects = uplink.metrics().uplink_connects_total ?? 0;
  const dropped = buffer.stats.droppedRows;
  t.same(
    Object.values(dropped).filter((rows) => rows > 0),
    [],
    JSON.stringify(dropped),
  );
  t.ok(buffer.empty, `seed ${seed}: everything acknowledged in the end`);
  return {
    rowsMade,
    rowsStored: store.rows.size,
    lostAcknowledged,
    commandsSent,
    commandsAnswered: commandsSent - unanswered.size,
    commandRepeats,
    connects,
    fates,
  };
}

const drawn = Math.floor(Math.random() * 2 ** 31);
for (const seed of [1, 2, 3, drawn]) {
  for (const lossy of [true, false]) {
    t.test(`seed ${seed}, ${lossy ? 'single messages lost, repeated, reordered' : 'connections cut'}`, async (t) => {
      const outcome = await run(t, seed, lossy);
      t.comment(JSON.stringify(outcome));
      t.equal(outcome.rowsStored, outcome.rowsMade, 'every row, once');
      t.equal(outcome.lostAcknowledged, 0);
      t.equal(outcome.commandsAnswered, outcome.commandsSent);
      t.ok(outcome.connects > 3, `${outcome.connects} connections`);
      if (lossy) t.ok(outcome.fates.dropped > 50 && outcome.fates.repeated > 50 && outcome.commandRepeats > 0, 'there were faults');
    });
  }
}
