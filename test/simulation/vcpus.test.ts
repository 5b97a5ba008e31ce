/**
 * Goal: a real guest agent and a real host agent hold vCPUs offline only for as long as somebody may ask for it: they come back
 * when the guest needs them, at the kill switch, when the lease runs out, when somebody else writes, when
 * the host falls silent, at the agent's end, and after the death of either agent. Refused and half-done orders leave nothing.
 */
import t from 'tap';
import type { GuestCpus } from '../../agent/guest-cpus.ts';
import { SILENT_HOST_MS } from '../../agent/loops/cpu-keeper.ts';
import { createPrng } from '../../shared/prng.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { CHANNEL_NAME, GuestNode } from '../../simulation/guest-node.ts';
import { A, type AgentWorld, agentWorld, calmVm } from '../support/agent-world.ts';

const VCPUS = 8;

interface Guest {
  world: AgentWorld;
  node: GuestNode;
  cpus: GuestCpus & { online: number; obeys: boolean; fails: boolean };
  /** Cores that its programs want. */
  wants: number;
  /** Of its definition; told of when it is defined anew. */
  labels: Record<string, string>;
  /** The result of an order for so many. */
  order(vcpus: number, over?: Partial<FrameOf<'guest-command'>>): Promise<FrameOf<'result'>>;
  told(): number | undefined;
}

async function guestWorld(labels: Record<string, string> = { vcpus: 'allow' }): Promise<Guest> {
  const cpus = {
    ...{ online: VCPUS, held: false, obeys: true, fails: false },
    set(vcpus: number): number {
      if (this.fails) throw new Error('the kernel refused to set cpu3 to 0');
      if (this.obeys) this.online = vcpus;
      this.held = vcpus < VCPUS;
      return vcpus;
    },
    restore(): number {
      Object.assign(this, { online: VCPUS, held: false });
      return VCPUS;
    },
  };
  let node: GuestNode | undefined;
  const guest = { wants: 0.5, cpus, labels: { ...labels } } as Guest;
  const facts = { osFamily: 'linux' as const, labels: guest.labels, channels: [{ name: CHANNEL_NAME, path: '/guest', connected: true }] };
  const cpuDemandCores = (): number => Math.min(guest.wants, cpus.online);
  guest.world = await agentWorld(
    [calmVm(A, { vcpus: VCPUS, cpuDemandCores, facts })],
    {},
    undefined,
    undefined,
    (time) => (_, onSession) => {
      if (node === undefined) {
        const truth = () => ({ balloonMiB: 1024, workingSetMiB: 300 }) as never;
        const log = { debug() {}, info() {}, warn() {}, error() {} } as never;
        node = new GuestNode({ time, prng: createPrng(3), vm: A, lies: false, sampleMs: 1000, flushMs: 1000, truth, cpus, log });
        guest.node = node;
        node.boot();
      }
      return node.openChannel(onSession);
    },
  );
  let orders = 0;
  guest.order = async (vcpus, over = {}) => {
    const commandId = `plan/vcpus/${++orders}`;
    const pair = { epoch: 5, generation: orders };
    const action = { kind: 'cpus-online', vcpus, ...(vcpus === VCPUS ? { original: true } : {}) } as const;
    guest.world.send({ type: 'guest-command', commandId, vm: A, pair, action, ...over });
    await guest.world.run(2);
    return guest.world.result(over.commandId ?? commandId)!;
  };
  guest.told = () => guest.world.inventory(A)?.vcpusOnline;
  guest.world.lease();
  await guest.world.run(10);
  return guest;
}

const restored = ({ world }: Guest): string[] =>
  world
    .of('event')
    .filter(({ kind }) => kind === 'restored')
    .map(({ message }) => message);

const back = ({ world }: Guest) => world.of('event').flatMap(({ vcpus }) => vcpus ?? []);

t.test('taken and brought back by order, and told as the guest answers', async (t) => {
  const guest = await guestWorld();
  t.equal(guest.told(), VCPUS);
  t.match(await guest.order(2), { outcome: 'applied', vcpusOnline: 2, readBack: null });
  await guest.world.run(6);
  t.same([guest.cpus.online, guest.told()], [2, 2]);
  t.match(await guest.order(VCPUS), { outcome: 'applied', vcpusOnline: VCPUS });
  await guest.world.run(6);
  t.same([guest.cpus.online, guest.told(), restored(guest)], [VCPUS, VCPUS, []]);
  await guest.world.stop();
});

t.test('no label, more than it has, an older order, a job: refused, and nothing is told where none may change it', async (t) => {
  const plain = await guestWorld({});
  t.equal(plain.told(), undefined);
  t.match(await plain.order(2), { outcome: 'refused', reason: /not labelled vcpus=allow/ });
  t.equal(plain.cpus.online, VCPUS);
  await plain.world.stop();
  const guest = await guestWorld();
  t.match(await guest.order(VCPUS + 1), { outcome: 'refused', reason: /it has 8/ });
  t.match(await guest.order(4), { outcome: 'applied' });
  t.match(await guest.order(2, { commandId: 'late', pair: { epoch: 4, generation: 9 } }), {
    outcome: 'refused',
    reason: /a newer command/,
  });
  t.equal(guest.cpus.online, 4);
  await guest.world.stop();
});

t.test('needed at once: saturated for two seconds, with no aggregator there', async (t) => {
  const guest = await guestWorld();
  await guest.order(2);
  guest.world.setPartitioned(true);
  guest.wants = 6;
  await guest.world.run(1);
  t.equal(guest.cpus.online, 2, 'a burst of a second is what they are there for');
  await guest.world.run(5);
  t.equal(guest.cpus.online, VCPUS);
  guest.world.setPartitioned(false);
  await guest.world.run(40);
  t.match(restored(guest), [/all its vCPUs are online again: it uses 2\.00 cores (and waits for .* )?of the 2 that were online/]);
  t.equal(guest.told(), VCPUS);
  t.match(back(guest), [{ from: 2, needed: true }], 'which is told apart from what nobody may hold any more');
  await guest.world.stop();
});

t.test('a guest that says so and does not: found out by what the host measures', async (t) => {
  const guest = await guestWorld();
  guest.wants = 5;
  guest.cpus.obeys = false;
  t.match(await guest.order(2), { outcome: 'applied', vcpusOnline: 2 });
  await guest.world.run(8);
  t.match(restored(guest), [/it uses 5\.\d\d cores, more than the 2 it says are online/]);
  t.equal(guest.told(), VCPUS);
  await guest.world.stop();
});

t.test("the label is taken away while it holds some: all come back, and their number is nobody's business any more", async (t) => {
  const guest = await guestWorld();
  await guest.order(2);
  delete guest.labels.vcpus;
  guest.world.hypervisor.redefine(A);
  await guest.world.run(10);
  t.same([guest.cpus.online, guest.told()], [VCPUS, undefined]);
  t.match(restored(guest), [/not labelled vcpus=allow/]);
  t.same(back(guest), [{ from: 2, needed: false }]);
  t.match(await guest.order(2), { outcome: 'refused', reason: /not labelled/ });
  await guest.world.stop();
});

t.test('an order that fails half-way: all come back', async (t) => {
  const guest = await guestWorld();
  await guest.order(4);
  guest.cpus.fails = true;
  t.match(await guest.order(2), { outcome: 'failed', reason: /the kernel refused/ });
  await guest.world.run(6);
  t.same([guest.cpus.online, guest.told()], [VCPUS, VCPUS]);
  await guest.world.stop();
});

t.test('kill switch of VM and host, lease over, foreign writer', async (t) => {
  const ends: Record<string, (guest: Guest) => Promise<unknown> | unknown> = {
    'kill switch: aggregator: stop it': ({ world }) => world.send({ type: 'kill-switch', vm: A, engaged: true, reason: 'stop it' }),
    'kill switch: aggregator: all of it': ({ world }) => world.send({ type: 'kill-switch', vm: null, engaged: true, reason: 'all of it' }),
    'no aggregator renewed the lease': async ({ world }) => {
      world.lease({ leaseMs: 5000 });
      await world.run(1);
      world.setPartitioned(true);
    },
    'hands off': async ({ world }) => {
      world.command({ target: { resource: 'cpu', weight: 150, capCores: null } });
      await world.run(3);
      await world.hypervisor.writeSetting(A, { resource: 'cpu', weight: 300, capCores: null });
    },
  };
  for (const [why, end] of Object.entries(ends)) {
    const guest = await guestWorld();
    await guest.order(2);
    await end(guest);
    await guest.world.run(20);
    t.equal(guest.cpus.online, VCPUS, why);
    guest.world.setPartitioned(false);
    await guest.world.run(40);
    t.ok(
      restored(guest).some((message) => message.includes(why)),
      `${why}: ${restored(guest)}`,
    );
    await guest.world.stop();
  }
});

t.test('the host agent falls silent, or dies and comes back; the guest agent ends', async (t) => {
  const guest = await guestWorld();
  await guest.order(2);
  await guest.world.stop();
  await guest.world.run(SILENT_HOST_MS / 1000 - 20);
  t.equal(guest.cpus.online, 2, 'a host agent that is renewed is back by then');
  await guest.world.run(40);
  t.equal(guest.cpus.online, VCPUS, 'one that is gone for good is not waited for');

  const crashed = await guestWorld();
  await crashed.order(2);
  await crashed.world.restart();
  await crashed.world.run(10);
  t.equal(crashed.cpus.online, VCPUS, 'who knows nothing of it holds nothing');
  await crashed.world.stop();

  const stopped = await guestWorld();
  await stopped.order(2);
  const ended = stopped.node.stop();
  await stopped.world.run(10);
  await ended;
  t.same([stopped.cpus.online, stopped.told()], [VCPUS, undefined]);
  await stopped.world.stop();
});
