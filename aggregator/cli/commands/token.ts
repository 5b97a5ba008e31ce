/** `headroom token make|list|revoke`: API tokens of people and programs. */
import { HeadroomError } from '../../../shared/errors.ts';
import { ROLES, type Role } from '../../identity/roles.ts';
import type { ApiTokenAnswer } from '../answers.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, printable, table } from '../output.ts';
import { utc } from '../words.ts';
import { secondsOf } from './agent-key.ts';
import { DRY_RUN, isDryRun, notDone } from './dry-run.ts';
import { show } from './show.ts';

function labelsOf(text: string): Record<string, string> {
  const pairs = text.split(',').map((pair) => /^([^=]+)=(.+)$/.exec(pair.trim()));
  if (pairs.some((pair) => pair === null)) throw new HeadroomError('USAGE', `--labels "${text}": LABEL=VALUE,… are needed`);
  return Object.fromEntries(pairs.map((pair) => [pair![1]!, pair![2]!]));
}

export const tokenMake: ApiCommand = {
  kind: 'api',
  name: 'token make',
  summary: 'an API token; it is shown once',
  args: ['NAME'],
  watches: 'never',
  options: {
    role: { type: 'string', value: 'ROLE', help: 'viewer (default), operator or administrator' },
    tenant: { type: 'string', value: 'TENANT', help: 'sees and touches the VMs of this tenant only' },
    labels: { type: 'string', value: 'L=V,…', help: 'only VMs with these labels' },
    valid: { type: 'string', value: 'TIME', help: '12h, 7d, 365d (default 90d)' },
  },
  async run(context) {
    const { role = 'viewer', tenant, labels, valid } = context.values;
    if (!ROLES.some((each) => each === role)) throw new HeadroomError('USAGE', `token make: --role ${role}: there are ${ROLES.join(', ')}`);
    const body = {
      ...{ name: context.positionals[0]!, role: role as Role },
      ...(typeof tenant === 'string' ? { tenant } : {}),
      ...(typeof labels === 'string' ? { labels: labelsOf(labels) } : {}),
      ...(typeof valid === 'string' ? { validSeconds: secondsOf(valid) } : {}),
    };
    const made = await context.api.send('post', '/v1/api-tokens', { body });
    show(context, made, () => `${made.token}\n`);
    return EXIT.ok;
  },
};

const COLUMNS: readonly Column<ApiTokenAnswer>[] = [
  { title: 'NAME', text: ({ name }) => name },
  { title: 'ID', text: ({ id }) => id },
  { title: 'ROLE', text: ({ role }) => role },
  { title: 'TENANT', text: ({ tenant }) => tenant ?? '-' },
  {
    title: 'LABELS',
    text: ({ labels }) =>
      Object.entries(labels)
        .map((pair) => pair.join('='))
        .join(',') || '-',
  },
  { title: 'EXPIRES', text: ({ expiresAtMs }) => (expiresAtMs === null ? 'never' : utc(expiresAtMs)) },
  { title: 'BY', wide: true, text: ({ by }) => by },
];

export const tokenList: ApiCommand = {
  kind: 'api',
  name: 'token list',
  summary: 'API tokens: whose, with which role and scope',
  args: [],
  async run(context) {
    const { items } = await context.api.get('/v1/api-tokens');
    show(context, items, (wide) => (items.length === 0 ? 'there are no tokens\n' : table(items, COLUMNS, wide)));
    return EXIT.ok;
  },
};

export const tokenRevoke: ApiCommand = {
  kind: 'api',
  name: 'token revoke',
  summary: 'end an API token, at once',
  args: ['NAME'],
  watches: 'never',
  options: DRY_RUN,
  async run(context) {
    const request = { path: { id: context.positionals[0]! }, query: { dryRun: isDryRun(context) } };
    const revoked = await context.api.send('delete', '/v1/api-tokens/{id}', request);
    show(context, revoked, () => printable(`${notDone(context)}token ${revoked.name} is revoked`).concat('\n'));
    return EXIT.ok;
  },
};
