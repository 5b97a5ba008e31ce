/** Loans between VMs, and shortages of hosts, as the API tells them. */
import Type from 'typebox';
import { LENT_RESOURCES, LOAN_STATES } from '../../core/plan/loan.ts';
import { MEASURES } from '../../core/plan/shortage.ts';
import { UtcMs } from './words.ts';

const LentResource = Type.Enum(LENT_RESOURCES);

export const LoanView = Type.Object(
  {
    id: Type.String(),
    host: Type.String(),
    resource: LentResource,
    lender: Type.String(),
    lenderName: Type.String(),
    borrower: Type.String(),
    borrowerName: Type.String(),
    amount: Type.Number({ description: 'Cores or MiB' }),
    lenderBefore: Type.Number({ description: 'What the lender had' }),
    lenderAfter: Type.Number({ description: 'What it is left with while it lends' }),
    openedAtMs: UtcMs,
    askedAtMs: UtcMs,
    askedAmount: Type.Number({ description: 'Of it, what was asked for last: lenders give in steps' }),
    untilMs: UtcMs,
    state: Type.Enum(LOAN_STATES),
    because: Type.String({ description: 'Why it is in that state' }),
  },
  { $id: 'Loan' },
);

export const ShortageView = Type.Object(
  {
    vm: Type.String(),
    vmName: Type.String(),
    host: Type.String(),
    resource: LentResource,
    has: Type.Number({ description: 'Cores or MiB' }),
    wanted: Type.Number(),
    missing: Type.Number(),
    because: Type.String(),
    sinceMs: UtcMs,
    alerted: Type.Boolean({ description: 'The administrator was told' }),
    measures: Type.Array(Type.Object({ kind: Type.Enum(MEASURES), done: Type.Boolean(), words: Type.String() }), {
      description: 'In the order tried',
    }),
  },
  { $id: 'Shortage' },
);
