/**
 * A loan: what one VM gave up for a while so that a more important one on the same host can have it. Plain data, and the
 * words for it. Amounts in the resource's headline unit (cores, MiB).
 */
import type { HostId, VmId } from '../../../shared/ids.ts';
import { amountWords, timeWords } from './words.ts';

/** Only these have a known sum per host that can be used up. */
export const LENT_RESOURCES = ['cpu', 'memory'] as const;
export type LentResource = (typeof LENT_RESOURCES)[number];

/**
 * `asked`: the lender's shrink is under way. `lent`: it took place. `due`: it is to be paid back. The rest is over: `repaid`
 * as it should be, `void` because it never came about or lost its ground.
 */
export const LOAN_STATES = ['asked', 'lent', 'due', 'repaid', 'void'] as const;
export type LoanState = (typeof LOAN_STATES)[number];

export interface Loan {
  /** Names it for ever: the time it was opened, and its place in that plan. */
  id: string;
  host: HostId;
  resource: LentResource;
  lender: VmId;
  lenderName: string;
  borrower: VmId;
  borrowerName: string;
  amount: number;
  /** What the lender had, and what it was left with. */
  lenderBefore: number;
  lenderAfter: number;
  openedAtMs: number;
  /** When more of it was asked for last, and how much: lenders give in steps. */
  askedAtMs: number;
  askedAmount: number;
  /** End of its term, UTC ms. */
  untilMs: number;
  state: LoanState;
  /** Why it is in that state, in words. */
  because: string;
}

export function isOpen({ state }: Loan): boolean {
  return state !== 'repaid' && state !== 'void';
}

export function isResource(resource: string): resource is LentResource {
  return LENT_RESOURCES.some((each) => each === resource);
}

/** `200 MiB`, `0.40 cores`. */
export function loanAmount({ resource, amount }: Pick<Loan, 'resource' | 'amount'>): string {
  return amountWords(resource, amount);
}

/** What the owner of either VM is told. */
export function loanWords(loan: Loan, side: 'lender' | 'borrower'): string {
  const amount = loanAmount(loan);
  const other = side === 'lender' ? loan.borrowerName : loan.lenderName;
  switch (loan.state) {
    case 'asked':
      return side === 'lender'
        ? `${amount} are about to be lent to ${other} until ${timeWords(loan.untilMs)}: ${loan.because}`
        : `${amount} are about to be borrowed from ${other} until ${timeWords(loan.untilMs)}: ${loan.because}`;
    case 'lent':
      return `${amount} are ${side === 'lender' ? `lent to ${other}` : `borrowed from ${other}`} until ${timeWords(loan.untilMs)}`;
    case 'due':
      return `${amount} ${side === 'lender' ? `lent to ${other} are due back` : `borrowed from ${other} are to be given back`}: ${loan.because}`;
    case 'repaid':
      return `${amount} ${side === 'lender' ? `lent to ${other} are back` : `borrowed from ${other} were given back`}`;
    case 'void':
      return `the loan of ${amount} ${side === 'lender' ? `to ${other}` : `from ${other}`} is off: ${loan.because}`;
  }
}

/** Open loans by those they bind. */
export class Loans {
  readonly open: readonly Loan[];
  readonly #byLender = new Map<string, Loan>();
  readonly #byBorrower = new Map<string, Loan[]>();

  /** Oldest first: they are paid back in this order. */
  constructor(loans: readonly Loan[]) {
    this.open = loans.filter(isOpen).toSorted((a, b) => a.openedAtMs - b.openedAtMs || (a.id < b.id ? -1 : 1));
    for (const loan of this.open) {
      this.#byLender.set(`${loan.lender} ${loan.resource}`, loan);
      const key = `${loan.borrower} ${loan.resource}`;
      const known = this.#byBorrower.get(key);
      if (known) known.push(loan);
      else this.#byBorrower.set(key, [loan]);
    }
  }

  /** A VM lends a resource to one other at a time. */
  lentBy(vm: VmId, resource: string): Loan | undefined {
    return this.#byLender.get(`${vm} ${resource}`);
  }

  borrowedBy(vm: VmId, resource: string): readonly Loan[] {
    return this.#byBorrower.get(`${vm} ${resource}`) ?? [];
  }
}
