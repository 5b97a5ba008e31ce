/** What a VM lends, borrows and cannot get on its host, in sentences. Input: its id, loans, shortages; output: text for people. */
import type { VmId } from '../../shared/ids.ts';
import { isOpen, type Loan, loanWords } from '../core/plan/loan.ts';
import { amountWords, RESOURCE_WORDS } from '../core/plan/words.ts';
import type { ShortageView } from './service.ts';

export function explainRoom(vm: VmId, loans: readonly Loan[], shortages: readonly ShortageView[]): string[] {
  const sentences = loans.filter(isOpen).flatMap((loan) => {
    if (loan.lender === vm) return [`Loan: ${loanWords(loan, 'lender')}.`];
    return loan.borrower === vm ? [`Loan: ${loanWords(loan, 'borrower')}.`] : [];
  });
  for (const shortage of shortages) {
    if (shortage.vm !== vm) continue;
    const { resource, host, has, wanted, because, measures } = shortage;
    sentences.push(
      `Host ${host} lacks room: it has ${amountWords(resource, has)} of ${RESOURCE_WORDS[resource]} and should have ${amountWords(resource, wanted)}, because ${because}.`,
      ...measures.map(({ kind, done, words }) => `What is done about it, ${kind}: ${done ? '' : 'not done, '}${words}.`),
    );
  }
  return sentences;
}
