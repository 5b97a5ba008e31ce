/**
 * Goal: what happens when a host lacks room: the less important lend down to their floors and no further, what is lent stays
 * lent until it is due, what is due is paid back in order, and what cannot be borrowed is proposed elsewhere, held and told.
 * Every plan made here passes the lint.
 */
import t from 'tap';
import { lintPlan } from '../../aggregator/core/lint/lint.ts';
import { type Loan, loanWords } from '../../aggregator/core/plan/loan.ts';
import { reviewLoans } from '../../aggregator/core/plan/loan-review.ts';
import type { FleetSnapshot, Plan, VmSnapshot } from '../../aggregator/core/plan/plan.ts';
import { plan } from '../../aggregator/core/plan/planner.ts';
import type { FleetPolicy } from '../../aggregator/core/plan/policy.ts';
import { LoanBook } from '../../aggregator/core/state/loan-book.ts';
import { ShortageWatch } from '../../aggregator/service/shortage-watch.ts';
import { hostId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { AUTO_POLICY, demandOf, forecastOf, hostOf, NOW_MS, policyOf, snapshotOf, testVmId, vmOf } from '../support/fleet.ts';

/** Nothing is kept free for reboots, so that rooms are easy to reckon. */
const PRIORITIES = `${AUTO_POLICY.replace('fleet:\n', 'fleet:\n  rebootTogether: 0\n')}rules:
  - {name: shop, match: {name: shop}, cpu: {priority: 900}, memory: {priority: 900}}
  - {name: floor, match: {name: 'lend*'}, memory: {floor: 600}}
`;
const policy = policyOf(PRIORITIES);
const steady = (value: number) => demandOf(value, forecastOf([value, value, value, value, value, value]));
const memory = (memoryMiB: number) => ({ resource: 'memory' as const, memoryMiB });
const cpu = (capCores: number | null) => ({ resource: 'cpu' as const, weight: 100, capCores });

/** Has 512 MiB and needs 780. */
const shop = (over: Partial<VmSnapshot> = {}) =>
  vmOf(1, {
    name: 'shop',
    current: { cpu: cpu(1), memory: memory(512) },
    demand: { ...vmOf(1).demand, memory: demandOf(500, forecastOf([700, 780, 780, 780, 780, 780])) },
    memory: { balloonMiB: 512, workingSetMiB: 480, workingSetPeakMiB: 480, rssMiB: 540, pressure: false },
    ...over,
  });
/** Has 800 MiB, wants them, and could do with 600. */
const lender = (n: number, over: Partial<VmSnapshot> = {}) =>
  vmOf(n, { name: `lender ${n}`, demand: { ...vmOf(n).demand, memory: steady(755) }, ...over });
/** All that is there is granted: no VM can grow. */
const FULL = hostOf({ memoryMiB: 512 + 552 + 2 * 840, availableMiB: 700 });

function planned(snapshot: FleetSnapshot, by: FleetPolicy = policy): Plan {
  const { plan: made } = plan(snapshot, by, { epoch: 3 }, createPrng(1));
  t.same(lintPlan(made, snapshot, by), [], 'the lint finds nothing');
  return made;
}

t.test('what is missing is borrowed from the less important, down to their floors, with a term', async (t) => {
  const { steps, loans = [], shortages = [] } = planned(snapshotOf([shop(), lender(2), lender(3)], [FULL]));
  t.ok(loans.length > 0, 'somebody lends');
  for (const loan of loans) {
    t.match(loan, { borrowerName: 'shop', resource: 'memory', state: 'asked', openedAtMs: NOW_MS, untilMs: NOW_MS + 30 * 60_000 });
    const step = steps.find((each) => each.loan === loan.id);
    t.match(step, { vm: loan.lender, direction: 'shrink', constraint: 'lent', reason: /shop \(priority 900\) goes before it/ });
    t.ok(loan.lenderAfter >= 600, `not below its floor: ${loan.lenderAfter}`);
    t.match(loanWords(loan, 'lender'), /about to be lent to shop until 09:25/);
  }
  t.notOk(
    steps.some((step) => step.direction === 'grow' && step.vmName === 'shop' && step.to.resource === 'memory'),
    'nothing grows before there is room',
  );
  t.match(shortages[0], { vmName: 'shop', resource: 'memory', measures: [{ kind: 'borrow', done: true }] });
});

t.test('nobody lends to an equal, nor where the policy says no', async (t) => {
  const equals = planned(snapshotOf([shop({ name: 'equal' }), lender(2), lender(3)], [FULL]));
  t.same(equals.loans, undefined);
  t.match(equals.shortages?.[0]?.measures, [
    { kind: 'borrow', done: false },
    { kind: 'migrate', done: false },
    { kind: 'throttle', done: true },
    { kind: 'alert', done: true },
  ]);
  const forbidden = planned(
    snapshotOf([shop(), lender(2)], [FULL]),
    policyOf(PRIORITIES.replace('fleet:\n', 'fleet:\n  whenShort: {borrow: false}\n')),
  );
  t.same(forbidden.loans, undefined);
  t.match(forbidden.shortages?.[0]?.measures[0], { done: false, words: /does not let VMs borrow/ });
});

t.test('a guest whose driver refuses to inflate is not lent against', async (t) => {
  const stubborn = lender(2, {
    current: { cpu: cpu(1), memory: memory(700) },
    memory: { ...vmOf(2).memory, balloonMiB: 700, rssMiB: 1000 },
  });
  const { loans } = planned(snapshotOf([shop(), stubborn], [hostOf({ ...FULL, memoryMiB: 512 + 552 + 1000 })]));
  t.same(loans, undefined, 'what the host still sees resident is not there to be lent');
});

t.test('loans under way are not asked for again', async (t) => {
  const first = planned(snapshotOf([shop(), lender(2), lender(3)], [FULL]));
  const asked = { ...snapshotOf([shop(), lender(2, { pending: { memory: memory(720) } }), lender(3)], [FULL]), loans: first.loans ?? [] };
  t.same(planned(asked).loans, undefined);
});

const LOAN: Loan = {
  id: '1-1',
  host: FULL.id,
  resource: 'memory',
  lender: testVmId(2),
  lenderName: 'lender 2',
  borrower: testVmId(1),
  borrowerName: 'shop',
  amount: 100,
  lenderBefore: 800,
  lenderAfter: 700,
  openedAtMs: NOW_MS - 600_000,
  askedAtMs: NOW_MS - 600_000,
  askedAmount: 100,
  untilMs: NOW_MS + 1_200_000,
  state: 'lent',
  because: 'test',
};
const lent = (over: Partial<VmSnapshot> = {}) =>
  lender(2, {
    current: { cpu: cpu(1), memory: memory(700) },
    memory: { ...vmOf(2).memory, balloonMiB: 700, rssMiB: 720 },
    ...over,
  });

t.test('a lender gives in steps: more of the same loan, with the same end', async (t) => {
  const more = lent({ demand: { ...lent().demand, memory: steady(690) } });
  const snapshot = { ...snapshotOf([shop(), more], [hostOf({ ...FULL, memoryMiB: 512 + 552 + 740 })]), loans: [LOAN] };
  const { steps, loans = [] } = planned(snapshot);
  t.match(loans[0], {
    id: LOAN.id,
    state: 'asked',
    lenderBefore: 800,
    lenderAfter: 630,
    amount: 170,
    askedAmount: 70,
    untilMs: LOAN.untilMs,
  });
  t.equal(steps.filter(({ loan }) => loan === LOAN.id).length, 1);
  const book = new LoanBook();
  book.restore([LOAN]);
  book.opened({ steps, loans });
  book.outcome(LOAN.id, 'refused', 'kill switch');
  t.match(book.open()[0], { state: 'lent', amount: 100, lenderAfter: 700 }, 'what was refused is not lent, the rest is');
});

t.test('a lender does not grow back while it lends', async (t) => {
  const roomy = { ...snapshotOf([lent()]), loans: [LOAN] };
  const { steps, notDone } = planned(roomy);
  t.notOk(steps.some(({ resource }) => resource === 'memory'));
  t.match(
    notDone.find(({ vm, resource }) => vm === testVmId(2) && resource === 'memory'),
    { constraint: 'lent', reason: /while 100 MiB are lent to shop/ },
  );
});

t.test('due when the term ends, when the lender is short itself, when there is room for both; repaid when it has it back', async (t) => {
  const review = (loan: Loan, snapshot: FleetSnapshot) => reviewLoans([loan], snapshot, policy)[0];
  const full = snapshotOf([shop({ current: { cpu: cpu(1), memory: memory(600) } }), lent(), lender(3)], [FULL]);
  t.equal(review(LOAN, full), undefined, 'it goes on');
  t.match(review({ ...LOAN, untilMs: NOW_MS }, full), { state: 'due', because: /term ended/ });
  const short = snapshotOf([shop(), lent({ memory: { ...lent().memory, pressure: true } })], [FULL]);
  t.match(review(LOAN, short), { state: 'due', because: /short of memory itself/ });
  t.match(review(LOAN, snapshotOf([shop(), lent()])), { state: 'due', because: /room for both/ });
  t.equal(review({ ...LOAN, askedAtMs: NOW_MS - 1000 }, snapshotOf([shop(), lent()])), undefined, 'the borrower has a while to take it');
  t.match(review({ ...LOAN, state: 'due' }, snapshotOf([shop(), lender(2)])), { state: 'repaid' });
  t.match(review(LOAN, snapshotOf([shop(), lender(2, { state: 'stopped' })])), { state: 'void' });
  t.match(review(LOAN, snapshotOf([shop({ state: 'error' }), lent(), lender(3)], [FULL])), { state: 'due', because: /no longer runs/ });
});

t.test('what is due is paid back: at once where there is room, else the borrower gives it back first', async (t) => {
  const due: Loan = { ...LOAN, state: 'due', because: 'its term ended' };
  const roomy = planned({ ...snapshotOf([lent()]), loans: [due] });
  t.match(
    roomy.steps.find(({ resource }) => resource === 'memory'),
    { direction: 'grow', to: { memoryMiB: 800 }, constraint: 'repayment', reason: /100 MiB lent to shop are paid back/ },
  );
  const rich = shop({
    current: { cpu: cpu(1), memory: memory(900) },
    memory: { ...shop().memory, balloonMiB: 900, rssMiB: 930 },
    demand: { ...shop().demand, memory: steady(840) },
  });
  const tight = hostOf({ memoryMiB: 512 + 940 + 740, availableMiB: 520 });
  const { steps } = planned({ ...snapshotOf([rich, lent()], [tight]), loans: [due] });
  t.match(
    steps.find(({ vmName }) => vmName === 'shop'),
    { direction: 'shrink', resource: 'memory', reason: /borrowed from lender 2 are due back/ },
  );
});

t.test('the oldest loan is paid back first', async (t) => {
  const due = (n: number, ageMs: number): Loan => ({
    ...LOAN,
    id: `${n}`,
    lender: testVmId(n),
    lenderName: `lender ${n}`,
    openedAtMs: NOW_MS - ageMs,
    state: 'due',
  });
  const vms = [lent(), lender(3, { current: lent().current, memory: lent().memory })];
  const tight = hostOf({ memoryMiB: 512 + 2 * 740 + 102, availableMiB: 512 + 102 });
  const { steps, notDone } = planned({ ...snapshotOf(vms, [tight]), loans: [due(3, 900_000), due(2, 600_000)] });
  const grown = steps.filter(({ resource, direction }) => resource === 'memory' && direction === 'grow').map(({ vmName }) => vmName);
  t.same(grown, ['lender 3']);
  t.match(
    notDone.find(({ vm, resource }) => vm === testVmId(2) && resource === 'memory'),
    { constraint: 'capacity' },
  );
});

t.test('CPU: caps are lent too, and the fast guard does not undo it', async (t) => {
  const oneCore = hostOf({ cpuCores: 1, usageCores: 0.5 });
  const policyCpu = policyOf(PRIORITIES.replace('fleet:\n', 'fleet:\n  cpuOvercommit: 1\n'));
  const busy = vmOf(1, {
    name: 'shop',
    vcpus: 1,
    current: { cpu: cpu(0.3), memory: memory(800) },
    demand: { ...vmOf(1).demand, cpu: demandOf(0.3, forecastOf([0.7, 0.7, 0.7, 0.7, 0.7, 0.7])) },
  });
  const idle = vmOf(2, {
    name: 'lender',
    vcpus: 1,
    current: { cpu: cpu(0.7), memory: memory(800) },
    demand: { ...vmOf(2).demand, cpu: steady(0.62) },
  });
  const { loans = [] } = planned(snapshotOf([busy, idle], [oneCore]), policyCpu);
  t.equal(loans.length, 1);
  t.ok(loans[0]!.lenderAfter >= 0.2 && loans[0]!.lenderAfter < 0.7, `left with ${loans[0]!.lenderAfter}`);
  const after = vmOf(2, { ...idle, current: { cpu: cpu(loans[0]!.lenderAfter), memory: memory(800) } });
  const { grants } = planned({ ...snapshotOf([busy, after], [oneCore]), loans: [{ ...loans[0]!, state: 'lent' }] }, policyCpu);
  const allowance = grants[0]?.allowances.find(({ vm }) => vm === testVmId(2));
  t.equal(allowance?.cpuCeilingCores, loans[0]!.lenderAfter);
});

t.test('throttle: new caps on a full host hold equals alike, the less important first', async (t) => {
  const source = AUTO_POLICY.replace('fleet:\n', 'fleet:\n  cpuOvercommit: 1\n').replace(
    'shrinkHorizon: 25s',
    'shrinkHorizon: 25s, stepLimitShrinkFraction: 1',
  );
  const wants = (n: number, name: string) =>
    vmOf(n, { name, vcpus: 2, current: { cpu: cpu(null), memory: memory(800) }, demand: { ...vmOf(n).demand, cpu: steady(1.4) } });
  const host = hostOf({ cpuCores: 2, usageCores: 2 });
  const caps = (made: Plan) =>
    made.steps.filter(({ to }) => to.resource === 'cpu').map(({ vmName, to }) => [vmName, to.resource === 'cpu' ? to.capCores : null]);
  const equals = planned(snapshotOf([wants(1, 'a'), wants(2, 'b')], [host]), policyOf(source));
  t.same(
    caps(equals),
    [
      ['a', 1],
      ['b', 1],
    ].sort(() => (caps(equals)[0]?.[0] === 'a' ? 0 : -1)),
    'equals get the same',
  );
  t.ok(equals.steps.some(({ constraint, reason }) => constraint === 'throttle' && /held below the 1.54 cores it wants/.test(reason)));
  const ranked = planned(
    snapshotOf([wants(1, 'shop'), wants(2, 'b')], [host]),
    policyOf(`${source}rules:\n  - {name: shop, match: {name: shop}, cpu: {priority: 900}}\n`),
  );
  const byName = Object.fromEntries(caps(ranked));
  t.equal(byName.shop, 1.54);
  t.equal(byName.b, 0.46);
});

t.test('migration: proposed where the policy asks and another host has room, never made', async (t) => {
  const other = hostOf({ id: hostId('kvm2') });
  const asks = policyOf(PRIORITIES.replace('fleet:\n', 'fleet:\n  whenShort: {borrow: false, migrate: true}\n'));
  const { shortages = [], steps } = planned(snapshotOf([shop(), lender(2), lender(3)], [FULL, other]), asks);
  t.match(shortages[0]?.measures[1], { kind: 'migrate', done: true, words: /move it to kvm2/ });
  t.match(shortages[0]?.measures.at(-1), { kind: 'alert', done: true });
  t.notOk(steps.some(({ host }) => host === other.id));
});

t.test('the book: only what is carried out is lent; each change is told once', async (t) => {
  const book = new LoanBook();
  const { steps, loans = [] } = planned(snapshotOf([shop(), lender(2), lender(3)], [FULL]));
  book.opened({ steps: [], loans });
  t.same(book.open(), [], 'struck by the lint: no loan');
  book.opened({ steps, loans });
  t.same(
    book.takeChanged().map(({ state }) => state),
    loans.map(() => 'asked'),
  );
  book.outcome(loans[0]!.id, 'applied', '');
  for (const { id } of loans.slice(1)) book.outcome(id, 'refused', 'kill switch');
  t.same(
    book.takeChanged().map(({ state }) => state),
    ['lent', ...loans.slice(1).map(() => 'void')],
  );
  t.same(book.takeChanged(), []);
  const again = new LoanBook();
  again.restore(book.all());
  t.same(
    again.open().map(({ id }) => id),
    [loans[0]!.id],
    'known after a restart',
  );
});

t.test('the administrator is called when a shortage lasts, once, and told when it is over', async (t) => {
  const watch = new ShortageWatch();
  const { shortages = [] } = planned(snapshotOf([shop({ name: 'equal' }), lender(2), lender(3)], [FULL]));
  t.same(watch.plan(shortages, 1), []);
  t.match(watch.plan(shortages, 2), [{ change: 'alert', shortage: { vmName: 'equal', sinceMs: 1 } }]);
  t.same(watch.plan(shortages, 3), []);
  t.match(watch.plan([], 4), [{ change: 'over' }]);
  t.same(watch.current(), []);
});
