/**
 * Rules on loans between VMs: who may be made to lend to whom, for how long, and that what is lent stays lent until it is
 * due. Each looks at snapshot, policy and plan anew.
 */
import type { Loan } from '../plan/loan.ts';
import { gives, type LintContext, type LintedStep, type PlanRule, type StepRule, settingOf, takes } from './lint-rule.ts';

/** Where the policy says nothing. */
const TERM_MS_DEFAULT = 30 * 60_000;
/** Settings are hundredths of a core and whole MiB. */
const ROUNDING = { cpu: 0.011, memory: 1.01 } as const;

/** A step for a loan is a shrink of its lender, in favour of a more important VM on the same host, within the policy's term. */
export const loanGranted: StepRule = ({ step, vm, policy: own }, { plan, policy, vms, snapshot }) => {
  if (step.loan === undefined) return null;
  const loan = plan.loans?.find(({ id }) => id === step.loan);
  if (loan === undefined) return `it is for the loan ${step.loan}, which the plan does not name`;
  if (policy.whenShort?.borrow === false) return 'the policy does not let VMs borrow';
  if (loan.lender !== vm.id || loan.resource !== step.resource || !takes(step.from, step.to))
    return `it does not give what the loan ${loan.id} says`;
  const borrower = vms.get(loan.borrower);
  if (borrower === undefined || borrower.host !== vm.host || borrower.id === vm.id)
    return `${loan.borrowerName} is no other VM of its host`;
  const { priority, mode } = policy.resolve(borrower, step.resource);
  if (priority <= own.priority) return `${borrower.name} has priority ${priority}, which is not above ${own.priority}`;
  if (mode !== 'auto') return `${borrower.name} is in mode ${mode}: nothing is changed for it`;
  const termMs = policy.whenShort?.loanTermMs ?? TERM_MS_DEFAULT;
  if (loan.untilMs - snapshot.nowMs > termMs) return `it is lent for ${loan.untilMs - snapshot.nowMs} ms, the policy says ${termMs}`;
  const bound = (snapshot.loans ?? []).find((open) => binds(open, vm.id, step.resource));
  // More of the same loan, once what was asked for before is given.
  return bound !== undefined && (bound.id !== loan.id || bound.state !== 'lent' || bound.borrower !== loan.borrower)
    ? `${vm.name} lends already`
    : null;
};

const binds = (loan: Loan, vm: string, resource: string): boolean =>
  loan.lender === vm && loan.resource === resource && loan.state !== 'repaid' && loan.state !== 'void';

/** A lender gets nothing back before it is due, or what it lent would be granted twice. Memory under pressure is due at once. */
export const lentKept: StepRule = ({ step, vm }, { snapshot }) => {
  if (!gives(step.from, step.to)) return null;
  const loan = (snapshot.loans ?? []).find((open) => binds(open, vm.id, step.resource) && open.state !== 'due');
  if (loan === undefined) return null;
  const to = settingOf(step.to, 'memory')?.memoryMiB ?? capOf(step) ?? Number.POSITIVE_INFINITY;
  const most = Math.max(loan.lenderAfter, settingOf(step.from, 'memory')?.memoryMiB ?? 0);
  return to > most + ROUNDING[loan.resource] ? `${vm.name} lends ${loan.amount} until ${loan.untilMs} and would have ${to} again` : null;
};

function capOf({ to }: LintedStep['step']): number | null {
  return to.resource === 'cpu' ? to.capCores : null;
}

/** Nobody borrows more than its ceiling has room for. */
export const borrowedWithinCeiling: PlanRule = (steps, { plan, vms, policy }: LintContext) => {
  const asked = Map.groupBy(plan.loans ?? [], (loan) => `${loan.borrower} ${loan.resource}`);
  return [...asked.values()].flatMap((loans) => {
    const [{ borrower, resource, borrowerName }] = loans as [Loan, ...Loan[]];
    const vm = vms.get(borrower);
    if (vm === undefined) return [];
    const has =
      resource === 'memory' ? settingOf(vm.current.memory, 'memory')?.memoryMiB : (settingOf(vm.current.cpu, 'cpu')?.capCores ?? vm.vcpus);
    const ceiling = Math.min(
      policy.resolve(vm, resource).ceiling ?? Number.POSITIVE_INFINITY,
      resource === 'memory' ? vm.bootMemoryMiB : vm.vcpus,
    );
    const sum = loans.reduce((total, { askedAmount }) => total + askedAmount, 0);
    // A loan may be a little larger than what is missing: changes within the dead band are not worth a write.
    if (has === undefined || sum <= LOAN_SLACK * Math.max(0, ceiling - has) + ROUNDING[resource]) return [];
    const message = `${borrowerName} would borrow ${sum.toFixed(2)} and may grow by ${(ceiling - has).toFixed(2)}`;
    return steps.filter(({ step }) => loans.some(({ id }) => id === step.loan)).map(({ index }) => ({ step: index, message }));
  });
};

/** Twice, at most: what lies in a lender's dead band is taken along. */
const LOAN_SLACK = 2;
