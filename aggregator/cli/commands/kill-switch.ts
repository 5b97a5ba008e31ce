/** `headroom freeze`, `unfreeze` and `kill-switch on|off|status`: one switch, by the name of a VM or by scope. */
import { HeadroomError } from '../../../shared/errors.ts';
import type { Answer } from '../../client/words.ts';
import type { ApiCommand, CommandContext } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { printable } from '../output.ts';
import { DRY_RUN, isDryRun, notDone } from './dry-run.ts';
import { show } from './show.ts';

const REASON = { reason: { type: 'string', value: 'TEXT', help: 'goes into the ledger' } } as const;
const HOST = { host: { type: 'string', value: 'HOST', help: 'only this host' } } as const;
const SCOPE = { ...HOST, vm: { type: 'string', value: 'NAME', help: 'only this VM' }, ...REASON, ...DRY_RUN } as const;

/** The API takes no longer ones. */
const REASON_LETTERS_MAX = 256;

interface Scope {
  host: string | undefined;
  vm: string | undefined;
}

const optionOf = ({ values }: CommandContext, name: string): string | undefined => {
  const value = values[name];
  return typeof value === 'string' ? value : undefined;
};

async function turn(context: CommandContext, command: string, { host, vm }: Scope, engaged: boolean): Promise<string> {
  if (host !== undefined && vm !== undefined) throw new HeadroomError('USAGE', `${command}: name a host or a VM, not both`);
  const reason = optionOf(context, 'reason') || `by ${context.io.env.USER ?? 'someone'} at the command line`;
  const dryRun = isDryRun(context);
  const body = {
    reason: reason.slice(0, REASON_LETTERS_MAX),
    ...(host === undefined ? {} : { host }),
    ...(vm === undefined ? {} : { vm }),
  };
  const answer = await context.api.send(engaged ? 'put' : 'delete', '/v1/kill-switch', { query: { dryRun }, body });
  const where = vm === undefined ? (host === undefined ? 'the whole fleet' : `host ${host}`) : `VM ${vm}`;
  const done = engaged ? `engaged for ${where}: nothing is changed any more, what is in force stays` : `released for ${where}`;
  show(context, answer, () => `${notDone(context)}kill switch ${printable(done)}\n`);
  return where;
}

const byOption = (context: CommandContext): Scope => ({ host: optionOf(context, 'host'), vm: optionOf(context, 'vm') });
const byName = (context: CommandContext): Scope => ({ host: optionOf(context, 'host'), vm: context.positionals[0] });

export const killSwitchOn: ApiCommand = {
  kind: 'api',
  name: 'kill-switch on',
  summary: 'stop every change to the fleet, a host or a VM, now',
  args: [],
  watches: 'never',
  options: SCOPE,
  async run(context) {
    await turn(context, 'kill-switch on', byOption(context), true);
    return EXIT.ok;
  },
};

export const killSwitchOff: ApiCommand = {
  kind: 'api',
  name: 'kill-switch off',
  summary: 'let changes go on',
  args: [],
  watches: 'never',
  options: SCOPE,
  async run(context) {
    await turn(context, 'kill-switch off', byOption(context), false);
    return EXIT.ok;
  },
};

function engagedWhere({ fleet, hosts, vms }: Answer<'/v1/kill-switch'>): string {
  const of = (what: string, names: readonly string[]): string => (names.length === 0 ? '' : `; ${what}: ${names.join(', ')}`);
  const names =
    of('hosts', hosts) +
    of(
      'VMs',
      vms.map(({ name }) => name),
    );
  return `the whole fleet: ${fleet ? 'ENGAGED' : 'not engaged'}${printable(names)}\n`;
}

export const killSwitchStatus: ApiCommand = {
  kind: 'api',
  name: 'kill-switch status',
  summary: 'where it is engaged',
  args: [],
  async run(context) {
    const state = await context.api.get('/v1/kill-switch');
    show(context, state, () => engagedWhere(state));
    return EXIT.ok;
  },
};

const FREEZE = { kind: 'api', args: ['[VM]'], watches: 'never', options: { ...HOST, ...REASON, ...DRY_RUN } } as const;

export const freeze: ApiCommand = {
  ...FREEZE,
  name: 'freeze',
  summary: 'leave a VM, a host or (naming none) the fleet as it is now: nothing is changed any more',
  details:
    'The kill switch by a shorter name. What is in force stays; the host of a VM holds to it without an aggregator, too.\nFor a time known beforehand, name freezeWindows or suspensions in the policy file.',
  async run(context) {
    await turn(context, 'freeze', byName(context), true);
    return EXIT.ok;
  },
};

export const unfreeze: ApiCommand = {
  ...FREEZE,
  name: 'unfreeze',
  summary: 'let changes to a VM, a host or (naming none) the fleet go on',
  details:
    'It ends what was frozen by the same name and nothing else: a VM that was frozen by itself stays so when its fleet goes on, and it says so.',
  async run(context) {
    const where = await turn(context, 'unfreeze', byName(context), false);
    // A fleet that goes on while hosts do not is what somebody would wonder about later.
    if (where !== 'the whole fleet' || (context.output !== 'table' && context.output !== 'wide')) return EXIT.ok;
    const { hosts, vms } = await context.api.get('/v1/kill-switch');
    const still = [...hosts.map((name) => `host ${name}`), ...vms.map(({ name }) => `VM ${name}`)];
    if (still.length > 0)
      context.io.out(printable(`by themselves still frozen, as their hosts said last: ${still.join(', ')}`).concat('\n'));
    return EXIT.ok;
  },
};
