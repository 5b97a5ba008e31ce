/**
 * Goal: every step of a plan ends in exactly one outcome, whatever is lost, repeated or late on the way; commands are fenced,
 * repeated the same to the byte, and counted as under way until nothing of them can arrive any more.
 */
import fc from 'fast-check';
import t from 'tap';
import { lintCommand } from '../../aggregator/core/lint/command-rules.ts';
import type { Plan, PlanStep } from '../../aggregator/core/plan/plan.ts';
import { Executor, type Fencing, type StepOutcome } from '../../aggregator/execute/executor.ts';
import { createPrng } from '../../shared/prng.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { comparePairs, type Pair, type Setting } from '../../shared/resources.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import { resultOf } from '../support/fake-host.ts';
import { KVM1, NOW_MS, testVmId } from '../support/fleet.ts';

type Command = FrameOf<'command'>;

function stepFor(n: number, capCores = 1.5): PlanStep {
  return {
    vm: testVmId(n),
    vmName: `vm-${n}`,
    host: KVM1,
    resource: 'cpu',
    direction: 'grow',
    from: { resource: 'cpu', weight: 100, capCores: 1 },
    to: { resource: 'cpu', weight: 100, capCores },
    floor: 0.4,
    ceiling: 2,
    mode: 'auto',
    constraint: 'forecast',
    reason: 'because',
    predictedDemand: 1.4,
    model: 'aggregate',
  };
}

const planOf = (id: string, steps: PlanStep[]): Plan => ({ id, nowMs: NOW_MS, steps, notDone: [], grants: [], inputsDigest: '' });

class Bench {
  readonly time: SimulatedTime;
  readonly sent: Command[] = [];
  readonly outcomes: StepOutcome[] = [];
  readonly pending = new Map<string, Setting | null>();
  readonly changed: string[] = [];
  readonly executor: Executor;
  connected = true;

  constructor(seed = 1) {
    this.time = new SimulatedTime(createPrng(seed), NOW_MS);
    this.executor = new Executor({
      clock: new NodeClock(this.time),
      retryMs: 1000,
      deadlineMs: 10_000,
      settleMs: 20_000,
      send: (_host, frame) => {
        if (!this.connected) return false;
        this.sent.push(frame);
        return true;
      },
      onPending: (vm, resource, target) => this.pending.set(`${vm}/${resource}`, target),
      onSent: (step) => this.changed.push(step.vm),
      onOutcome: (outcome) => this.outcomes.push(outcome),
    });
  }

  run(forMs: number): Promise<void> {
    return this.time.runUntil(this.time.nowMs + forMs);
  }
}

const fencing = (highest?: Pair, hostEpoch = 0): Fencing => ({
  ownEpoch: 3,
  highest: () => highest,
  hostEpoch: () => hostEpoch,
  held: () => true,
  leaseMs: 25_000,
});

t.test('a command, its result, its outcome', async (t) => {
  const bench = new Bench();
  bench.executor.execute(planOf('p', [stepFor(1)]), fencing({ epoch: 3, generation: 7 }));
  t.match(bench.sent, [{ commandId: 'p/0', pair: { epoch: 3, generation: 8 }, leaseMs: 25_000, mode: 'auto', floor: 0.4, ceiling: 2 }]);
  t.same(bench.pending.get(`${testVmId(1)}/cpu`), stepFor(1).to);
  t.same(bench.changed, [testVmId(1)]);
  t.same(bench.executor.onResult(resultOf(bench.sent[0]!, 'applied', 0)), { step: stepFor(1), planId: 'p' });
  t.match(bench.outcomes, [{ outcome: 'applied', planId: 'p', index: 0, readBack: stepFor(1).to }]);
  t.equal(bench.pending.get(`${testVmId(1)}/cpu`), null);
  t.equal(bench.executor.onResult(resultOf(bench.sent[0]!, 'applied', 0)), null, 'a second result is nothing new');
  t.equal(bench.outcomes.length, 1);
});

t.test('pairs: above everything seen, in the highest epoch there is', async (t) => {
  const pairOf = (highest: Pair | undefined, hostEpoch: number) => {
    const bench = new Bench();
    bench.executor.execute(planOf('p', [stepFor(1)]), fencing(highest, hostEpoch));
    return bench.sent[0]!.pair;
  };
  t.same(pairOf(undefined, 0), { epoch: 3, generation: 1 });
  t.same(pairOf({ epoch: 2, generation: 900 }, 0), { epoch: 3, generation: 1 });
  t.same(pairOf({ epoch: 9, generation: 4 }, 0), { epoch: 9, generation: 5 });
  t.same(pairOf({ epoch: 2, generation: 4 }, 8), { epoch: 8, generation: 1 });
});

t.test('no result: repeated until the deadline, then failed, and still counted until it cannot arrive', async (t) => {
  const bench = new Bench();
  bench.executor.execute(planOf('p', [stepFor(1)]), fencing());
  await bench.run(9500);
  t.equal(bench.sent.length, 10, 'once a second');
  t.equal(new Set(bench.sent.map((frame) => JSON.stringify(frame))).size, 1);
  t.equal(bench.changed.length, 1, 'one change, however often it was sent');
  await bench.run(1500);
  t.match(bench.outcomes, [{ outcome: 'failed', reason: /no result within 10000 ms/ }]);
  t.not(bench.pending.get(`${testVmId(1)}/cpu`), null, 'a late delivery may still apply it');
  const count = bench.sent.length;
  bench.executor.execute(planOf('q', [stepFor(1, 1.8)]), fencing());
  t.match(bench.outcomes[1], { outcome: 'skipped', planId: 'q', reason: /still under way/ });
  await bench.run(25_000);
  t.equal(bench.sent.length, count, 'nothing more was sent');
  t.equal(bench.pending.get(`${testVmId(1)}/cpu`), null);
});

t.test('a late result after giving up still tells what is in force', async (t) => {
  const bench = new Bench();
  bench.executor.execute(planOf('p', [stepFor(1)]), fencing());
  await bench.run(12_000);
  t.same(bench.executor.onResult(resultOf(bench.sent[0]!, 'applied', 0)), { step: stepFor(1), planId: 'p' });
  t.equal(bench.outcomes.length, 1, 'its failure was told already');
  t.equal(bench.pending.get(`${testVmId(1)}/cpu`), null);
});

t.test('a host that is away: sent when it is back; never sent at all: failed and forgotten at once', async (t) => {
  const bench = new Bench();
  bench.connected = false;
  bench.executor.execute(planOf('p', [stepFor(1)]), fencing());
  await bench.run(3000);
  t.equal(bench.sent.length, 0);
  t.equal(bench.changed.length, 0, 'what was not sent changes nothing');
  bench.connected = true;
  bench.executor.hostConnected(KVM1);
  t.equal(bench.sent.length, 1);
  const other = new Bench();
  other.connected = false;
  other.executor.execute(planOf('p', [stepFor(1)]), fencing());
  await other.run(11_500);
  t.match(other.outcomes, [{ outcome: 'failed', reason: /could not be reached/ }]);
  t.equal(other.pending.get(`${testVmId(1)}/cpu`), null);
});

t.test('abort: told once as superseded, nothing more is sent', async (t) => {
  const bench = new Bench();
  bench.executor.execute(planOf('p', [stepFor(1), stepFor(2)]), fencing());
  bench.executor.abort((step) => step.vm === testVmId(1), 'kill switch: a drill');
  t.match(bench.outcomes, [{ outcome: 'superseded', reason: 'kill switch: a drill', index: 0 }]);
  await bench.run(5000);
  t.equal(bench.sent.filter(({ vm }) => vm === testVmId(1)).length, 1);
  t.ok(bench.sent.filter(({ vm }) => vm === testVmId(2)).length > 3);
});

t.test('every kind of outcome is passed on as the host told it', async (t) => {
  for (const outcome of ['applied', 'skipped', 'refused', 'failed', 'superseded'] as const) {
    const bench = new Bench();
    bench.executor.execute(planOf('p', [stepFor(1)]), fencing());
    bench.executor.onResult(resultOf(bench.sent[0]!, outcome, 0));
    t.equal(bench.outcomes[0]?.outcome, outcome);
    t.equal(bench.executor.counters[outcome], 1);
  }
});

t.test('loss, repetition and reordering: one outcome per step, generations only rise', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          vm: fc.integer({ min: 1, max: 4 }),
          replies: fc.array(fc.integer({ min: 0, max: 25_000 }), { maxLength: 3 }),
          lost: fc.boolean(),
        }),
        { minLength: 1, maxLength: 12 },
      ),
      fc.nat(1000),
      async (moves, seed) => {
        const bench = new Bench(seed);
        const highest = new Map<string, Pair>();
        let planned = 0;
        for (const [i, { vm, replies, lost }] of moves.entries()) {
          const before = bench.sent.length;
          bench.executor.execute(planOf(`p${i}`, [stepFor(vm)]), { ...fencing(), highest: (id) => highest.get(id) });
          planned++;
          const command = bench.sent[before];
          if (command) {
            const known = highest.get(command.vm);
            if (known && comparePairs(command.pair, known) <= 0) throw new Error('a generation went back');
            highest.set(command.vm, command.pair);
            if (!lost)
              for (const delayMs of replies) bench.time.schedule(() => bench.executor.onResult(resultOf(command, 'applied', 0)), delayMs);
          }
          await bench.run(3000);
        }
        await bench.run(60_000);
        const ids = bench.outcomes.map(({ commandId }) => commandId);
        if (new Set(ids).size !== ids.length) throw new Error('a step had two outcomes');
        if (ids.length !== planned) throw new Error(`${planned} steps, ${ids.length} outcomes`);
        if ([...bench.pending.values()].some((target) => target !== null)) throw new Error('something is still counted as under way');
      },
    ),
    { numRuns: 60 },
  );
});

t.test('the last check: each of its rules alone stops a command', async (t) => {
  const step = stepFor(1);
  const bench = new Bench();
  bench.executor.execute(planOf('p', [step]), fencing());
  const good = bench.sent[0]!;
  t.equal(lintCommand(good, step, { epoch: 2, generation: 9 }, 3), null);
  t.match(lintCommand({ ...good, pair: { epoch: 2, generation: 1 } }, step, undefined, 3), /below our own/);
  t.match(lintCommand(good, step, good.pair, 3), /not above/);
  t.match(lintCommand({ ...good, vm: testVmId(2) }, step, undefined, 3), /another VM/);
  t.match(lintCommand({ ...good, target: stepFor(1, 1.9).to }, step, undefined, 3), /values/);
  t.match(lintCommand({ ...good, previous: stepFor(1, 1.9).to }, step, undefined, 3), /values/);
  t.match(lintCommand({ ...good, ceiling: 3 }, step, undefined, 3), /bounds/);
  t.match(lintCommand({ ...good, leaseMs: 0 }, step, undefined, 3), /lease/);
});
