/**
 * Goal: a host agent that begins anew has something for its fast guard to hand out as soon as it was heard, not plans later;
 * and one whose connection broke keeps what its guard had.
 */
import t from 'tap';
import { FINE } from '../../simulation/paces.ts';
import { World } from '../../simulation/world.ts';

const HOUR_MS = 3_600_000;
/** Of the plans' minute: the agent's look after ten seconds, a second until it is sent, two until it is planned for. */
const ARMED_MS_MAX = 15_000;

/** As the agent itself has it. */
const reserveMiB = (world: World): number => world.hosts[0]!.guardReserveMiB!;

const PLAN_MS = FINE.planMs;

/** Up to just after a plan in its turn, so that the next one is most of a minute away. */
async function learnt(): Promise<World> {
  const world = new World({ seed: 43, hosts: 1, vms: 5, hours: 2, faults: new Set(), paces: FINE });
  world.start();
  await world.watchUntil(2 * HOUR_MS);
  const plans = (): number => world.aggregator.running!.service.plans(1)[0]!.nowMs;
  const before = plans();
  while (plans() === before) await world.time.runUntil(world.time.nowMs + 1000);
  return world;
}

t.test('an agent that begins anew', async (t) => {
  const world = await learnt();
  const before = reserveMiB(world);
  t.ok(before > 0, `${before} MiB before`);
  const host = world.hosts[0]!;
  host.killAgent();
  world.networks[0]!.dropConnections();
  world.startAgent(host);
  t.equal(reserveMiB(world), 0, 'whoever begins has nothing');
  await world.time.runUntil(world.time.nowMs + ARMED_MS_MAX);
  t.ok(reserveMiB(world) > 0 && reserveMiB(world) <= host.hypervisor.memory().totalMiB / 2, `${reserveMiB(world)} MiB`);
  t.same(world.invariants.broken, []);
});

t.test('an agent whose connection broke', async (t) => {
  const world = await learnt();
  const before = reserveMiB(world);
  world.networks[0]!.dropConnections();
  await world.time.runUntil(world.time.nowMs + ARMED_MS_MAX);
  t.ok(world.aggregator.running!.service.hosts()[0]!.connected);
  t.equal(reserveMiB(world), before, 'it goes on with what it had');
  await world.time.runUntil(world.time.nowMs + PLAN_MS);
  t.ok(reserveMiB(world) > 0, `${reserveMiB(world)} of ${before} MiB after a plan`);
});
