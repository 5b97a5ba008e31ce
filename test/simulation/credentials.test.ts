/**
 * Goal: a login end to end on simulated time with the real aggregator, host agent and guest agents: sealed in the guest, opened
 * by the user's key alone, the plain secret in no frame, log, event or ledger entry; a guest starved of memory is told late for
 * that reason and what is done, and its neighbour, slow or quick without being starved, is not.
 */
import { generateKeyPairSync } from 'node:crypto';
import { compactDecrypt } from 'jose';
import t from 'tap';
import { sealTo } from '../../agent/actuators/credential.ts';
import { createGuestAgent } from '../../agent/guest-agent.ts';
import { createHostAgent } from '../../agent/host-agent.ts';
import { createSimulatedHypervisor } from '../../agent/hypervisor/simulated.ts';
import type { CredentialMaker } from '../../agent/loops/credential-desk.ts';
import { createAggregator } from '../../aggregator/aggregator.ts';
import { decisionConfig } from '../../aggregator/config.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';
import { createMemorySeriesStore } from '../../aggregator/store/sqlite/memory-series-store.ts';
import { type VmId, vmId } from '../../shared/ids.ts';
import { createLogger } from '../../shared/log.ts';
import { createSimulatedNetwork, type SimulatedNetwork } from '../../shared/net/simulated.ts';
import type { Connect } from '../../shared/net/transport.ts';
import { createPrng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX, GUEST_FRAME_BYTES_MAX, type PublicKey } from '../../shared/protocol/frames.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import { createMemoryStateFiles } from '../../simulation/state-files.ts';
import { calmVm, SETTINGS } from '../support/agent-world.ts';

const CHANNEL = 'org.headroom.agent.0';
const STARVED = vmId('00000000-0000-4000-8000-00000000000a');
const QUICK = vmId('00000000-0000-4000-8000-00000000000b');
const SLOW = vmId('00000000-0000-4000-8000-00000000000c');
const CLOSED = vmId('00000000-0000-4000-8000-00000000000d');
const SECRET = 'the-secret-that-never-leaves';

/** How long each phase of a guest's work takes, and the share of time in which it waits for memory. */
const GUESTS: { vm: VmId; workMs: number; waits: number; allowed: boolean }[] = [
  { vm: STARVED, workMs: 15_000, waits: 0.8, allowed: true },
  { vm: QUICK, workMs: 200, waits: 0, allowed: true },
  { vm: SLOW, workMs: 12_000, waits: 0.02, allowed: true },
  { vm: CLOSED, workMs: 200, waits: 0, allowed: false },
];

async function world() {
  const time = new SimulatedTime(createPrng(3), Date.UTC(2026, 2, 3, 8));
  const clock = new NodeClock(time);
  const logs: string[] = [];
  const log = createLogger((line) => logs.push(line), clock, 'debug');
  const ledger = createMemoryLedgerStore();
  const aggregator = await createAggregator({
    ...{ clock, prng: createPrng(1), series: createMemorySeriesStore({ clock }), ledger, log, version: 'test' },
    policySource: { read: async () => 'version: 1\ndefaults:\n  cpu: {mode: observe}\n  memory: {mode: observe}\n' },
    config: decisionConfig({ stepMs: 5000, planPeriodMs: 5000, seasonsMs: [] }),
  });
  aggregator.start();
  const wire: Buffer[] = [];
  const uplink = createSimulatedNetwork({ clock, name: 'host-1', maxBytes: FRAME_BYTES_MAX });
  uplink.onConnection((transport) => aggregator.accept(transport));
  const channels = new Map<string, SimulatedNetwork>();
  const channelFacts = (vm: VmId) => ({
    osFamily: 'linux' as const,
    channels: [{ name: CHANNEL, path: `/channel/${vm}`, connected: true }],
  });
  const hypervisor = createSimulatedHypervisor({
    ...{ clock, cpuCores: 8, memoryMiB: 16_384 },
    vms: GUESTS.map(({ vm }) => calmVm(vm, { facts: channelFacts(vm) })),
  });
  const host = createHostAgent({
    ...{ hypervisor, clock, prng: createPrng(2), connect: uplink.connect, channelName: CHANNEL, log, bootId: 'boot', version: 'test' },
    openChannel: (channel, onSession) => {
      const network = createSimulatedNetwork({ clock, name: channel.name, maxBytes: GUEST_FRAME_BYTES_MAX });
      network.onConnection(onSession);
      channels.set(channel.vm, network);
      return { close: () => network.setPartitioned(true) };
    },
    collectors: [],
    counters: { read: (vm) => hypervisor.counters(vm), forget: () => undefined },
    files: createMemoryStateFiles(),
    settings: SETTINGS,
    balloonManager: () => null,
  });
  void host.start();
  await time.runUntil(time.nowMs + 3000);
  for (const guest of GUESTS) {
    const network = channels.get(guest.vm);
    if (network === undefined) throw new Error(`no channel was opened for ${guest.vm}`);
    createGuestAgent({
      ...{
        clock,
        prng: createPrng(4),
        connect: tapped(network.connect, wire),
        relayed: true,
        vm: guest.vm,
        collectors: [],
        sampleMs: 1000,
        log,
      },
      ...{ bootId: 'guest', version: 'test', cpus: null },
      credentials: guest.allowed ? makerOf(clock, guest.workMs) : null,
      stalls: () => ({ cpu: 0, memory: guest.waits * clock.monotonicMs(), io: 0 }),
    }).start();
  }
  /** Encryption happens outside of simulated time: it is given real time between simulated moments. */
  const run = async (seconds: number): Promise<void> => {
    for (const untilMs = time.nowMs + seconds * 1000; time.nowMs < untilMs; ) {
      await time.runUntil(Math.min(untilMs, time.nowMs + 250));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  await run(12);
  return { aggregator, ledger, logs, wire, run };
}

/** Everything that goes up the channel, as bytes. */
function tapped(connect: Connect, wire: Buffer[]): Connect {
  return async () => {
    const transport = await connect();
    const send = transport.send.bind(transport);
    transport.send = (bytes) => {
      wire.push(Buffer.from(bytes));
      return send(bytes);
    };
    return transport;
  };
}

function makerOf(clock: NodeClock, workMs: number): CredentialMaker {
  const after = (): Promise<void> => new Promise((resolve) => clock.setTimeout(resolve, workMs / 2));
  return {
    account: 'ops',
    method: 'password',
    newSecret: async () => {
      await after();
      return { text: SECRET, expiresAtMs: null, install: after };
    },
    seal: sealTo,
  };
}

t.test('sealed end to end; late for want of memory is told as such, and only then', async (t) => {
  const { aggregator, ledger, logs, wire, run } = await world();
  const { service } = aggregator;
  const { publicKey, privateKey } = generateKeyPairSync('x25519');
  const key = publicKey.export({ format: 'jwk' }) as PublicKey;
  const ids = new Map(GUESTS.map(({ vm }) => [vm, service.askForLogin(vm, key, 'test').id]));
  const login = (vm: VmId) => service.login(vm, ids.get(vm)!)!;
  const words = (vm: VmId): string =>
    service.notifications
      .recent(vm, 100)
      .filter(({ kind }) => kind === 'credential')
      .map(({ message }) => message)
      .join('\n');
  await run(3);
  t.match(login(QUICK), { state: 'ready', account: 'ops', delay: null });
  t.match(login(STARVED), { state: 'pending', delay: null });
  t.match(login(CLOSED), { state: 'failed', reason: /--credential-account NAME/ });
  await run(5);
  t.match(login(STARVED), { state: 'delayed', delay: { causes: [{ resource: 'memory', seenBy: 'guest' }] } });
  t.match(login(STARVED).delay?.message, /short of memory \(something waited for it 80 % of the time\); .*mode observe/);
  t.match(login(SLOW), { state: 'delayed', delay: { causes: [] } }, 'slow, and no resource is blamed');
  await run(12);
  for (const vm of [STARVED, QUICK, SLOW]) {
    const { state, sealed, totalMs, phases, unaccountedMs } = login(vm);
    t.equal(state, 'ready');
    t.equal(new TextDecoder().decode((await compactDecrypt(sealed!, privateKey)).plaintext), SECRET);
    t.ok(Math.abs(phases.reduce((sum, { ms }) => sum + ms, unaccountedMs) - totalMs) < 1, 'phases and the rest are the whole');
  }
  t.match(words(STARVED), /is delayed after .* short of memory/);
  t.match(words(STARVED), /is ready .* it was delayed .* short of memory/);
  t.notMatch(words(QUICK), /delayed|short of/);
  t.notMatch(words(SLOW), /short of (memory|CPU|disk) \(/);
  const entries = await ledger.entries({ limit: 1000 });
  t.ok(entries.filter(({ body }) => body.kind === 'operator' && body.action === 'login asked for').length === GUESTS.length);
  const everything = JSON.stringify([
    entries,
    logs,
    service.events.recent(2000),
    GUESTS.map(({ vm }) => [login(vm), service.notifications.recent(vm, 100)]),
  ]);
  t.notOk(everything.includes(SECRET), 'the plain secret is nowhere outside of the guest');
  const sent = Buffer.concat(wire);
  t.ok(sent.includes(login(QUICK).sealed!), 'what the guests sent was listened to');
  t.notOk(sent.includes(SECRET), 'nor in what it sent');
});
