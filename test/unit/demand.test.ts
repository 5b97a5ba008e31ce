/**
 * Goal: demand is seen through what suppresses it. Throttled, waiting and swapping VMs want more than they use; a moving
 * balloon does not move the memory estimate; missing is unknown; late rows and jumping clocks do no harm.
 */
import t from 'tap';
import { DemandAccumulator, type DemandFacts, type DemandStep } from '../../aggregator/core/state/demand.ts';
import { BalloonHistory, GuestSize } from '../../aggregator/core/state/demand-balloon.ts';
import { cpuDemand, memoryDemand, rateDemand } from '../../aggregator/core/state/demand-estimate.ts';
import { createPrng } from '../../shared/prng.ts';
import type { Source, TelemetryBlock } from '../../shared/telemetry.ts';

const FACTS: DemandFacts = {
  vcpus: 2,
  guaranteedCores: 1,
  guaranteedMiB: 1024,
  networkLimitBytesPerSecond: null,
  diskLimitBytesPerSecond: null,
};
const START = 1_700_000_000_000;

function block(source: Source, rows: { timeMs: number; values: Record<string, number> }[]): TelemetryBlock {
  const fields = [...new Set(rows.flatMap((row) => Object.keys(row.values)))];
  return {
    subject: { kind: 'vm', id: 'a' },
    source,
    fields,
    timesMs: Float64Array.from(rows, (row) => row.timeMs),
    values: Float64Array.from(rows.flatMap((row) => fields.map((name) => row.values[name] ?? Number.NaN))),
  };
}

const cpu = (usageCores: number, throttledFraction: number, capCores: number, vcpus: number, waitFraction = Number.NaN) =>
  cpuDemand({
    usageCores,
    throttledFraction,
    waitFraction,
    capCores,
    vcpus,
    guestStealFraction: Number.NaN,
    guestRunQueue: Number.NaN,
    guaranteedCores: Number.NaN,
  });

/**
 * vCPUs with work in bursts under a CFS quota (100 ms periods, 1 ms ticks): each works `busyMs`, then sleeps `sleepMs`, and
 * a throttled vCPU waits for its next period with the work undone. Returns what cgroups would tell.
 */
function throttle(busyMs: number[], sleepMs: number[], capPerVcpu: number, totalMs: number) {
  let used = 0;
  let throttled = 0;
  busyMs.forEach((busy, v) => {
    let left = busy;
    let asleep = 0;
    let quota = 0;
    for (let ms = 0; ms < totalMs; ms++) {
      if (ms % 100 === 0) quota = capPerVcpu * 100;
      if (asleep > 0) {
        asleep--;
        if (asleep === 0) left = busy;
      } else if (quota >= 1) {
        quota--;
        used++;
        left--;
        if (left <= 0) asleep = sleepMs[v]!;
      } else throttled++;
    }
  });
  return { usageCores: used / totalMs, throttledFraction: throttled / totalMs / busyMs.length };
}

t.test('a throttled guest is seen to want more, whatever the duty cycle and however many vCPUs are busy', async (t) => {
  const cases = [
    { name: 'a pegged vCPU capped at half', busy: [1e9], sleep: [1], cap: 0.5 },
    { name: 'a duty cycle of 60 % throttled at half its demand', busy: [60], sleep: [40], cap: 0.3 },
    { name: 'short bursts of 30 % throttled at half', busy: [6], sleep: [14], cap: 0.15 },
    { name: 'one pegged vCPU of four', busy: [1e9, 0.0001, 0.0001, 0.0001], sleep: [1, 1e9, 1e9, 1e9], cap: 0.5 },
    { name: 'four vCPUs at 60 % each, throttled at half', busy: [60, 60, 60, 60], sleep: [40, 40, 40, 40], cap: 0.3 },
  ];
  for (const { name, busy, sleep, cap } of cases) {
    const free = throttle(busy, sleep, 1, 100_000);
    const held = throttle(busy, sleep, cap, 100_000);
    const estimate = cpu(held.usageCores, held.throttledFraction, cap * busy.length, busy.length);
    t.ok(estimate.suppressed, `${name}: flagged`);
    t.ok(estimate.value > 0.9 * free.usageCores, `${name}: ${estimate.value.toFixed(2)} is not under ${free.usageCores.toFixed(2)}`);
    t.ok(estimate.value < 1.3 * free.usageCores, `${name}: ${estimate.value.toFixed(2)} is not far over ${free.usageCores.toFixed(2)}`);
    t.ok(held.usageCores < 0.6 * free.usageCores, `${name}: usage alone (${held.usageCores.toFixed(2)}) would have misled`);
  }
});

t.test('CPU: bounds, waiting, unknown', async (t) => {
  t.same(cpu(0.7, 0, 2, 2), { value: 0.7, suppressed: false }, 'unthrottled demand is usage');
  t.equal(cpu(0.5, 0.95, 0.5, 2).value <= 2, true, 'never more than the vCPUs');
  t.equal(cpu(9, 0, Number.NaN, 1).value, 1, 'nor where a reading told late makes usage more than the vCPUs could have run');
  t.ok(cpu(0.3, 0, Number.NaN, 1, 0.25).value > 0.38, 'waiting for a CPU counts');
  t.equal(cpu(0.3, 0.5, 0.3, 1, 0.5).value, cpu(0.3, 0.5, 0.3, 1).value, 'run delay holds the throttled time already');
  t.same(cpu(Number.NaN, 0.5, 1, 1), { value: Number.NaN, suppressed: false }, 'unknown stays unknown');
  const atCap = cpu(0.98, Number.NaN, 1, 2);
  t.ok(atCap.suppressed && atCap.value > 1.2, 'at its cap with no throttling signal: at least the cap is doubted');
  const claimed = cpuDemand({
    usageCores: 0.2,
    throttledFraction: Number.NaN,
    waitFraction: Number.NaN,
    capCores: Number.NaN,
    vcpus: 4,
    guestStealFraction: 0.9,
    guestRunQueue: 50,
    guaranteedCores: 0.5,
  });
  t.equal(claimed.value, 0.5, 'a claim raises to the guaranteed share and no further');
});

t.test('memory: short means all it has, at least; old pages coming home do not', async (t) => {
  const calm = {
    workingSetMiB: 400,
    balloonMiB: 1000,
    availableMiB: 600,
    swapInMiBPerSecond: 0,
    pressureFullFraction: 0,
    guestSwapInMiBPerSecond: Number.NaN,
    guestRefaultsPerSecond: Number.NaN,
    guestPressureFullFraction: Number.NaN,
    guaranteedMiB: 1100,
  };
  t.same(memoryDemand(calm), { value: 400, suppressed: false });
  t.same(memoryDemand({ ...calm, swapInMiBPerSecond: 2 }), { value: 400, suppressed: false }, 'swap-in with plenty free');
  t.same(memoryDemand({ ...calm, workingSetMiB: 900, availableMiB: 100, swapInMiBPerSecond: 2 }), { value: 1000, suppressed: true });
  t.same(memoryDemand({ ...calm, workingSetMiB: 960, availableMiB: 40 }), { value: 1000, suppressed: true }, 'nearly nothing available');
  t.same(memoryDemand({ ...calm, pressureFullFraction: 0.1 }), { value: 1000, suppressed: true });
  const lied = memoryDemand({ ...calm, workingSetMiB: 900, availableMiB: 100, guestPressureFullFraction: 1 });
  t.same(lied, { value: 1100, suppressed: false }, 'a claim stops at the guaranteed share, and is no sign of harm');
  t.ok(Number.isNaN(memoryDemand({ ...calm, workingSetMiB: Number.NaN, availableMiB: Number.NaN }).value), 'unknown stays unknown');
});

t.test(
  'what a short guest wanted is what it held once it had enough; one still short wants all it has, and a step of what it lately held',
  async (t) => {
    type Reading = [balloonMiB: number, availableMiB: number];
    const step = (readings: readonly Reading[], before: readonly Reading[] = []) => {
      const demand = new DemandAccumulator({ stepMs: 10_000, windowMs: 5000, graceMs: 0 }, FACTS);
      const startMs = START - (START % 10_000);
      const rows = [...before, ...readings].map(([balloonMiB, availableMiB], i) => ({
        timeMs: startMs + (i + 1 - before.length) * 1000,
        values: { 'vm_memory.balloonMiB': balloonMiB, 'vm_memory.availableMiB': availableMiB, 'vm_memory.statsAgeMs': 0 },
      }));
      demand.add(block('host', rows));
      return demand.closeUntil(startMs + 10_000).at(-1)?.points.memory;
    };
    const rests = (balloonMiB: number, availableMiB: number) => Array.from({ length: 4 }, () => [balloonMiB, availableMiB] as Reading);
    t.same(step([...rests(400, 20), ...rests(600, 240)]), { value: 380, usage: 380, suppressed: true }, 'not the 400 it was short in');
    const short = [...rests(200, 100), ...rests(400, 20)];
    t.same(step(short), { value: 400, usage: 380, suppressed: true }, 'nothing is known of earlier hours');
    t.same(step(short, rests(900, 450)), { value: 450, usage: 380, suppressed: true }, 'it held 450 before');
    t.same(step(short, rests(1200, 400)), { value: 500, usage: 380, suppressed: true }, 'a quarter more at most');
    t.same(step(short, rests(300, 10)), { value: 400, usage: 380, suppressed: true }, 'what it held when short proves no less');
  },
);

t.test('rates at their limit want more', async (t) => {
  t.same(rateDemand(100, Number.NaN), { value: 100, suppressed: false });
  t.same(rateDemand(99, 100), { value: 123.75, suppressed: true });
  t.ok(Number.isNaN(rateDemand(Number.NaN, 100).value));
});

t.test('inflating a balloon under constant load moves the memory estimate by less than 2 %', async (t) => {
  // 1024 MiB shrinks to 400 over 20 s; the guest uses 300 MiB throughout; statistics every 3 s, so they lag the size.
  const accumulator = new DemandAccumulator({ stepMs: 5000, windowMs: 5000, graceMs: 1000 }, FACTS);
  const sizeAt = (ms: number) => 1024 - 624 * Math.min(1, Math.max(0, (ms - 30_000) / 20_000));
  const steps: DemandStep[] = [];
  for (let ms = 1000; ms <= 90_000; ms += 1000) {
    const statsAgeMs = ms % 3000;
    accumulator.add(
      block('host', [
        {
          timeMs: START + ms,
          values: {
            'vm_memory.balloonMiB': sizeAt(ms),
            'vm_memory.availableMiB': sizeAt(ms - statsAgeMs) - 300,
            'vm_memory.statsAgeMs': statsAgeMs,
          },
        },
      ]),
    );
    steps.push(...accumulator.closeUntil(START + ms));
  }
  const known = steps.map((step) => step.points.memory.value).filter((value) => value !== null);
  t.ok(known.length >= 14, `${known.length} of ${steps.length} steps are known`);
  for (const value of known) t.ok(Math.abs(value - 300) < 6, `${value} MiB`);
  t.equal(steps.at(-1)!.points.memory.value, 300);
});

t.test("the guest's own figures give the same working set at every balloon size", async (t) => {
  const history = new BalloonHistory();
  const guest = new GuestSize(history);
  const reserved = 40;
  const seen: number[] = [];
  for (let ms = 0; ms < 120_000; ms += 1000) {
    const size = ms < 60_000 ? 1000 : 500;
    history.add(START + ms, size);
    // Right at the jump the guest's MemTotal may still be the old one.
    const total = (ms === 60_000 ? 1000 : size) - reserved;
    guest.learn(START + ms, size, total);
    seen.push(guest.at(START + ms, total) - (total - 200));
  }
  for (const value of seen) t.ok(Math.abs(value - 240) < 4.8, `${value} MiB`);
});

t.test('a driver that tells its size late, while memory is used as fast as it is given', async (t) => {
  // Told with each reading: MemTotal and what is available, of one moment. The size that the host reads follows 2 s later.
  const accumulator = new DemandAccumulator({ stepMs: 5000, windowMs: 5000, graceMs: 0 }, FACTS);
  const reserved = 45;
  const sizeAt = (ms: number) => 300 + (ms > 30_000 ? 90 : 0) + (ms > 34_000 ? 90 : 0);
  const heldAt = (ms: number) => (ms > 29_000 ? 340 : 200);
  const values: (number | null)[] = [];
  for (let ms = 1000; ms <= 60_000; ms += 1000) {
    const told = ms - 1000;
    const row = {
      'vm_memory.balloonMiB': sizeAt(ms - 2000),
      'vm_memory.totalMiB': sizeAt(told) - reserved,
      'vm_memory.availableMiB': Math.max(10, sizeAt(told) - heldAt(told)),
      'vm_memory.statsAgeMs': 1000,
    };
    accumulator.add(block('host', [{ timeMs: START + ms, values: row }]));
    values.push(...accumulator.closeUntil(START + ms).map((step) => step.points.memory.value));
  }
  const known = values.filter((value) => value !== null);
  t.equal(known.length, values.length, 'known all the time');
  t.ok(Math.abs(known[2]! - 200) < 4);
  for (const value of known.slice(-4)) t.ok(Math.abs(value - 340) < 4, `${value} MiB`);
  const seen = known.findIndex((value) => value > 330);
  t.ok(seen >= 0 && seen <= 7, `the rise at 29 s is seen in step ${seen}`);
});

function cpuRows(fromMs: number, toMs: number, value: (ms: number) => number, skip: (ms: number) => boolean = () => false) {
  const rows = [];
  for (let ms = fromMs; ms <= toMs; ms += 1000) if (!skip(ms)) rows.push({ timeMs: ms, values: { 'vm_cpu.usageCores': value(ms) } });
  return rows;
}

t.test('a step is the largest window mean, not the largest sample and not the mean of all', async (t) => {
  const accumulator = new DemandAccumulator({ stepMs: 300_000, windowMs: 60_000, graceMs: 0 }, FACTS);
  // 30 s at 1 core within an otherwise idle step: its window's mean is a half.
  accumulator.add(
    block(
      'host',
      cpuRows(START + 1000 - (START % 300_000), START - (START % 300_000) + 300_000, (ms) => {
        const into = ms - (START - (START % 300_000));
        return into > 120_000 && into <= 150_000 ? 1 : 0;
      }),
    ),
  );
  const [step] = accumulator.closeUntil(START + 600_000);
  t.ok(Math.abs(step!.points.cpu.value! - 0.5) < 0.02, `${step!.points.cpu.value}`);
  t.ok(Math.abs(step!.points.cpu.usage! - 0.1) < 0.01);
  t.equal(step!.points.memory.value, null, 'no memory rows: unknown, not zero');
});

t.test('memory told of from late in a step on: that step is unknown', async (t) => {
  const base = START - (START % 300_000);
  const from = (seconds: number): (number | null)[] => {
    const demand = new DemandAccumulator({ stepMs: 300_000, windowMs: 60_000, graceMs: 0 }, FACTS);
    for (let ms = seconds * 1000; ms <= 600_000; ms += 10_000) {
      const values = { 'vm_memory.balloonMiB': 1024, 'vm_memory.availableMiB': 700, 'vm_memory.statsAgeMs': 0 };
      demand.add(block('host', [{ timeMs: base + ms, values }]));
    }
    return demand.closeUntil(base + 600_000).map((step) => step.points.memory.value);
  };
  t.same(from(200), [null, 324], 'two minutes of five');
  t.same(from(120), [324, 324]);
});

t.test('coverage, late rows, gaps and clocks that jump', async (t) => {
  const base = START - (START % 5000);
  const make = () => new DemandAccumulator({ stepMs: 5000, windowMs: 2500, graceMs: 1000 }, FACTS);
  const half = make();
  half.add(
    block(
      'host',
      cpuRows(base + 10_001, base + 11_001, () => 1),
    ),
  );
  t.equal(half.closeUntil(base + 20_000)[0]!.points.cpu.value, null, 'two seconds of five: unknown');

  const shuffled = make();
  const rows = cpuRows(base + 1000, base + 5000, (ms) => (ms - base) / 5000);
  const straight = make();
  straight.add(block('host', rows));
  for (const row of [rows[0]!, rows[2]!, rows[1]!, rows[4]!, rows[3]!]) shuffled.add(block('host', [row]));
  t.ok(shuffled.closeUntil(base + 6000)[0]!.points.cpu.value! > 0.7, 'rows out of order within the step count');
  t.equal(straight.closeUntil(base + 5999).length, 0, 'not before the grace is over');
  t.equal(straight.closeUntil(base + 6000).length, 1);
  straight.add(block('host', rows));
  t.equal(straight.rowsLate, 5, 'later ones are counted');
  t.equal(straight.closeUntil(base + 60_000).length, 0, 'and change nothing');

  straight.add(
    block(
      'host',
      cpuRows(base + 3_600_000 * 24, base + 3_600_000 * 24, () => 9),
    ),
  );
  t.same(straight.closeUntil(base + 60_000), [], 'a row from tomorrow makes no step');
  straight.add(
    block(
      'host',
      cpuRows(base + 60_001, base + 65_000, () => 0.5),
    ),
  );
  t.equal(straight.closeUntil(base + 66_000)[0]!.points.cpu.value, 0.5, 'and keeps no honest row out');
  const garbled = make();
  garbled.add(
    block('host', [
      { timeMs: Number.NaN, values: { 'vm_cpu.usageCores': 1 } },
      { timeMs: base, values: { 'vm_cpu.usageCores': -1 } },
    ]),
  );
  t.equal(garbled.closeUntil(base + 60_000)[0]?.points.cpu.value ?? null, null);
});

t.test('censored demand is recovered while the cap moves', async (t) => {
  const random = createPrng(7);
  let worst = 0;
  for (let i = 0; i < 200; i++) {
    const demand = (20 + random.below(70)) / 100;
    const cap = demand * (0.35 + 0.5 * random.next());
    const held = throttle([Math.round(demand * 100)], [Math.round((1 - demand) * 100)], cap, 20_000);
    worst = Math.max(worst, Math.abs(cpu(held.usageCores, held.throttledFraction, cap, 1).value / demand - 1));
  }
  t.ok(worst < 0.15, `largest error ${(worst * 100).toFixed(1)} %`);
});

t.test('one vCPU on a host that answers in fits: what is learnt stays what a vCPU can use', (t) => {
  const demand = new DemandAccumulator({ stepMs: 5000, windowMs: 5000, graceMs: 0 }, { ...FACTS, vcpus: 1 });
  // It ran all the time. Answers came late, then two at once: three seconds of CPU time within a third of one.
  const rates = [1, 0.9, 0.1, 9, 9];
  const rows = rates.map((usage, i) => ({ timeMs: START + (i + 1) * 1000, values: { 'vm_cpu.usageCores': usage } }));
  demand.add(block('host', rows));
  const [step] = demand.closeUntil(START + 5000);
  t.equal(step?.points.cpu.value, 1);
  t.end();
});

t.test("what a guest claims is not in what groups add up: neither CPU nor memory calls for another VM by a guest's word", (t) => {
  const of = (source: Source, values: Record<string, number>) =>
    block(
      source,
      [1, 2, 3, 4, 5].map((second) => ({ timeMs: START + second * 1000, values })),
    );
  const demand = new DemandAccumulator({ stepMs: 5000, windowMs: 5000, graceMs: 0 }, FACTS);
  demand.add(of('host', { 'vm_cpu.usageCores': 0.2 }));
  demand.add(of('guest', { 'vm_cpu.guestStealFraction': 0.9, 'vm_cpu.guestRunQueue': 50 }));
  demand.add(of('guest', { 'vm_memory.guestTotalMiB': 1000, 'vm_memory.guestAvailableMiB': 100 }));
  const [step] = demand.closeUntil(START + 5000);
  t.equal(step?.points.cpu.value, 1, 'for itself it is believed up to its guaranteed share');
  t.same([...(step?.windows.cpu ?? [])], [0.2]);
  t.equal(step?.memoryClaimed, true);
  const honest = new DemandAccumulator({ stepMs: 5000, windowMs: 5000, graceMs: 0 }, FACTS);
  honest.add(of('host', { 'vm_memory.balloonMiB': 1000, 'vm_memory.availableMiB': 600, 'vm_memory.statsAgeMs': 0 }));
  const [seen] = honest.closeUntil(START + 5000);
  t.equal(seen?.points.memory.value, 400);
  t.equal(seen?.memoryClaimed, false);
  t.end();
});

t.test('a VM on few vCPUs does not teach that it needs few', (t) => {
  const on = (usageCores: number, vcpusOnline: number, throttledFraction = 0, capCores = Number.NaN) =>
    cpuDemand({
      ...{ usageCores, throttledFraction, waitFraction: Number.NaN, capCores, vcpus: 8, vcpusOnline },
      ...{ guestStealFraction: Number.NaN, guestRunQueue: Number.NaN, guaranteedCores: Number.NaN },
    });
  t.match(on(1.95, 2), { value: 1.95 * 1.25, suppressed: true }, 'busy on all that are online');
  const waits = { waitFraction: 0.2, vcpusOnline: 2, usageCores: 0.4, vcpus: 8, throttledFraction: 0, capCores: Number.NaN };
  const claims = { guestStealFraction: Number.NaN, guestRunQueue: Number.NaN, guaranteedCores: Number.NaN };
  t.match(cpuDemand({ ...waits, ...claims }), { value: 2.5, suppressed: true }, 'two that always have work, on a busy host');
  t.match(on(1.5, 2), { value: 1.5, suppressed: false });
  t.match(on(1.95, Number.NaN), { value: 1.95, suppressed: false }, 'all are online');
  t.match(on(6, 2), { value: 6, suppressed: false }, 'more than two can run: they are not what holds it');
  t.match(on(7.9, 8), { value: 8, suppressed: true }, 'never more than it has');
  // Two of eight throttled for a tenth of the time: told as a fortieth of all.
  t.equal(on(0.5, 2, 0.025, 2.4).suppressed, true);
  t.equal(on(0.5, 8, 0.025, 2.4).suppressed, false);
  t.end();
});

t.test('a step in which more came online was held down before', (t) => {
  const demand = new DemandAccumulator({ stepMs: 10_000, windowMs: 5000, graceMs: 0 }, { ...FACTS, vcpus: 8, vcpusOnline: 2 });
  const second = (s: number, usageCores: number) =>
    demand.add(block('host', [{ timeMs: START + s * 1000, values: { 'vm_cpu.usageCores': usageCores, 'vm_cpu.throttledFraction': 0 } }]));
  for (let s = 0; s <= 5; s++) second(s, 1.98);
  demand.setFacts({ ...FACTS, vcpus: 8 });
  for (let s = 6; s <= 10; s++) second(s, 1);
  for (let s = 11; s <= 20; s++) second(s, 1.98);
  const steps = new Map([...demand.closeUntil(START + 21_000)].map((step) => [step.startMs, step.points.cpu]));
  t.match(steps.get(START), { suppressed: true });
  t.match(steps.get(START + 10_000), { suppressed: false }, 'two cores of eight are what it wants now');
  t.end();
});
