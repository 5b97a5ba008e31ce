/**
 * Goal: the host agent's own loops, on simulated time: what it reports, how it carries out commands, and each safety rule
 * that lives in it: journal, lease fail-safe, foreign writers, kill switch, fast guard, restart, stuck VMs.
 */
import t, { type Test } from 'tap';
import { recordTextInMetadata } from '../../agent/core/journal-metadata.ts';
import { restore } from '../../agent/restore.ts';
import type { CpuSetting, Setting } from '../../shared/resources.ts';
import { VM_HOST_FIELDS } from '../../shared/telemetry.ts';
import { A, agentWorld, B, calmVm } from '../support/agent-world.ts';

const unsealed = (metadata: string | null): string => recordTextInMetadata(metadata) ?? '';
const cpu = (capCores: number | null, weight = 100): CpuSetting => ({ resource: 'cpu', weight, capCores });
const memory = (memoryMiB: number): Setting => ({ resource: 'memory', memoryMiB });

t.test('inventory and telemetry', async (t) => {
  const world = await agentWorld([calmVm(A), calmVm(B, { facts: { osFamily: 'linux', balloonModel: 'none' } })]);
  await world.run(40);
  t.match(world.inventory(A), {
    name: 'vm-a',
    state: 'ready',
    vcpus: 2,
    bootMemoryMiB: 1024,
    eligibility: { cpu: { allowed: true }, memory: { allowed: true } },
    baseline: [{ resource: 'cpu' }, memory(1024), {}, {}],
    current: [cpu(null), memory(1024), {}, {}],
    guestAgent: false,
  });
  t.match(world.inventory(B)?.eligibility.memory, { allowed: false, reason: /no balloon/ });
  t.equal(world.of('inventory')[0]!.full, true);
  const rows = world.blocks.filter((block) => block.subject.id === A);
  t.same([...new Set(rows.map((block) => block.fields.join()))], [VM_HOST_FIELDS.join()]);
  const seen = (field: string): number[] =>
    rows
      .flatMap((block) => [...block.timesMs].map((_, row) => block.values[row * block.fields.length + block.fields.indexOf(field)]!))
      .filter((value) => !Number.isNaN(value));
  t.ok(Math.abs(seen('vm_cpu.usageCores').at(-1)! - 0.5) < 0.05);
  t.equal(seen('vm_memory.balloonMiB').at(-1), 1024);
  t.ok(seen('vm_memory.balloonMiB').length < seen('vm_cpu.usageCores').length / 1.5, 'slow readings are not repeated');
  t.ok(seen('vm_memory.availableMiB').length > 0 && seen('vm_memory.statsAgeMs').at(-1)! < 5000);
  t.same(seen('vm_cpu.capCores'), [], 'no cap is unknown, not zero');
  t.equal(world.blocks.filter((block) => block.subject.kind === 'host').length > 0, true);
  await world.stop();
});

t.test('a booting VM is launching, then ready on the word of the hypervisor; other states', async (t) => {
  const world = await agentWorld([calmVm(A)]);
  t.equal(world.inventory(A)?.state, 'launching');
  await world.run(90);
  t.equal(world.inventory(A)?.state, 'ready');
  world.hypervisor.setPower(A, 'paused');
  await world.run(3);
  t.equal(world.inventory(A)?.state, 'paused');
  world.hypervisor.setPower(A, 'shutoff');
  await world.run(3);
  t.equal(world.inventory(A)?.state, 'stopped');
  t.ok(world.of('event').some(({ kind }) => kind === 'lifecycle'));
  world.hypervisor.removeVm(A);
  await world.run(3);
  t.ok(world.of('inventory').some(({ gone }) => gone.includes(A)));
  await world.stop();
});

t.test('commands: applied and read back, repeated, skipped, superseded, refused', async (t) => {
  const world = await agentWorld([calmVm(A)]);
  await world.run(20);
  const first = world.command({ target: cpu(1, 80) });
  await world.run(2);
  t.match(world.result(first), { outcome: 'applied', readBack: cpu(1, 80) });
  t.same(world.hypervisor.truth(A).cpu, cpu(1, 80));
  t.match(world.inventory(A)?.current[0], cpu(1, 80));
  t.same(world.inventory(A)?.pairs, [{ resource: 'cpu', pair: { epoch: 5, generation: 1 } }]);

  const writes = world.writes.length;
  world.command({ commandId: first, pair: { epoch: 5, generation: 1 }, previous: cpu(null), target: cpu(1, 80) });
  await world.run(2);
  t.equal(world.of('result').filter(({ commandId }) => commandId === first).length, 2, 'a repeat is answered');
  t.equal(world.writes.length, writes, 'and nothing is written for it');

  const mismatched = world.command({ previous: cpu(0.7), target: cpu(0.9), pair: { epoch: 5, generation: 10 } });
  await world.run(2);
  t.match(world.result(mismatched), { outcome: 'skipped', readBack: cpu(1, 80) });
  const late = world.command({ target: cpu(0.9), pair: { epoch: 5, generation: 9 } });
  await world.run(2);
  t.match(world.result(late), { outcome: 'refused', reason: /below/ });
  await world.stop();
});

t.test('commands: what waits behind a newer one is not carried out', async (t) => {
  const world = await agentWorld([calmVm(A)], {}, (call) => (call.method === 'writeSetting' ? { kind: 'delay', ms: 1000 } : null));
  await world.run(20);
  const first = world.command({ target: cpu(1, 80), pair: { epoch: 5, generation: 19 } });
  const older = world.command({ previous: cpu(1, 80), target: cpu(0.9, 80), pair: { epoch: 5, generation: 20 } });
  const newer = world.command({ previous: cpu(1, 80), target: cpu(0.8, 80), pair: { epoch: 5, generation: 21 } });
  await world.run(5);
  t.same(
    [first, older, newer].map((id) => world.result(id)?.outcome),
    ['applied', 'superseded', 'applied'],
  );
  t.equal(world.hypervisor.truth(A).cpu.capCores, 0.8);
  const unknown = world.command({ vm: B, target: cpu(1), previous: cpu(null) });
  await world.run(2);
  t.match(world.result(unknown), { outcome: 'refused', reason: /not on this host/ });
  await world.stop();
});

t.test('memory: a balloon on its way is reported where it is', async (t) => {
  const world = await agentWorld([calmVm(A, { balloonMiBPerSecond: 50 })]);
  await world.run(30);
  const command = world.command({ target: memory(700), floor: 64, pair: { epoch: 5, generation: 1 } });
  await world.run(4);
  const result = world.result(command);
  t.equal(result?.outcome, 'applied');
  t.ok(result?.readBack?.resource === 'memory' && result.readBack.memoryMiB > 800, JSON.stringify(result?.readBack));
  await world.run(20);
  t.match(world.inventory(A)?.current[1], memory(700));
  t.same(
    world.of('event').filter(({ kind }) => kind === 'foreign-writer'),
    [],
  );
  const tooSmall = world.command({ target: memory(200), floor: 64, pair: { epoch: 5, generation: 2 } });
  await world.run(4);
  t.match(world.result(tooSmall), { outcome: 'refused', reason: /working set/ });
  await world.stop();
});

t.test('journal: originals before the first write, in two places; restore puts them back without the agent', async (t) => {
  const world = await agentWorld([calmVm(A, { baseline: [cpu(1.5, 120)], statsPeriodSeconds: 0 })]);
  await world.run(30);
  t.equal(world.hypervisor.truth(A).statsPeriodSeconds, 2, 'statistics were asked for');
  world.command({ target: cpu(1, 80) });
  await world.run(2);
  world.command({ target: cpu(0.8, 60) });
  await world.run(2);
  const [record] = world.files.load().records;
  t.same(record?.entries.cpu?.original.values, { setting: cpu(1.5, 120) });
  t.equal(record?.statsPeriodSecondsBefore, 0);
  t.match(world.hypervisor.truth(A).metadata, /<journal>/);

  world.files.remove(A); // the state directory is lost: the metadata is enough
  const lines = await restore(world.hypervisor, world.files, null);
  t.ok(lines.length === 2 && lines.every(({ ok }) => ok), JSON.stringify(lines));
  t.same(world.hypervisor.truth(A).cpu, cpu(1.5, 120));
  t.equal(world.hypervisor.truth(A).statsPeriodSeconds, 0);
  t.equal(world.hypervisor.truth(A).metadata, null);
  t.same(await restore(world.hypervisor, world.files, null), [], 'a second time there is nothing to do');
  await world.stop();
});

t.test('no write without a safe original', async (t) => {
  const world = await agentWorld([calmVm(A)], {}, (call) =>
    call.method === 'metadata' ? { kind: 'error', code: 'HYPERVISOR_REFUSED', message: 'no metadata for you' } : null,
  );
  await world.run(30);
  const command = world.command({ target: cpu(1) });
  await world.run(2);
  t.match(world.result(command), { outcome: 'failed', reason: /no metadata/ });
  t.same(world.hypervisor.truth(A).cpu, cpu(null));
  await world.stop();
});

t.test('a stopped VM forgets its journal, and starts clean', async (t) => {
  const world = await agentWorld([calmVm(A)]);
  await world.run(20);
  world.command({ target: cpu(1) });
  await world.run(2);
  world.hypervisor.setPower(A, 'shutoff');
  await world.run(2);
  t.same(world.files.load().records[0]?.entries, {});
  t.same(world.files.load().records[0]?.pairs.cpu, { epoch: 5, generation: 1 }, 'pairs outlive it');
  world.hypervisor.setPower(A, 'running');
  await world.run(5);
  t.match(world.inventory(A)?.current[0], cpu(null));
  t.same(
    world.of('event').filter(({ kind }) => kind === 'foreign-writer'),
    [],
  );
  await world.stop();
});

t.test('a VM that goes off while it is read has nothing in force, however late the reading comes', async (t) => {
  let slow = false;
  const world = await agentWorld([calmVm(A)], {}, ({ method }) =>
    slow && method === 'readSetting' ? { kind: 'lateAnswer', ms: 3000 } : null,
  );
  await world.run(30);
  for (let ms = 0; ms < 3000; ms += 500) {
    // What was written is read every few seconds.
    const command = world.command({ target: cpu(1), floor: 0.1 });
    await world.run(10);
    t.equal(world.result(command)?.outcome, 'applied');
    slow = true;
    await world.run(10 + ms / 1000);
    world.hypervisor.setPower(A, 'crashed');
    await world.run(1);
    slow = false;
    await world.run(30);
    t.same(world.inventory(A)?.current, [], `${ms} ms`);
    world.hypervisor.setPower(A, 'running');
    await world.run(30);
    t.match(world.inventory(A)?.current, [cpu(null)], 'on again');
  }
  await world.stop();
});

t.test('lease: caps are lifted, memory is not shrunk, growth is slow and within the room', async (t) => {
  const world = await agentWorld([calmVm(A), calmVm(B)]);
  await world.run(30);
  world.lease({ leaseMs: 60_000 });
  world.command({ target: cpu(1, 80) });
  world.command({ target: memory(500), floor: 64 });
  world.command({ vm: B, target: memory(600), floor: 64, pair: { epoch: 5, generation: 1 } });
  await world.run(20);
  t.equal(world.hypervisor.truth(A).balloonMiB, 500);
  world.setPartitioned(true);
  await world.run(45);
  t.equal(world.hypervisor.truth(A).cpu.capCores, null, 'the cap is gone');
  t.equal(world.hypervisor.truth(A).cpu.weight, 80, 'the weight is held');
  t.equal(world.agent.metrics().agent_lease_out, 1);
  const sizes = (): number => world.hypervisor.truth(A).balloonTargetMiB + world.hypervisor.truth(B).balloonTargetMiB;
  let last = sizes();
  const before = world.writes.length;
  for (let minute = 0; minute < 5; minute++) {
    await world.run(60);
    t.ok(sizes() >= last, 'never a shrink');
    last = sizes();
  }
  t.equal(last, 2048, 'in the end both have their baselines');
  const growths = world.writes.slice(before).filter(({ resource }) => resource === 'memory');
  t.ok(growths.length >= 2 && growths.length <= 20, `${growths.length} growths in five minutes`);
  world.setPartitioned(false);
  await world.run(60);
  world.lease();
  await world.run(2);
  t.equal(world.agent.metrics().agent_lease_out, 0);
  const again = world.command({ target: cpu(1, 80), pair: { epoch: 6, generation: 0 } });
  await world.run(2);
  t.equal(world.result(again)?.outcome, 'applied');
  t.ok(
    world.of('event').some(({ kind, pair }) => kind === 'lease-expired' && pair !== null),
    'told once it is back, with the local pair',
  );
  await world.stop();
});

t.test('lease: without room nothing grows', async (t) => {
  const world = await agentWorld([calmVm(A)]);
  await world.run(30);
  world.lease({ leaseMs: 20_000 });
  world.command({ target: memory(500), floor: 64, leaseMs: 20_000 });
  await world.run(5);
  world.availableMiB = 200;
  world.setPartitioned(true);
  await world.run(300);
  t.equal(world.hypervisor.truth(A).balloonTargetMiB, 500);
  await world.stop();
});

t.test('a restarted agent takes up its own values, and the fail-safe runs when nobody comes', async (t) => {
  const world = await agentWorld([calmVm(A)]);
  await world.run(20);
  world.command({ target: cpu(1, 80) });
  await world.run(2);
  await world.restart();
  await world.run(20);
  t.same(
    world.of('event').filter(({ kind }) => kind === 'foreign-writer'),
    [],
    'our own value is ours after a restart',
  );
  t.same(world.of('hello').at(-1)?.highestPairs, [{ vm: A, resource: 'cpu', pair: { epoch: 5, generation: 1 } }]);
  t.same(world.hypervisor.truth(A).cpu, cpu(1, 80));
  world.setPartitioned(true);
  await world.run(60);
  t.equal(world.hypervisor.truth(A).cpu.capCores, null);
  await world.stop();
});

/** After a new start of the agent, too: nobody else is suspected of what is in force, and all of it can be taken back. */
async function staysOurs(t: Test, world: Awaited<ReturnType<typeof agentWorld>>): Promise<void> {
  await world.restart();
  await world.run(20);
  t.same(
    world.of('event').filter(({ kind }) => kind === 'foreign-writer'),
    [],
  );
  t.ok((await restore(world.hypervisor, world.files, null)).every(({ ok }) => ok));
  t.same(world.hypervisor.truth(A).cpu, cpu(null));
  await world.stop();
}

t.test('a write whose answer was lost is still ours', async (t) => {
  let lose = false;
  const world = await agentWorld([calmVm(A)], {}, (call) => (lose && call.method === 'writeSetting' ? { kind: 'lostAnswer' } : null));
  await world.run(20);
  lose = true;
  const command = world.command({ target: cpu(1, 80) });
  await world.run(2);
  lose = false;
  t.match(world.result(command), { outcome: 'failed', readBack: cpu(1, 80) }, 'told as failed, with the value that is in force');
  await staysOurs(t, world);
});

t.test('a balloon on its way where it was sent before a refused write is still ours after a restart', async (t) => {
  let refused = false;
  const world = await agentWorld([calmVm(A, { balloonMiBPerSecond: 5 })], {}, (call) =>
    refused && call.method === 'writeSetting' ? { kind: 'error', code: 'HYPERVISOR_REFUSED', message: 'not now' } : null,
  );
  await world.run(200);
  world.lease({ leaseMs: 3_600_000 });
  const shrink = world.command({ target: memory(900), floor: 64 });
  await world.run(3);
  t.equal(world.result(shrink)?.outcome, 'applied');
  const sentMiB = world.hypervisor.truth(A).balloonTargetMiB;
  t.ok(sentMiB < 1000 && world.hypervisor.truth(A).balloonMiB > sentMiB + 8, 'on its way');
  refused = true;
  const back = world.command({ target: memory(1024), previous: memory(1024) });
  await world.run(3);
  t.equal(world.result(back)?.outcome, 'failed');
  await world.restart();
  refused = false;
  await world.run(120);
  t.equal(world.hypervisor.truth(A).balloonMiB, sentMiB, 'it arrived');
  t.same(
    world.of('event').filter(({ kind }) => kind === 'foreign-writer'),
    [],
  );
  t.ok((await restore(world.hypervisor, world.files, null)).every(({ ok }) => ok));
  t.equal(world.hypervisor.truth(A).balloonTargetMiB, 1024);
  await world.stop();
});

t.test('a write that went a part of the way, and could not be read back at once, is still ours', async (t) => {
  let phase: 'well' | 'before' | 'written' | 'refused' = 'well';
  const world = await agentWorld([calmVm(A)], {}, (call) => {
    if (phase === 'before' && call.method === 'writeSetting' && call.setting?.resource === 'cpu') {
      phase = 'written';
      return { kind: 'partial', share: 0.5 };
    }
    if (phase !== 'written' || call.method !== 'readNative') return null;
    phase = 'refused';
    return { kind: 'error', code: 'HYPERVISOR_REFUSED', message: 'simulated: the hypervisor says no' };
  });
  await world.run(20);
  world.command({ target: cpu(1.8) });
  await world.run(2);
  phase = 'before';
  const partly = world.command({ target: cpu(1) });
  await world.run(2);
  t.match(world.result(partly), { outcome: 'failed', reason: /says no/ });
  t.equal(phase, 'refused');
  const { capCores } = world.hypervisor.truth(A).cpu;
  t.ok(capCores !== null && capCores > 1 && capCores < 1.8, `a part of it is in force: ${capCores}`);
  await staysOurs(t, world);
});

t.test('a balloon that rests a part of the way, and a growth that is refused just before the agent dies: it is still ours', async (t) => {
  let phase: 'well' | 'partly' | 'before' | 'refused' = 'well';
  const world = await agentWorld([calmVm(A)], {}, ({ method, setting }) => {
    const writes = method === 'writeSetting' && setting?.resource === 'memory';
    if (phase === 'partly' && writes) return { kind: 'partial', share: 0.6 };
    if (phase === 'before' && writes) phase = 'refused';
    return phase === 'refused' ? { kind: 'error', code: 'HYPERVISOR_REFUSED', message: 'simulated: the hypervisor says no' } : null;
  });
  await world.run(200);
  world.lease({ leaseMs: 3_600_000 });
  const shrink = world.command({ target: memory(900), floor: 64 });
  await world.run(20);
  t.equal(world.result(shrink)?.outcome, 'applied');
  const sentMiB = world.hypervisor.truth(A).balloonMiB;
  phase = 'partly';
  world.command({ target: memory(sentMiB + 50), previous: memory(sentMiB) });
  await world.run(20);
  const restsMiB = world.hypervisor.truth(A).balloonMiB;
  t.ok(restsMiB > sentMiB + 10 && restsMiB < sentMiB + 40, `it rests at ${restsMiB}`);
  phase = 'before';
  const back = world.command({ target: memory(1024), previous: memory(restsMiB) });
  await world.run(3);
  t.equal(world.result(back)?.outcome, 'failed');
  await world.restart();
  phase = 'well';
  await world.run(120);
  t.same(
    world.of('event').filter(({ kind }) => kind === 'foreign-writer'),
    [],
  );
  t.ok((await restore(world.hypervisor, world.files, null)).every(({ ok }) => ok));
  t.equal(world.hypervisor.truth(A).balloonTargetMiB, 1024);
  await world.stop();
});

t.test('what somebody sets right after a write whose answer was lost is theirs', async (t) => {
  let phase: 'well' | 'losing' | 'lost' | 'theirs' = 'well';
  const world = await agentWorld([calmVm(A)], {}, ({ method }) => {
    if (phase === 'losing' && method === 'writeSetting') {
      phase = 'lost';
      return { kind: 'lostAnswer' };
    }
    if (phase === 'lost' && method === 'readSetting') {
      phase = 'theirs';
      world.hypervisor.foreignWrite(A, cpu(1.7, 80));
    }
    return null;
  });
  await world.run(20);
  phase = 'losing';
  const command = world.command({ target: cpu(1) });
  await world.run(20);
  t.match(world.result(command), { outcome: 'failed', readBack: cpu(1.7, 80) });
  t.match(world.inventory(A), { holds: [{ resource: 'cpu', reason: /someone else/ }], current: [cpu(1.7, 80)] });
  await world.stop();
});

t.test('a balloon somebody else may be moving is left alone until it is certain whose it is', async (t) => {
  const world = await agentWorld([calmVm(A)]);
  await world.run(250);
  world.lease({ leaseMs: 3_600_000 });
  world.command({ target: memory(700), floor: 64 });
  await world.run(20);
  world.hypervisor.foreignWrite(A, memory(900));
  await world.run(6);
  // Plans come faster than certainty does: each would wipe out what somebody just set.
  for (let plan = 0; plan < 4; plan++) {
    const command = world.command({ target: memory(650 + plan), previous: memory(900), floor: 64 });
    await world.run(4);
    t.match(world.result(command), { outcome: 'refused', reason: /hands off/ }, `plan ${plan}`);
  }
  t.match(
    world.of('event').filter(({ kind }) => kind === 'foreign-writer'),
    [{ vm: A, resource: 'memory', setting: memory(900) }],
  );
  t.equal(world.hypervisor.truth(A).balloonMiB, 900);
  await world.stop();
});

t.test('a foreign write is still found when the hypervisor fails while it is looked into', async (t) => {
  let failing = false;
  const world = await agentWorld([calmVm(A)], {}, (call) =>
    failing && call.method === 'readNative' ? { kind: 'error', code: 'HYPERVISOR_REFUSED', message: 'not now' } : null,
  );
  await world.run(20);
  world.lease({ leaseMs: 3_600_000 });
  world.command({ target: cpu(1, 80) });
  await world.run(2);
  failing = true;
  world.hypervisor.foreignWrite(A, cpu(1.7, 80));
  await world.run(20);
  const meanwhile = world.command({ target: cpu(1.2, 80), previous: cpu(1.7, 80) });
  await world.run(2);
  t.not(world.result(meanwhile)?.outcome, 'applied');
  t.same(world.hypervisor.truth(A).cpu, cpu(1.7, 80));
  failing = false;
  await world.run(20);
  t.match(world.inventory(A), { holds: [{ resource: 'cpu', reason: /someone else/ }], current: [cpu(1.7, 80)] });
  await world.stop();
});

t.test('foreign writers: adopted, held, told; twice is until lifted', async (t) => {
  const world = await agentWorld([calmVm(A)], { foreignHoldMs: 60_000 });
  await world.run(20);
  world.lease({ leaseMs: 3_600_000 });
  world.command({ target: cpu(1, 80) });
  await world.run(2);
  world.hypervisor.foreignWrite(A, cpu(1.7, 80));
  await world.run(6);
  t.match(
    world.of('event').filter(({ kind }) => kind === 'foreign-writer'),
    [{ vm: A, resource: 'cpu', setting: cpu(1.7, 80) }],
  );
  t.match(world.inventory(A), { holds: [{ resource: 'cpu', reason: /someone else/ }], current: [cpu(1.7, 80)] });
  t.match(world.inventory(A)?.baseline[0], cpu(1.7, 80), 'it is the new baseline');
  const held = world.command({ target: cpu(1, 80) });
  await world.run(2);
  t.match(world.result(held), { outcome: 'refused', reason: /hands off/ });
  await world.run(70);
  t.same(world.inventory(A)?.holds, [], 'the hold has run out');
  const second = world.command({ target: cpu(1, 80) });
  await world.run(2);
  t.equal(world.result(second)?.outcome, 'applied');
  world.hypervisor.foreignWrite(A, cpu(1.8, 90));
  await world.run(80);
  t.match(world.inventory(A)?.holds, [{ resource: 'cpu', forMs: null }], 'no end without an administrator');
  world.files.requestLift({ vm: A, resource: 'cpu' });
  await world.run(2);
  t.same(world.inventory(A)?.holds, []);
  await world.stop();
});

t.test('what somebody else sets between the judgement and the write is theirs', async (t) => {
  const theirs = { cpu: cpu(1.3), memory: memory(960) };
  for (const resource of ['cpu', 'memory'] as const) {
    let armed = false;
    // The record of the original goes into the metadata after the command was judged, and before it is carried out.
    const world = await agentWorld([calmVm(A)], {}, ({ method }) => {
      if (!armed || method !== 'metadata') return null;
      armed = false;
      world.hypervisor.foreignWrite(A, theirs[resource]);
      // A balloon shows where it was sent once it has moved.
      return { kind: 'delay', ms: 1000 };
    });
    await world.run(200);
    armed = true;
    const target = resource === 'cpu' ? cpu(1) : memory(1000);
    const command = world.command({ target, floor: 0.1 });
    for (let tick = 0; tick < 300 && world.result(command) === undefined; tick++) await world.run(0.1);
    t.notMatch(unsealed(world.hypervisor.truth(A).metadata), /"originalSetting"/, 'and nothing is left to be restored over theirs');
    await world.run(30);
    t.match(world.result(command), { outcome: 'refused', reason: /^hands off: / }, resource);
    t.same(world.writes, [], 'nothing was written');
    // Values that nothing of ours is written to are read less often.
    await world.run(120);
    t.ok(
      world.of('event').some(({ kind }) => kind === 'foreign-writer'),
      'told',
    );
    t.match(world.inventory(A)?.current[resource === 'cpu' ? 0 : 1], theirs[resource]);
    await world.stop();
  }
});

t.test('a foreign balloon is adopted once it rests; a reboot is none', async (t) => {
  const world = await agentWorld([calmVm(A, { balloonMiBPerSecond: 100 })]);
  await world.run(30);
  world.lease({ leaseMs: 3_600_000 });
  world.command({ target: memory(500), floor: 64 });
  await world.run(20);
  world.hypervisor.reboot(A);
  await world.run(60);
  t.same(
    world.of('event').filter(({ kind }) => kind === 'foreign-writer'),
    [],
    'a reboot is nobody',
  );
  t.equal(world.hypervisor.truth(A).balloonMiB, 500, 'its balloon is back');
  world.hypervisor.foreignWrite(A, memory(800));
  await world.run(8);
  t.same(
    world.of('event').filter(({ kind }) => kind === 'foreign-writer'),
    [],
    'not while it has hardly arrived',
  );
  await world.run(15);
  t.match(
    world.of('event').filter(({ kind }) => kind === 'foreign-writer'),
    [{ resource: 'memory', setting: memory(800) }],
  );
  const held = world.command({ target: memory(600), floor: 64 });
  await world.run(3);
  t.match(world.result(held), { outcome: 'refused', reason: /hands off/ });
  const lines = await restore(world.hypervisor, world.files, null);
  t.same(world.hypervisor.truth(A).balloonTargetMiB, 800, 'restore leaves what someone else set');
  t.ok(lines.every(({ ok }) => ok));
  await world.stop();
});

t.test('kill switch: no write after it, by file or frame, and off again', async (t) => {
  const world = await agentWorld([calmVm(A), calmVm(B)]);
  await world.run(20);
  world.command({ target: cpu(1, 80) });
  await world.run(2);
  world.lease({ leaseMs: 10_000 });
  world.files.setKill(null, 'drill');
  const writes = world.writes.length;
  const killed = world.command({ target: cpu(1.5, 80) });
  await world.run(60);
  t.match(world.result(killed), { outcome: 'refused', reason: /kill switch: drill/ });
  t.equal(world.writes.length, writes, 'the fail-safe does not write either');
  t.equal(world.of('inventory').at(-1)?.host.killSwitch, true);
  t.ok(world.of('event').some(({ kind, vm }) => kind === 'kill-switch' && vm === null));
  world.files.setKill(null, null);
  await world.run(2);
  world.send({ type: 'kill-switch', vm: B, engaged: true, reason: 'from above' });
  await world.run(2);
  t.match(world.inventory(B)?.holds[0], { reason: /kill switch: aggregator: from above/ });
  const other = world.command({ vm: B, target: cpu(1, 80), pair: { epoch: 5, generation: 1 } });
  await world.run(2);
  t.match(world.result(other), { outcome: 'refused' });
  world.files.setKill(A, 'by hand');
  world.send({ type: 'kill-switch', vm: B, engaged: false, reason: '' });
  world.send({ type: 'kill-switch', vm: A, engaged: false, reason: '' });
  await world.run(2);
  t.same([...world.files.kills().vms.keys()], [A], 'a switch set here is not taken off from afar');
  await world.stop();
});

t.test('fast guard: grows within ceiling and reserve, also without an aggregator, and fences late plans', async (t) => {
  const world = await agentWorld([calmVm(A, { cpuDemandCores: () => 1.9 })]);
  await world.run(20);
  world.lease({ leaseMs: 3_600_000, reserveCores: 0.7, allowances: [{ vm: A, cpuCeilingCores: 1.8, memoryCeilingMiB: null }] });
  world.command({ target: cpu(0.6, 100) });
  await world.run(1.2);
  world.setPartitioned(true);
  await world.run(20);
  const cap = world.hypervisor.truth(A).cpu.capCores!;
  t.ok(cap > 0.9 && cap <= 1.3 + 1e-9, `cap ${cap}: the reserve is what was granted`);
  world.setPartitioned(false);
  await world.run(40);
  const grown = world.of('event').filter(({ kind }) => kind === 'guard-grew');
  t.ok(grown.length >= 1);
  t.ok(
    grown.every(({ pair }) => pair!.generation > 1),
    'each advances the generation',
  );
  const late = world.command({ previous: cpu(0.6), target: cpu(0.7), pair: { epoch: 5, generation: 2 } });
  await world.run(2);
  t.ok(['skipped', 'refused'].includes(world.result(late)!.outcome));
  t.equal(world.hypervisor.truth(A).cpu.capCores, cap);
  await world.stop();
});

t.test('fast guard: gives memory back under pressure, by what the host sees', async (t) => {
  let workingSetMiB = 250;
  const world = await agentWorld([calmVm(A, { workingSetMiB: () => workingSetMiB })]);
  await world.run(30);
  world.lease({ leaseMs: 3_600_000, reserveMiB: 200, allowances: [{ vm: A, cpuCeilingCores: null, memoryCeilingMiB: 900 }] });
  world.command({ target: memory(400), floor: 64 });
  await world.run(20);
  workingSetMiB = 420;
  await world.run(20);
  const target = world.hypervisor.truth(A).balloonTargetMiB;
  t.ok(target > 420 && target <= 600, `${target} MiB: given from the reserve of 200`);
  t.ok(world.of('event').some(({ kind }) => kind === 'guard-deflated'));
  await world.stop();
});

t.test('sums: two growths that fit one by one do not fit together', async (t) => {
  const world = await agentWorld([calmVm(A, { bootMemoryMiB: 4096 }), calmVm(B, { bootMemoryMiB: 4096 })]);
  await world.run(30);
  world.lease();
  world.command({ target: memory(2300), floor: 64 });
  world.command({ vm: B, target: memory(2300), floor: 64, pair: { epoch: 5, generation: 1 } });
  await world.run(90);
  t.same([world.hypervisor.truth(A).balloonMiB, world.hypervisor.truth(B).balloonMiB], [2300, 2300]);
  world.availableMiB = 3000;
  const grow = [
    world.command({ target: memory(4000), floor: 64 }),
    world.command({ vm: B, target: memory(4000), floor: 64, pair: { epoch: 5, generation: 2 } }),
  ];
  await world.run(30);
  t.same(grow.map((id) => world.result(id)?.outcome).sort(), ['applied', 'refused']);
  await world.stop();
});

t.test('sums: what is lent to another host is not there for a VM; a slice is told in the inventory', async (t) => {
  const world = await agentWorld([calmVm(A, { bootMemoryMiB: 4096, facts: { disks: [{ target: 'vdb', source: 'headroom-slice' }] } })]);
  await world.run(30);
  const wholeMiB = world.of('inventory').at(-1)!.host.memoryMiB;
  world.lease();
  world.command({ target: memory(2300), floor: 64 });
  await world.run(60);
  const writer = { pid: 1, startTicks: 1, bootMs: 0 };
  const state = { kind: 'lent' as const, ...writer, sizeMiB: 5000, address: '10.0.0.2:7410', borrower: null };
  world.slices = [{ state, alive: true }];
  const grow = world.command({ target: memory(4000), floor: 64, pair: { epoch: 5, generation: 2 } });
  await world.run(10);
  t.match(world.result(grow), { outcome: 'refused' });
  t.equal(world.of('inventory').at(-1)!.host.memoryMiB, wholeMiB - 5000);
  t.match(world.inventory(A)?.devices?.find(({ virtual }) => virtual === 'swap vdb')?.physical, /^unknown/, 'nothing tells of its mirror');
  world.slices = [{ state, alive: false }];
  await world.run(10);
  t.equal(world.of('inventory').at(-1)!.host.memoryMiB, wholeMiB, 'who lent it is gone');
  const again = world.command({ target: memory(4000), floor: 64, pair: { epoch: 5, generation: 3 } });
  await world.run(20);
  t.match(world.result(again), { outcome: 'applied' });
  await world.stop();
});

t.test('a stuck VM blinds nobody and delays nobody', async (t) => {
  const world = await agentWorld([calmVm(A), calmVm(B)]);
  await world.run(20);
  world.hypervisor.setStuck(A, true);
  await world.run(8);
  t.ok(world.of('event').some(({ kind, vm }) => kind === 'stuck-domain' && vm === A));
  const [hung, fine] = [
    world.command({ target: cpu(1, 80) }),
    world.command({ vm: B, target: cpu(1, 80), pair: { epoch: 5, generation: 1 } }),
  ];
  await world.run(2);
  t.equal(world.result(fine)?.outcome, 'applied');
  t.equal(world.result(hung), undefined);
  const rows = world.blocks.filter((block) => block.subject.id === B).reduce((sum, block) => sum + block.timesMs.length, 0);
  await world.run(10);
  const later = world.blocks.filter((block) => block.subject.id === B).reduce((sum, block) => sum + block.timesMs.length, 0);
  t.ok(later - rows >= 8, 'the other VM is still sampled each second');
  t.ok(['skipped', 'failed'].includes(world.result(hung)!.outcome), JSON.stringify(world.result(hung)));
  world.hypervisor.setStuck(A, false);
  await world.run(70);
  const again = world.command({ target: cpu(1, 80), previous: cpu(null) });
  await world.run(2);
  t.equal(world.result(again)?.outcome, 'applied');
  await world.stop();
});

t.test('no writes while a job runs', async (t) => {
  const world = await agentWorld([calmVm(A)]);
  await world.run(20);
  world.hypervisor.setJob(A, true);
  const command = world.command({ target: cpu(1, 80) });
  await world.run(2);
  t.match(world.result(command), { outcome: 'skipped', reason: /job/ });
  await world.stop();
});

t.test('the hypervisor goes away and comes back', async (t) => {
  const world = await agentWorld([calmVm(A)]);
  await world.run(20);
  world.hypervisor.setConnected(false, 'restarted');
  await world.run(5);
  t.equal(world.of('inventory').at(-1)?.host.hypervisorConnected, false);
  const command = world.command({ target: cpu(1, 80) });
  await world.run(2);
  t.ok(['skipped', 'failed'].includes(world.result(command)!.outcome), JSON.stringify(world.result(command)));
  world.hypervisor.setConnected(true, 'back');
  await world.run(5);
  t.equal(world.of('inventory').at(-1)?.host.hypervisorConnected, true);
  const again = world.command({ target: cpu(1, 80), previous: cpu(null) });
  await world.run(2);
  t.equal(world.result(again)?.outcome, 'applied');
  await world.stop();
});

t.test('VMs outside the patterns: not reported, not touched, but counted', async (t) => {
  const world = await agentWorld([calmVm(A), calmVm(B, { name: 'other' })], { include: ['vm-*'] });
  await world.run(20);
  t.equal(world.inventory(B), undefined);
  t.notOk(world.blocks.some((block) => block.subject.id === B));
  t.ok(world.of('inventory').at(-1)!.host.memoryMiB < 8192 - 1024);
  const command = world.command({ vm: B, target: cpu(1), previous: cpu(null) });
  await world.run(2);
  t.match(world.result(command), { outcome: 'refused' });
  await world.stop();
});

t.test('a VM that stops, fails or is paused is told at once, not with the next look', async (t) => {
  for (const power of ['shutoff', 'crashed', 'paused'] as const) {
    const world = await agentWorld([calmVm(A)], { sampleMs: 10_000, guardMs: 10_000 });
    await world.run(61);
    t.equal(world.inventory(A)?.state, 'ready');
    world.hypervisor.setPower(A, power);
    await world.run(0.2);
    t.equal(world.inventory(A)?.state, power === 'shutoff' ? 'stopped' : power === 'crashed' ? 'error' : 'paused', power);
    await world.stop();
  }
});

t.test('a signal that goes missing, or comes back, is told between whole inventories', async (t) => {
  let silent = false;
  const world = await agentWorld([calmVm(A, { lie: (told) => (silent ? {} : told) })], { inventoryMs: 600_000 });
  const missing = (): readonly string[] => world.inventory(A)?.missingSignals ?? [];
  await world.run(30);
  t.notOk(missing().includes('balloon-statistics'), missing().join());
  silent = true;
  await world.run(15);
  t.ok(missing().includes('balloon-statistics'), missing().join());
  silent = false;
  await world.run(15);
  t.notOk(missing().includes('balloon-statistics'), missing().join());
  await world.stop();
});
