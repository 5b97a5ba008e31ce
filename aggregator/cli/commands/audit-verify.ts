/** `headroom audit verify`: the chain of the ledger, proved by the aggregator or on the file itself. */
import { join } from 'node:path';
import { HeadroomError } from '../../../shared/errors.ts';
import { verifyLedgerFile } from '../../store/sqlite/verify-ledger-file.ts';
import type { VerificationAnswer } from '../answers.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { printable } from '../output.ts';
import { show } from './show.ts';

function text(found: VerificationAnswer): string {
  return found.ok
    ? `the chain holds: ${found.entries} entries, head ${found.head}\n`
    : `the chain is BROKEN at entry ${found.index}: ${printable(found.problem)}\n`;
}

export const auditVerify: ApiCommand = {
  kind: 'api',
  name: 'audit verify',
  summary: 'prove that no entry of the ledger was changed or taken away',
  args: [],
  watches: 'never',
  options: {
    'data-dir': {
      type: 'string',
      value: 'DIR',
      help: "look at the ledger in an aggregator's data directory instead of asking the aggregator",
    },
    ledger: { type: 'string', value: 'FILE', help: 'look at this ledger file, a copy for instance' },
  },
  details:
    'Exits with 1 when the chain is broken. Keep the head that it prints elsewhere: it proves later that nothing was cut off the end.',
  async run(context) {
    const { values, api } = context;
    const directory = values['data-dir'];
    if (directory !== undefined && values.ledger !== undefined)
      throw new HeadroomError('USAGE', 'audit verify: name --data-dir or --ledger, not both');
    const file = typeof directory === 'string' ? join(directory, 'ledger', 'ledger.db') : values.ledger;
    const found = typeof file === 'string' ? verifyLedgerFile(file) : await api.get('/v1/audit/verify');
    show(context, found, () => text(found));
    return found.ok ? EXIT.ok : EXIT.failed;
  },
};
