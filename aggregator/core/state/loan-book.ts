/**
 * The loan ledger as it stands: open loans, and the last ones that ended. Input: loans of plans, how their steps ended,
 * reviews; output: what is open, and every change once, for ledger and people. Pure.
 */
import type { Outcome } from '../../../shared/resources.ts';
import { isOpen, type Loan } from '../plan/loan.ts';
import { notGiven, reviewLoans } from '../plan/loan-review.ts';
import type { FleetSnapshot, Plan } from '../plan/plan.ts';
import type { FleetPolicy } from '../plan/policy.ts';

/** Ended loans kept to be shown. */
const ENDED_MAX = 500;

export class LoanBook {
  readonly #loans = new Map<string, Loan>();
  #changed: Loan[] = [];

  /** Open first, then the ended ones, newest first. */
  all(): Loan[] {
    const loans = [...this.#loans.values()].reverse();
    return [...loans.filter(isOpen), ...loans.filter((loan) => !isOpen(loan))];
  }

  open(): Loan[] {
    return [...this.#loans.values()].filter(isOpen);
  }

  /** Of before a restart, oldest first; tells nothing. */
  restore(loans: readonly Loan[]): void {
    for (const loan of loans) if (!this.#loans.has(loan.id)) this.#loans.set(loan.id, loan);
  }

  /** Only loans whose step is carried out. */
  opened({ steps, loans = [] }: Pick<Plan, 'steps' | 'loans'>): void {
    const carried = new Set(steps.map(({ loan }) => loan));
    for (const loan of loans) if (carried.has(loan.id)) this.#put(loan);
  }

  /** The lender's step ended. */
  outcome(id: string, outcome: Outcome, reason: string): void {
    const loan = this.#loans.get(id);
    if (loan?.state !== 'asked') return;
    if (outcome === 'applied') this.#put({ ...loan, state: 'lent' });
    else this.#put({ ...loan, ...notGiven(loan, `${outcome}, ${reason}`) });
  }

  /** The snapshot, with what is lent now. */
  reviewed(snapshot: FleetSnapshot, policy: FleetPolicy): FleetSnapshot {
    if (this.#loans.size === 0) return snapshot;
    for (const loan of reviewLoans(this.open(), snapshot, policy)) this.#put(loan);
    const open = this.open();
    return open.length === 0 ? snapshot : { ...snapshot, loans: open };
  }

  takeChanged(): Loan[] {
    const changed = this.#changed;
    this.#changed = [];
    return changed;
  }

  #put(loan: Loan): void {
    this.#loans.delete(loan.id);
    this.#loans.set(loan.id, loan);
    this.#changed.push(loan);
    const ended = [...this.#loans.values()].filter((each) => !isOpen(each));
    for (const old of ended.slice(0, Math.max(0, ended.length - ENDED_MAX))) this.#loans.delete(old.id);
  }
}
