/**
 * Goal: VM states drive allocation. A boot is learnt from boots (its own, its template's, its class's), a busy one is given
 * CPU before it is over, a light one starts with what it has; what stops, crashes or pauses is released at once and told
 * with its cause; what is unknown stays unknown.
 */
import t from 'tap';
import { decodeEvent, powerOf } from '../../agent/hypervisor/libvirt/events.ts';
import { REMOTE_PROGRAM } from '../../agent/hypervisor/libvirt/rpc-connection.ts';
import { createXdrReader, createXdrWriter } from '../../agent/hypervisor/libvirt/xdr.ts';
import { type BootFacts, BootProfiles } from '../../aggregator/core/lifecycle/boot-profiles.ts';
import { BootWatch } from '../../aggregator/core/lifecycle/boot-watch.ts';
import { stateWords } from '../../aggregator/core/lifecycle/release.ts';
import { lintPlan } from '../../aggregator/core/lint/lint.ts';
import { cpuLoadOf } from '../../aggregator/core/plan/cpu-room.ts';
import { exposureOf } from '../../aggregator/core/plan/memory-room.ts';
import type { VmSnapshot } from '../../aggregator/core/plan/plan.ts';
import { plan } from '../../aggregator/core/plan/planner.ts';
import { packCheckpoint, unpackCheckpoint } from '../../aggregator/core/state/checkpoint.ts';
import { createPrng } from '../../shared/prng.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import { AUTO_POLICY, demandOf, policyOf, snapshotOf, testVmId, vmOf } from '../support/fleet.ts';

const facts = (n: number, over: Partial<BootFacts> = {}): BootFacts => ({
  id: testVmId(n),
  vcpus: 2,
  template: null,
  class: null,
  ...over,
});

t.test('boots are learnt from: own first, then the template, then the class; nothing alike: nothing is expected', async (t) => {
  const profiles = new BootProfiles();
  profiles.add(facts(1, { template: 'web', class: 'app' }), { peakCores: 1.8, seconds: 30 });
  profiles.add(facts(2, { class: 'app' }), { peakCores: 0.3, seconds: 9 });
  t.match(profiles.predict(facts(1)), { level: 'high', because: /1 boot of its own took up to 1.80 cores and 30 s/ });
  t.match(profiles.predict(facts(3, { template: 'web', class: 'app' })), { level: 'high', because: /template web/ });
  t.match(profiles.predict(facts(3, { template: 'other', class: 'app' })), { level: 'high', because: /2 boots of class app/ });
  t.equal(profiles.predict(facts(3, { template: 'web', vcpus: 8 })), null, 'another size is another boot');
  t.equal(profiles.predict(facts(3)), null);
  profiles.add(facts(4), { peakCores: 0.4, seconds: 4 });
  t.match(profiles.predict(facts(4)), { level: 'low' });
});

const rows = (usage: number[], throttled = 0, wait = Number.NaN): TelemetryBlock => ({
  subject: { kind: 'vm', id: testVmId(1) },
  source: 'host',
  fields: ['vm_cpu.usageCores', 'vm_cpu.throttledFraction', 'vm_cpu.waitFraction'],
  timesMs: Float64Array.from(usage, (_, i) => 1000 * i),
  values: Float64Array.from(usage.flatMap((cores) => [cores, throttled, wait])),
});

t.test('a boot is what was used from launching to ready, or would have been without the cap', async (t) => {
  const watch = new BootWatch();
  t.equal(watch.become('launching'), null);
  watch.add(rows([0.2, 0.9, 0.9, 0.9, 0.1]), 2);
  t.equal(watch.become('launching'), null, 'still at it');
  const boot = watch.become('ready');
  t.equal(boot?.seconds, 4);
  t.ok(Math.abs((boot?.peakCores ?? 0) - 0.9) < 1e-9);
  t.equal(watch.become('ready'), null, 'once');
  watch.become('launching');
  watch.add(rows([0.25, 0.25, 0.25, 0.25], 0.75), 2);
  t.equal(watch.become('ready')?.peakCores, 1, 'a cap hides no demand');
  watch.become('launching');
  watch.add(rows([0.3, 0.3, 0.3, 0.3], 0.1, 0.6), 1);
  t.ok(Math.abs((watch.become('ready')?.peakCores ?? 0) - 0.75) < 1e-9, 'nor do others on its host');
  watch.become('launching');
  watch.add(rows([1, 1, 1]), 2);
  t.equal(watch.become('error'), null, 'a boot that fails teaches nothing');
  const packed = unpackCheckpoint(packCheckpoint({ models: [], peaks: [], boots: [{ peakCores: 1, seconds: 4 }] }));
  t.same(packed.boots, [{ peakCores: 1, seconds: 4 }], 'known after a restart');
});

const policy = policyOf(AUTO_POLICY.replace('cpu: {', 'cpu: {startup: predicted, stepLimitGrowFraction: 10, ceiling: 2, '));
const capped = { cpu: { resource: 'cpu' as const, weight: 100, capCores: 0.4 }, memory: { resource: 'memory' as const, memoryMiB: 800 } };
const launching = (over: Partial<VmSnapshot>) =>
  vmOf(1, { state: 'launching', current: capped, demand: { ...vmOf(1).demand, cpu: demandOf(null, null) }, ...over });

function cpuOf(vm: VmSnapshot) {
  const made = plan(snapshotOf([vm]), policy, { epoch: 1 }, createPrng(1)).plan;
  t.same(lintPlan(made, snapshotOf([vm]), policy), []);
  return { step: made.steps.find(({ resource }) => resource === 'cpu'), not: made.notDone.find(({ resource }) => resource === 'cpu') };
}

t.test('a boot expected to be busy is given CPU before anything is seen of it; a light one starts with what it has', async (t) => {
  const boot = { peakCores: 1.5, seconds: 20, because: '2 boots of template web took up to 1.50 cores and 20 s' };
  const busy = cpuOf(launching({ boot: { ...boot, level: 'high' } }));
  t.match(busy.step, { constraint: 'startup', to: { capCores: 1.65 }, reason: /2 boots of template web took up to 1.50 cores/ });
  const light = cpuOf(launching({ boot: { ...boot, level: 'low', peakCores: 0.2 } }));
  t.equal(light.step, undefined);
  t.match(light.not, { constraint: 'hysteresis', reason: /it starts with what it has/ });
  const throttled = { ...demandOf(2, null), suppressed: true };
  const seen = cpuOf(launching({ boot: { ...boot, level: 'high', peakCores: 2 }, demand: { ...vmOf(1).demand, cpu: throttled } }));
  t.match(
    seen.step,
    { constraint: 'startup', to: { capCores: 2 }, reason: /2 boots of template web/ },
    'also when it is throttled already',
  );
  t.match(cpuOf(launching({})).not, { constraint: 'unknown' }, 'nothing alike was seen: unknown stays unknown');
  t.equal(
    cpuOf(vmOf(1, { current: capped, boot: { ...boot, level: 'high' } })).step?.constraint === 'startup',
    false,
    'only while it launches',
  );
});

t.test('stopped and crashed hold nothing; paused holds its memory and no CPU', async (t) => {
  for (const state of ['stopped', 'error'] as const) t.same([exposureOf(vmOf(1, { state })), cpuLoadOf(vmOf(1, { state }))], [0, 0]);
  t.ok(exposureOf(vmOf(1, { state: 'paused' })) >= 800);
  t.equal(cpuLoadOf(vmOf(1, { state: 'paused' })), 0);
  t.ok(exposureOf(vmOf(1, { state: 'unknown' })) >= 800, 'what is unknown may hold all it had');
  t.match(
    stateWords('web', 'ready', 'error', 'web is crashed (stopped: crashed)'),
    /is error \(web is crashed \(stopped: crashed\)\): its CPU, memory/,
  );
  t.match(stateWords('web', 'ready', 'paused', ''), /its memory stays its own/);
  t.equal(stateWords('web', 'launching', 'ready', 'started'), 'web was launching and is ready');
});

t.test("libvirt's reasons: off because it failed is an error, with its cause", async (t) => {
  const event = (kind: number, detail: number) => {
    const writer = createXdrWriter().i32(1).string('web').opaque(Buffer.alloc(16)).i32(7).i32(kind).i32(detail);
    return decodeEvent(REMOTE_PROGRAM, 318, createXdrReader(writer.bytes()));
  };
  t.match(event(5, 5), { kind: 'lifecycle', power: 'crashed', detail: 'stopped: the hypervisor process failed' });
  t.match(event(5, 2), { power: 'crashed', detail: 'stopped: crashed' });
  t.match(event(5, 1), { power: 'shutoff', detail: 'stopped: destroyed' });
  t.match(event(8, 0), { power: 'crashed', detail: 'crashed: the guest panicked' });
  t.match(event(2, 0), { power: 'running', detail: 'started: booted' });
  t.match(event(2, 2), { power: 'paused', detail: 'started: restored' });
  t.match(event(2, 1), { power: 'paused' }, 'a live migration is on its way here: it does not run yet');
  t.equal(powerOf(5, 3), 'crashed');
  t.equal(powerOf(5, 1), 'shutoff');
  t.equal(powerOf(5), 'shutoff');
});
