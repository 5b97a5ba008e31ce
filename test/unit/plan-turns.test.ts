/** Goal: a plan that gave way while its administrator changed the policy, or engaged the kill switch, moves nothing. */
import t from 'tap';
import { type PlanLoopOptions, runPlan } from '../../aggregator/loops/plan-loop.ts';
import { createPrng } from '../../shared/prng.ts';

/** Runs one plan; at its `turn`-th turn for others `change` happens. Answers what was written and carried out. */
async function planned(turn: number, change: (state: { policy: object; killSwitch: boolean }) => void): Promise<string[]> {
  const did: string[] = [];
  const state = {
    ...{ policy: { leaseMs: 1, resolve: () => ({ mode: 'off' }) } as object, killSwitch: false },
    snapshot: () => ({ nowMs: 1, hosts: [{ id: 'h', epoch: 1 }], vms: [], recentChanges: [] }),
    noteGrant: () => undefined,
    hostIds: () => ['h'],
  };
  const plan = { id: 'p', nowMs: 1, steps: [], notDone: [], grants: [{ host: 'h', reserveCores: 0, reserveMiB: 0, allowances: [] }] };
  let turns = 0;
  await runPlan({
    ...{ nowMs: () => 1, nowMonoMs: () => 1, prng: createPrng(1), epoch: 1, epochOf: () => 1, share: (policy: object) => policy, state },
    plan: () => ({ plan, report: {} }),
    lint: () => [],
    giveWay: async () => {
      if (++turns === turn) change(state);
    },
    executor: { execute: () => did.push('carried out') },
    vcpus: { execute: () => undefined },
    ledger: { append: async () => did.push('written') },
    send: () => true,
    entryOf: () => ({ kind: 'plan' }),
    onPlan: () => undefined,
    onRows: () => undefined,
  } as unknown as PlanLoopOptions);
  return did;
}

t.test('a plan that nobody interferes with is written, then carried out', async (t) => {
  t.same(await planned(0, () => undefined), ['written', 'carried out']);
});

t.test('a policy changed before the ledger: no such plan; after it: on record, and not carried out', async (t) => {
  const newPolicy = (state: { policy: object }): void => {
    state.policy = { ...state.policy };
  };
  for (const turn of [1, 2, 3]) t.same(await planned(turn, newPolicy), [], `turn ${turn}`);
  t.same(await planned(4, newPolicy), ['written']);
});

t.test('the kill switch stops it at any turn', async (t) => {
  for (const turn of [1, 2, 3, 4]) {
    const did = await planned(turn, (state) => {
      state.killSwitch = true;
    });
    t.notOk(did.includes('carried out'), `turn ${turn}`);
  }
});
