/**
 * Goal: what a host can be sold follows what its VMs want together: learnt step by step in live state, kept over a restart, told as
 * figures, words and ratios; and nothing is sold on what is not known.
 */
import t from 'tap';
import { openStackForm, proxmoxForm } from '../../aggregator/core/capacity/capacity-forms.ts';
import { capacityRow } from '../../aggregator/core/capacity/capacity-rows.ts';
import { capacityOf, type HostFacts, horizonsOfDay } from '../../aggregator/core/capacity/host-capacity.ts';
import { HostDemand } from '../../aggregator/core/capacity/host-demand.ts';
import { AGGREGATE, forecasterFactory } from '../../aggregator/core/forecast/registry.ts';
import { createPrng } from '../../shared/prng.ts';

const STEP_MS = 300_000;
const OPTIONS = { stepMs: STEP_MS, seasonsMs: [86_400_000] };
const factory = forecasterFactory(AGGREGATE);
const SEED = 7;
const VMS = 12;
const FACTS: HostFacts = {
  id: 'kvm1',
  vms: VMS,
  capacity: { cpu: 16, memory: 65_536 },
  reserve: { cpu: 1, memory: 4096 },
  sold: { cpu: 4 * VMS, memory: 8192 * VMS },
};

/** VMs of four cores that want one in ten steps two cores, else a quarter; memory hardly moves. */
function learnt(steps: number, random = createPrng(SEED)): HostDemand {
  const demand = new HostDemand(OPTIONS, factory);
  for (let step = 0; step < steps; step++) demand.observe(step * STEP_MS, members(random));
  return demand;
}

function members(random: ReturnType<typeof createPrng>, cpu?: number) {
  return Array.from({ length: VMS }, (_, n) => ({
    vm: `vm-${n}`,
    cpu: cpu ?? (random.next() < 0.1 ? 2 : 0.25),
    memory: 2000 + 50 * random.next(),
  }));
}

t.test('figures: more is sold than sizes say, less than the mean would allow', async (t) => {
  const { resources, moreVms, advice, tightest } = capacityOf(FACTS, learnt(800), STEP_MS);
  const { cpu, memory } = resources;
  // The mean is 5.1 cores; the sum of each VM's own 0.99 quantile 24.
  t.ok(cpu.nextDay!.q50 > 3.5 && cpu.nextDay!.q50 < 6.5, `median ${cpu.nextDay!.q50}, seed ${SEED}`);
  t.ok(cpu.nextDay!.q99 > 7 && cpu.nextDay!.q99 < 13, `0.99 quantile ${cpu.nextDay!.q99}, seed ${SEED}`);
  t.ok(cpu.nextHour!.q99 <= cpu.nextDay!.q99);
  t.ok(Math.abs(cpu.sellable - (15 - cpu.nextDay!.q99)) < 1e-9);
  t.ok(Math.abs(cpu.allocationRatio! - 48 / cpu.nextDay!.q99) < 1e-9, 'so many sold that the rest would just fit');
  t.ok(memory.sellable > 30_000 && memory.sellable < 37_500, `${memory.sellable} MiB`);
  t.equal(memory.allocationRatio, 1.5, 'no more than schedulers are used to');
  t.equal(tightest, 'cpu');
  t.equal(moreVms, Math.floor(cpu.sellable / (cpu.nextDay!.q99 / VMS)));
  t.match(advice, /^takes about \d+ more VMs like its 12 \(/);
});

t.test('full, unknown, few', async (t) => {
  const full = learnt(600);
  for (let step = 600; step < 900; step++) full.observe(step * STEP_MS, members(createPrng(step), 1.6));
  t.match(capacityOf(FACTS, full, STEP_MS), { moreVms: 0, advice: /^full: / });
  for (const demand of [null, learnt(5)]) {
    const view = capacityOf(FACTS, demand, STEP_MS);
    t.match(view, { moreVms: null, advice: /^too little is known/ });
    t.match(view.resources.cpu, { sellable: 0, allocationRatio: null });
  }
  t.equal(capacityOf({ ...FACTS, vms: 2 }, learnt(800), STEP_MS).moreVms, null, 'two VMs are no average');
  t.equal(capacityOf({ ...FACTS, vms: 0 }, null, STEP_MS).resources.cpu.demand, null);
});

t.test('a step of which one VM is not known is no dip; one of which none is known teaches nothing', async (t) => {
  const [whole, holed] = [learnt(400), learnt(400)];
  const next = members(createPrng(1));
  whole.observe(400 * STEP_MS, next);
  holed.observe(
    400 * STEP_MS,
    next.map((one, n) => (n === 0 ? { ...one, cpu: Number.NaN } : one)),
  );
  const [a, b] = [whole, holed].map((one) => one.forecast('cpu', [1], [0.5])!.values[0]!) as [number, number];
  t.ok(Math.abs(a - b) < 0.15 * a, `${a} and ${b}`);
  const before = holed.forecast('cpu', [1], [0.5])!.values[0]!;
  holed.observe(
    401 * STEP_MS,
    next.map((one) => ({ ...one, cpu: Number.NaN })),
  );
  t.equal(holed.forecast('cpu', [1], [0.5])!.values[0]!, before);
  t.equal(holed.now('cpu'), null);
});

t.test('a restart keeps it; bytes of something else are refused and change nothing', async (t) => {
  const before = learnt(500);
  const after = new HostDemand(OPTIONS, factory);
  after.restoreFrom(before.serialise());
  const random = createPrng(9);
  const next = members(random);
  for (const one of [before, after]) one.observe(500 * STEP_MS, next);
  for (const resource of ['cpu', 'memory'] as const) {
    const [a, b] = [before, after].map((one) => one.forecast(resource, [1, 12, 288], [0.5, 0.99])) as [unknown, unknown];
    t.same(b, a, resource);
  }
  const other = new HostDemand({ ...OPTIONS, stepMs: 5000 }, factory);
  t.throws(() => other.restoreFrom(before.serialise()), { code: 'STORE_CORRUPT' });
  t.throws(() => other.restoreFrom(new Uint8Array(3)), { code: 'STORE_CORRUPT' });
  t.throws(() => other.restoreFrom(before.serialise().subarray(0, 400)), { code: 'STORE_CORRUPT' });
});

t.test('others’ forms: Placement’s inventories downwards rounded, Proxmox’ nodes in bytes; the unknown is left out', async (t) => {
  const views = [capacityOf(FACTS, learnt(800), STEP_MS), capacityOf({ ...FACTS, id: 'kvm2' }, null, STEP_MS)];
  const [known, unknown] = openStackForm(views);
  const ratio = views[0]!.resources.cpu.allocationRatio!;
  t.match(known, { host: 'kvm1', inventories: { VCPU: { total: 16, reserved: 1 }, MEMORY_MB: { total: 65_536, allocation_ratio: 1.5 } } });
  t.ok(known!.inventories.VCPU!.allocation_ratio <= ratio && known!.inventories.VCPU!.allocation_ratio > ratio - 0.001);
  t.same(unknown, { host: 'kvm2', inventories: {} });
  const [node, blank] = proxmoxForm(views);
  t.match(node, { type: 'node', id: 'node/kvm1', maxcpu: 16, maxmem: 68_719_476_736 });
  t.ok(Math.abs(node!.cpu! * 16 - views[0]!.resources.cpu.nextDay!.q99) < 1e-9);
  t.match(blank, { cpu: null, mem: null, sellablecpu: 0 });
});

t.test('the day to come is looked at in about one step an hour, whatever a step is', async (t) => {
  for (const stepMs of [5000, 60_000, 300_000, 3_600_000]) {
    const horizons = horizonsOfDay(stepMs);
    t.equal(horizons[0], 1);
    t.equal(horizons.at(-1)! * stepMs, 86_400_000, `${stepMs} ms`);
    t.ok(horizons.length <= 28);
  }
});

t.test('series of a host: a field for each thing known, none for what is not', async (t) => {
  const view = capacityOf(FACTS, learnt(800), STEP_MS);
  const row = capacityRow(view, 7)!;
  t.same([...row.timesMs, row.subject.id], [7, 'kvm1']);
  const at = (field: string): number => row.values[row.fields.indexOf(field)]!;
  t.equal(at('host_capacity.cpuCores/day'), view.resources.cpu.nextDay!.q99);
  t.equal(at('host_capacity.cpuCores/sellable'), view.resources.cpu.sellable);
  t.equal(at('host_capacity.memoryMiB/demand'), view.resources.memory.demand!);
  t.equal(capacityRow(capacityOf(FACTS, null, STEP_MS), 7), null);
});
