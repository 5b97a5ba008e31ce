/**
 * What loans change in a decision: a lender is kept at what it was left with, gets back what is due before others grow, and
 * a borrower gives back what its host has no other room for. Input: open loans and rooms; output: an estimator around the
 * chain, a processor, and who owes how much now.
 */
import type { HostRooms } from './allot.ts';
import type { Estimator } from './estimators.ts';
import { type Loan, type Loans, loanAmount } from './loan.ts';
import type { Refusal, Subject } from './planning.ts';
import type { Processor } from './processors.ts';
import { amountWords, timeWords } from './words.ts';

/** By borrower and resource: what it is to give back in this plan. */
export type Owed = ReadonlyMap<string, { amount: number; words: string }>;

/** Oldest loans first, each against the room the ones before it left. */
export function owedNow(loans: Loans, rooms: ReadonlyMap<string, HostRooms>): Owed {
  const owed = new Map<string, { amount: number; words: string }>();
  const used = new Map<string, number>();
  for (const loan of loans.open) {
    const room = rooms.get(loan.host)?.[loan.resource];
    if (loan.state !== 'due' || room === undefined) continue;
    const place = `${loan.host} ${loan.resource}`;
    const before = used.get(place) ?? 0;
    const limit = room.growthLimit(loan.lender, loan.lenderBefore) - before;
    const missing = Math.min(loan.amount, Math.max(0, loan.lenderBefore - limit));
    used.set(place, before + loan.amount - missing);
    if (missing <= 0) continue;
    const key = `${loan.borrower} ${loan.resource}`;
    const known = owed.get(key);
    const words = `${loanAmount(loan)} borrowed from ${loan.lenderName} are due back: ${loan.because}`;
    owed.set(key, { amount: (known?.amount ?? 0) + missing, words: known ? `${known.words}; ${words}` : words });
  }
  return owed;
}

export function withRepayment(inner: Estimator): Estimator {
  return (subject, context) => {
    const need = inner(subject, context);
    if (need === null) return need;
    const { vm, resource, amount } = subject;
    const lent = context.loans.lentBy(vm.id, resource);
    if (lent?.state === 'due' && lent.lenderBefore > Math.max(need.lead, amount)) {
      const because = `${loanAmount(lent)} lent to ${lent.borrowerName} are paid back (${lent.because})`;
      const growOnly: Refusal = { constraint: 'repayment', reason: 'what it lent is being paid back' };
      const back = backTo(lent, subject);
      return {
        ...need,
        lead: back,
        hold: need.hold === null ? null : Math.max(need.hold, back),
        because,
        growOnly,
        constraint: 'repayment',
      };
    }
    const owes = context.owed.get(`${vm.id} ${resource}`);
    if (owes === undefined) return need;
    const left = Math.max(0, amount - owes.amount);
    if (left >= Math.max(need.lead, need.hold ?? 0)) return need;
    return { ...need, lead: left, hold: need.hold === null ? null : left, holdBecause: owes.words, constraint: 'repayment' };
  };
}

/** A lender without a cap gets its cap lifted by other means; what it had beyond its ceiling was never its own. */
function backTo({ lenderBefore }: Loan, { bounds }: Subject): number {
  return Math.min(lenderBefore, bounds.ceiling);
}

/** What is lent stays lent until it is due. */
export const lentOut: Processor = (proposal, { loans }) => {
  const { subject, direction, target } = proposal;
  const { vm, resource, amount } = subject;
  const loan = loans.lentBy(vm.id, resource);
  if (loan === undefined || loan.state === 'due' || direction === 'shrink' || target <= loan.lenderAfter) return proposal;
  const note = `not above ${amountWords(resource, loan.lenderAfter)} while ${loanAmount(loan)} are lent to ${loan.borrowerName} until ${timeWords(loan.untilMs)}`;
  return { ...proposal, target: Math.max(amount, loan.lenderAfter), constraint: 'lent', notes: [...proposal.notes, note] };
};

/** Most that the fast guard may grow a lender's CPU to; memory under pressure is given back whoever it was lent to. */
export function guardCeiling(loans: Loans, vm: Subject['vm'], resource: 'cpu' | 'memory', ceiling: number | null): number | null {
  const loan = loans.lentBy(vm.id, resource);
  if (ceiling === null || loan === undefined || loan.state === 'due' || resource === 'memory') return ceiling;
  return Math.min(ceiling, loan.lenderAfter);
}
