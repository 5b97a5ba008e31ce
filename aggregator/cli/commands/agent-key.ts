/** `headroom agent token|keys|rotate|revoke`: how agents beyond one machine come in, and how they are shut out. */
import { HeadroomError } from '../../../shared/errors.ts';
import type { AgentKeyAnswer } from '../answers.ts';
import type { ApiCommand, CommandContext } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, printable, table } from '../output.ts';
import { utc } from '../words.ts';
import { DRY_RUN, isDryRun, notDone } from './dry-run.ts';
import { show } from './show.ts';

const WHO = {
  host: { type: 'string', value: 'HOST', help: 'the host agent of this host' },
  vm: { type: 'string', value: 'UUID', help: 'the guest agent in this VM, where it connects by itself' },
} as const;

function who({ values }: CommandContext): { host: string } | { vm: string } {
  const { host, vm } = values;
  if (typeof host === 'string' && vm === undefined) return { host };
  if (typeof vm === 'string' && host === undefined) return { vm };
  throw new HeadroomError('USAGE', 'agent: name --host or --vm');
}

/** `90s`, `15m`, `12h`, `7d` as seconds. */
export function secondsOf(text: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  if (count === undefined) throw new HeadroomError('USAGE', `"${text}" is no time: 90s, 15m, 12h or 7d are`);
  return Number(count) * { s: 1, m: 60, h: 3600, d: 86_400 }[unit as 's' | 'm' | 'h' | 'd'];
}

export const agentToken: ApiCommand = {
  kind: 'api',
  name: 'agent token',
  summary: 'a single-use token by which a new agent enrols its key',
  args: [],
  watches: 'never',
  options: { ...WHO, valid: { type: 'string', value: 'TIME', help: 'how long it can be used: 15m, 12h, 7d (default 1h)' } },
  details: 'It is shown once. Bring it to the host as a file for root alone: headroom-agent host --token-file FILE.',
  async run(context) {
    const { valid } = context.values;
    const body = { ...who(context), ...(typeof valid === 'string' ? { validSeconds: secondsOf(valid) } : {}) };
    const made = await context.api.send('post', '/v1/enrolment-tokens', { body });
    show(context, made, () => `${made.token}\n`);
    return EXIT.ok;
  },
};

const COLUMNS: readonly Column<AgentKeyAnswer>[] = [
  { title: 'AGENT', text: ({ agent }) => agent },
  { title: 'KEY', text: ({ keyId }) => keyId },
  { title: 'SINCE', text: ({ sinceMs }) => utc(sinceMs) },
  {
    title: 'STATE',
    text: ({ revokedAtMs, rotate }) => (revokedAtMs !== null ? `revoked ${utc(revokedAtMs)}` : rotate ? 'rotates' : 'in force'),
  },
];

export const agentKeys: ApiCommand = {
  kind: 'api',
  name: 'agent keys',
  summary: 'keys agents are known by, those in force first',
  args: [],
  async run(context) {
    const { items } = await context.api.get('/v1/agent-keys');
    show(context, items, (wide) => (items.length === 0 ? 'no agent is enrolled\n' : table(items, COLUMNS, wide)));
    return EXIT.ok;
  },
};

export const agentRotate: ApiCommand = {
  kind: 'api',
  name: 'agent rotate',
  summary: 'have an agent make itself a new key, now',
  args: [],
  watches: 'never',
  options: { ...WHO, ...DRY_RUN },
  async run(context) {
    const key = await context.api.send('post', '/v1/agent-keys/rotate', { query: { dryRun: isDryRun(context) }, body: who(context) });
    show(context, key, () => printable(`${notDone(context)}${key.agent} connects anew and replaces key ${key.keyId}`).concat('\n'));
    return EXIT.ok;
  },
};

export const agentRevoke: ApiCommand = {
  kind: 'api',
  name: 'agent revoke',
  summary: "end an agent's key and its connection, at once",
  args: [],
  watches: 'never',
  options: { ...WHO, reason: { type: 'string', value: 'TEXT', help: 'goes into the ledger' }, ...DRY_RUN },
  details:
    'What is in force on its host stays; its fail-safe acts when the lease ends. To let it back in: headroom-agent forget-key there, and a new token.',
  async run(context) {
    const { reason } = context.values;
    const body = { ...who(context), reason: typeof reason === 'string' && reason !== '' ? reason : 'at the command line' };
    const key = await context.api.send('delete', '/v1/agent-keys', { query: { dryRun: isDryRun(context) }, body });
    show(context, key, () => printable(`${notDone(context)}key ${key.keyId} of ${key.agent} is revoked`).concat('\n'));
    return EXIT.ok;
  },
};
