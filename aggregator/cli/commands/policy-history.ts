/** `headroom policy history` and `headroom policy rollback`: the versions there were, and back to one of them. */
import { HeadroomError } from '../../../shared/errors.ts';
import type { PolicyVersionAnswer } from '../answers.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, table } from '../output.ts';
import { utc } from '../words.ts';
import { applyText, versionOf } from './policy.ts';
import { show } from './show.ts';

const COLUMNS: readonly Column<PolicyVersionAnswer>[] = [
  { title: 'VERSION', right: true, text: ({ version }) => String(version) },
  { title: 'AT', text: ({ atMs }) => utc(atMs) },
  { title: 'BY', text: ({ by }) => by },
  { title: 'DIGEST', text: ({ digest }) => digest.slice(0, 12) },
];

export const policyHistory: ApiCommand = {
  kind: 'api',
  name: 'policy history',
  summary: 'every policy that was in force, newest first, by whom and when',
  args: [],
  details: "The digests are those of the ledger's hash-chained entries: audit verify proves them.",
  async run(context) {
    const { items } = await context.api.get('/v1/policies/versions');
    show(context, items, (wide) => (items.length === 0 ? 'no policy file was ever in force\n' : table(items, COLUMNS, wide)));
    return EXIT.ok;
  },
};

export const policyRollback: ApiCommand = {
  kind: 'api',
  name: 'policy rollback',
  summary: 'take an earlier version into force again (default the one before)',
  args: ['[VERSION]'],
  watches: 'never',
  options: { 'dry-run': { type: 'boolean', help: 'only tell what would change, and the next plan' } },
  details: 'It becomes a new version: history is never rewritten.',
  async run(context) {
    const { api, positionals, values } = context;
    const { version: current } = await api.get('/v1/policies');
    if (positionals[0] === undefined && current < 2)
      throw new HeadroomError('NOT_FOUND', `policy version ${current} is in force and there is none before it`);
    const found = await versionOf(api, positionals[0] ?? String(current - 1));
    const dryRun = values['dry-run'] === true;
    // Nobody else's change may be undone unseen.
    return applyText(context, { text: found.source, file: `version ${found.version}`, dryRun, ifVersion: String(current) });
  },
};
