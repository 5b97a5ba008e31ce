/**
 * Goal: a host agent whose state directory was lost takes up, by what the VM's metadata holds, what it wrote: however many writes came
 * after the one of which the metadata tells, none is taken for somebody else's, no original is forgotten, and what others write is told.
 */
import t from 'tap';
import { recordTextInMetadata } from '../../agent/core/journal-metadata.ts';
import { restore } from '../../agent/restore.ts';
import type { CpuSetting, Setting } from '../../shared/resources.ts';
import { A, type AgentWorld, agentWorld, calmVm } from '../support/agent-world.ts';

const cpu = (capCores: number | null, weight = 100): CpuSetting => ({ resource: 'cpu', weight, capCores });
const memory = (memoryMiB: number): Setting => ({ resource: 'memory', memoryMiB });

/** Written to several times; then the agent is killed and its state directory is gone when it starts again. */
async function written(targets: readonly Setting[]): Promise<AgentWorld> {
  const guest = calmVm(A, { baseline: [cpu(1.5, 120)], statsPeriodSeconds: 0, facts: { osFamily: 'linux', persistent: false } });
  const world = await agentWorld([guest], { bootDeadlineMs: 5000 });
  await world.run(30);
  for (const target of targets) {
    const id = world.command({ target, floor: 0.1 });
    await world.run(8);
    if (world.result(id)?.outcome !== 'applied') throw new Error(`${JSON.stringify(target)}: ${world.result(id)?.reason}`);
  }
  return world;
}

async function lostAndBegunAnew(world: AgentWorld): Promise<void> {
  world.files.remove(A);
  await world.restart();
  await world.run(60);
}

const foreign = (world: AgentWorld) => world.of('event').filter(({ kind }) => kind === 'foreign-writer');

const WRITES: [what: string, targets: Setting[]][] = [
  ['one write', [cpu(1, 80)]],
  ['several writes', [cpu(1, 80), cpu(0.8, 60), cpu(0.9, 70)]],
  ['several of two resources', [cpu(1, 80), memory(900), cpu(0.8, 60), memory(800)]],
];
for (const [what, targets] of WRITES) {
  t.test(`after ${what}`, async (t) => {
    const world = await written(targets);
    const before = world.writes.length;
    await lostAndBegunAnew(world);
    t.same(foreign(world), [], 'nobody else wrote');
    t.same(world.inventory(A)?.holds, []);
    t.equal(world.writes.length, before, 'nothing is written for it');
    t.match(world.inventory(A)?.baseline.slice(0, 2), [cpu(1.5, 120), memory(1024)], 'our values are no baseline');
    t.match(recordTextInMetadata(world.hypervisor.truth(A).metadata), /"originalSetting":\{"resource":"cpu","weight":120,"capCores":1.5\}/);
    const goesOn = world.command({ target: cpu(1.2, 90), pair: { epoch: 6, generation: 1 } });
    await world.run(3);
    t.match(world.result(goesOn), { outcome: 'applied' });
    t.ok((await restore(world.hypervisor, world.files, null)).every(({ ok }) => ok));
    const { cpu: restored, balloonTargetMiB, statsPeriodSeconds } = world.hypervisor.truth(A);
    t.same([restored, balloonTargetMiB, statsPeriodSeconds], [cpu(1.5, 120), 1024, 0], 'as before the first write');
    await world.stop();
  });
}

t.test('what somebody else writes after that is told', async (t) => {
  const world = await written([cpu(1, 80), cpu(0.8, 60)]);
  await lostAndBegunAnew(world);
  world.hypervisor.foreignWrite(A, cpu(0.6, 50));
  await world.run(15);
  t.match(foreign(world), [{ vm: A, resource: 'cpu', setting: cpu(0.6, 50) }]);
  t.match(world.inventory(A)?.holds, [{ resource: 'cpu' }]);
  await world.stop();
});

t.test('what is kept here is newer than the copy in the metadata: hands stay off for as long as was said last', async (t) => {
  const HOLD_SECONDS = 600;
  const world = await agentWorld([calmVm(A, { baseline: [cpu(1.5, 120)] })], { foreignHoldMs: HOLD_SECONDS * 1000 });
  await world.run(30);
  world.lease({ leaseMs: 7_200_000 });
  world.command({ target: cpu(1, 80) });
  await world.run(5);
  world.hypervisor.foreignWrite(A, cpu(0.6, 50));
  await world.run(HOLD_SECONDS / 2);
  world.hypervisor.foreignWrite(A, cpu(0.7, 55));
  await world.run(30);
  t.equal(foreign(world).length, 2);
  await world.restart();
  world.lease({ leaseMs: 7_200_000 });
  await world.run(HOLD_SECONDS / 2);
  const first = world.command({ target: cpu(0.5, 60), pair: { epoch: 6, generation: 1 } });
  await world.run(3);
  t.match(world.result(first), { outcome: 'refused', reason: /hands off/ }, 'the first hold is over, the second is not');
  t.same(world.hypervisor.truth(A).cpu, cpu(0.7, 55));
  await world.run(HOLD_SECONDS / 2);
  const second = world.command({ target: cpu(0.5, 60), pair: { epoch: 6, generation: 2 } });
  await world.run(3);
  t.match(world.result(second), { outcome: 'applied' });
  await world.stop();
});

t.test(
  'a write whose end was never read, then somebody else who changes part of it: what is left of ours goes back to its original',
  async (t) => {
    for (const restarted of [false, true]) {
      for (const first of [true, false]) {
        let [armed, away] = [false, false];
        const guest = calmVm(A, { baseline: [cpu(1.5, 120)] });
        const world = await agentWorld([guest], {}, ({ method }) => {
          if (armed && method === 'writeSetting') {
            away = true;
            return { kind: 'lostAnswer' };
          }
          return away && method === 'readSetting' ? { kind: 'error', code: 'HYPERVISOR_REFUSED', message: 'busy' } : null;
        });
        await world.run(30);
        if (!first) {
          world.command({ target: cpu(0.8, 60) });
          await world.run(5);
        }
        armed = true;
        const id = world.command({ target: cpu(1, 80) });
        await world.run(5);
        const name = `${first ? 'the first' : 'a later'} write${restarted ? ', the agent started anew' : ''}`;
        t.match(world.result(id), { outcome: 'failed' }, name);
        t.same(world.hypervisor.truth(A).cpu, cpu(1, 80), `${name}: it was carried out`);
        [armed, away] = [false, false];
        if (restarted) await world.restart();
        await world.run(20);
        t.same(foreign(world), [], `${name}: nobody else wrote`);
        world.hypervisor.foreignWrite(A, cpu(1, 3000));
        await world.run(20);
        t.match(foreign(world), [{ resource: 'cpu', setting: cpu(1, 3000) }], name);
        t.ok((await restore(world.hypervisor, world.files, null)).every(({ ok }) => ok));
        t.same(world.hypervisor.truth(A).cpu, cpu(1.5, 3000), `${name}: theirs stays, and the cap is as it was before ours`);
        await world.stop();
      }
    }
  },
);

/** What was in force when somebody else came: all of the write, or a part of it. */
const LEFT: [what: string, inForce: CpuSetting][] = [
  ['all of it was carried out', cpu(1, 80)],
  ['the weight alone was', cpu(0.8, 80)],
  ['the cap alone was', cpu(1, 60)],
];
const THEIRS: [what: string, theirs: (ours: CpuSetting) => CpuSetting, restored: CpuSetting][] = [
  ['the weight', ({ capCores }) => cpu(capCores, 3000), cpu(1.5, 3000)],
  ['the cap', ({ weight }) => cpu(0.3, weight), cpu(0.3, 120)],
  ['the cap, to none', ({ weight }) => cpu(null, weight), cpu(null, 120)],
  ['both', () => cpu(0.3, 3000), cpu(0.3, 3000)],
];
for (const [left, inForce] of LEFT) {
  t.test(`the agent dies amid a write of which ${left}, and somebody else writes before it is back: no original is lost`, async (t) => {
    for (const [part, theirsOver, restored] of THEIRS) {
      for (const first of [true, false]) {
        let [armed, away] = [false, false];
        const guest = calmVm(A, { baseline: [cpu(1.5, 120)] });
        const world = await agentWorld([guest], {}, ({ method }) => {
          if (armed && method === 'writeSetting') {
            away = true;
            return { kind: 'lostAnswer' };
          }
          return away && method === 'readSetting' ? { kind: 'error', code: 'HYPERVISOR_REFUSED', message: 'busy' } : null;
        });
        await world.run(30);
        if (!first) {
          world.command({ target: cpu(0.8, 60) });
          await world.run(5);
        }
        armed = true;
        world.command({ target: cpu(1, 80) });
        await world.run(1);
        // A part of a first write leaves the rest as it was.
        const { capCores, weight } = inForce;
        const ours = first ? cpu(capCores === 1 ? 1 : 1.5, weight === 80 ? 80 : 120) : inForce;
        const theirs = theirsOver(ours);
        world.hypervisor.foreignWrite(A, theirs);
        [armed, away] = [false, false];
        await world.restart();
        await world.run(20);
        const name = `${part}, over ${first ? 'the first' : 'a later'} write`;
        t.match(foreign(world), [{ resource: 'cpu', setting: theirs }], `${name}: told`);
        t.match(world.inventory(A)?.holds, [{ resource: 'cpu' }], `${name}: hands off`);
        t.same(world.hypervisor.truth(A).cpu, theirs, `${name}: nothing is written over it`);
        t.ok((await restore(world.hypervisor, world.files, null)).every(({ ok }) => ok));
        t.same(world.hypervisor.truth(A).cpu, restored, `${name}: theirs stays, and the rest is as it was before ours`);
        await world.stop();
      }
    }
  });
}
