/** A loan and a shortage that never happened, for tests of what shows them. */
import type { Loan } from '../../aggregator/core/plan/loan.ts';
import type { ShortageView } from '../../aggregator/http/service.ts';
import { hostId, type VmId } from '../../shared/ids.ts';

export function madeLoan(lender: VmId, borrower: VmId, openedAtMs: number): Loan {
  return {
    ...{ id: `${openedAtMs}-1`, host: hostId('rack1-kvm01'), resource: 'memory', state: 'lent' },
    ...{ lender, lenderName: 'batch', borrower, borrowerName: 'shop-web', amount: 200, lenderBefore: 1024, lenderAfter: 824 },
    ...{
      openedAtMs,
      askedAtMs: openedAtMs,
      askedAmount: 200,
      untilMs: openedAtMs + 1_800_000,
      because: 'demand of up to 900 MiB is expected by 08:55:15',
    },
  };
}

export function madeShortage(vm: VmId, sinceMs: number): ShortageView {
  return {
    ...{ vm, vmName: 'shop-web', host: hostId('rack1-kvm01'), resource: 'memory', has: 700, wanted: 1100, missing: 200 },
    ...{ because: 'demand of up to 1048 MiB is expected by 08:55:15', sinceMs, alerted: true },
    measures: [
      { kind: 'borrow', done: true, words: '200 MiB from batch; nobody less important on rack1-kvm01 can give the other 200 MiB' },
      { kind: 'migrate', done: false, words: 'the policy does not ask for migrations (fleet.whenShort.migrate)' },
      { kind: 'throttle', done: true, words: 'it is held at what fits, 200 MiB below what it wants' },
      { kind: 'alert', done: true, words: 'the administrator is told: 200 MiB are missing on rack1-kvm01' },
    ],
  };
}
