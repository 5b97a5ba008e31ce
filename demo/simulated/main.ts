/**
 * The process that plays host and guests on the simulated stage: the host agent's own code over a simulated hypervisor, and
 * one guest agent per VM over simulated channels. The aggregator it speaks to is real. Input: the aggregator's address and
 * a state directory as arguments; ends on SIGTERM.
 */
import { randomUUID } from 'node:crypto';
import { createGuestAgent, type GuestAgent } from '../../agent/guest-agent.ts';
import { createHostAgent } from '../../agent/host-agent.ts';
import { openStateDir } from '../../agent/state-dir.ts';
import { VERSION } from '../../agent/version.ts';
import { systemClock } from '../../shared/clock.ts';
import { errorText } from '../../shared/errors.ts';
import { hostId } from '../../shared/ids.ts';
import { createLogger } from '../../shared/log.ts';
import { createSimulatedNetwork } from '../../shared/net/simulated.ts';
import { webSocketConnect } from '../../shared/net/websocket.ts';
import { createPrng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX, GUEST_FRAME_BYTES_MAX } from '../../shared/protocol/frames.ts';
import { AGENT_CHANNEL } from '../guests/domain-xml.ts';
import { guestCollector, hostCollector, offeredFrom, SIMULATED_GUESTS, simulatedMachines } from './machines.ts';

const [aggregator, stateDirectory] = process.argv.slice(2);
if (aggregator === undefined || stateDirectory === undefined) {
  console.error('usage: simulated/main.ts AGGREGATOR-URL STATE-DIRECTORY');
  process.exit(64);
}

const clock = systemClock;
const prng = createPrng(1);
const log = createLogger((line) => void process.stdout.write(line), clock, 'info');
const offered = offeredFrom(clock.wallMs());
const hypervisor = simulatedMachines(clock, offered);
const channels = new Map(
  SIMULATED_GUESTS.map((guest) => [
    guest.id as string,
    createSimulatedNetwork({ clock, name: guest.name, maxBytes: GUEST_FRAME_BYTES_MAX }),
  ]),
);

const host = createHostAgent({
  hypervisor,
  clock,
  prng: prng.stream('host'),
  connect: webSocketConnect(aggregator, FRAME_BYTES_MAX),
  openChannel: ({ vm }, onSession) => {
    const channel = channels.get(vm);
    channel?.onConnection(onSession);
    return { close: () => channel?.dropConnections() };
  },
  channelName: AGENT_CHANNEL,
  collectors: [hostCollector(hypervisor)],
  counters: { read: (vm) => hypervisor.counters(vm), forget: () => undefined },
  files: openStateDir(stateDirectory),
  settings: {
    host: hostId('simulated-host'),
    include: [],
    sampleMs: 1000,
    guardMs: 1000,
    statsMs: 5000,
    balloonStatsMs: 1000,
    settingsMs: 5000,
    inventoryMs: 10_000,
    bootDeadlineMs: 60_000,
    foreignHoldMs: 86_400_000,
    foreignRestMs: 10_000,
    balloonSettleMs: 2000,
    memoryReserveMiB: 256,
    failSafeGrowthsPerMinute: 3,
    startupLeaseMs: 60_000,
  },
  log,
  bootId: randomUUID(),
  version: VERSION,
  balloonManager: () => null,
});

const guests: GuestAgent[] = SIMULATED_GUESTS.map((guest) =>
  createGuestAgent({
    clock,
    prng: prng.stream(guest.name),
    connect: channels.get(guest.id)!.connect,
    relayed: true,
    vm: guest.id,
    collectors: [guestCollector(guest, hypervisor, clock, offered)],
    cpus: null,
    sampleMs: 1000,
    log,
    bootId: randomUUID(),
    version: VERSION,
  }),
);

async function stop(): Promise<void> {
  await Promise.all(guests.map((guest) => guest.stop()));
  await host.stop();
}

await host.start();
for (const guest of guests) guest.start();
process.once('SIGTERM', () => {
  stop().then(
    () => process.exit(0),
    (error: unknown) => {
      log.error('could not stop cleanly', { error: errorText(error) });
      process.exit(1);
    },
  );
});
