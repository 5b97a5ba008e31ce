/** `headroom kill-switch on|off|status`. */
import { HeadroomError } from '../../../shared/errors.ts';
import type { ApiCommand, CommandContext } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { printable } from '../output.ts';
import { show } from './show.ts';

const SCOPE = {
  host: { type: 'string', value: 'HOST', help: 'only this host' },
  vm: { type: 'string', value: 'NAME', help: 'only this VM' },
  reason: { type: 'string', value: 'TEXT', help: 'goes into the ledger' },
} as const;

/** The API takes no longer ones. */
const REASON_LETTERS_MAX = 256;

async function turn(context: CommandContext, engaged: boolean): Promise<number> {
  const { host, vm, reason } = context.values;
  if (host !== undefined && vm !== undefined) throw new HeadroomError('USAGE', 'kill-switch: name --host or --vm, not both');
  const why = typeof reason === 'string' && reason !== '' ? reason : `by ${context.io.env.USER ?? 'someone'} at the command line`;
  const body = {
    reason: why.slice(0, REASON_LETTERS_MAX),
    ...(typeof host === 'string' ? { host } : {}),
    ...(typeof vm === 'string' ? { vm } : {}),
  };
  const answer = await context.api.send(engaged ? 'put' : 'delete', '/v1/kill-switch', { body });
  const where = vm === undefined ? (host === undefined ? 'the whole fleet' : `host ${host}`) : `VM ${vm}`;
  const text = engaged ? `engaged for ${where}: nothing is changed any more, what is in force stays` : `released for ${where}`;
  show(context, answer, () => `kill switch ${printable(text)}\n`);
  return EXIT.ok;
}

export const killSwitchOn: ApiCommand = {
  kind: 'api',
  name: 'kill-switch on',
  summary: 'stop every change to the fleet, a host or a VM, now',
  args: [],
  watches: 'never',
  options: SCOPE,
  run: (context) => turn(context, true),
};

export const killSwitchOff: ApiCommand = {
  kind: 'api',
  name: 'kill-switch off',
  summary: 'let changes go on',
  args: [],
  watches: 'never',
  options: SCOPE,
  run: (context) => turn(context, false),
};

export const killSwitchStatus: ApiCommand = {
  kind: 'api',
  name: 'kill-switch status',
  summary: 'where it is engaged',
  args: [],
  async run(context) {
    const state = await context.api.get('/v1/kill-switch');
    const hosts = state.hosts.length === 0 ? '' : `; hosts: ${state.hosts.join(', ')}`;
    const vms = state.vms.length === 0 ? '' : `; VMs: ${state.vms.map(({ name }) => name).join(', ')}`;
    show(context, state, () => `the whole fleet: ${state.fleet ? 'ENGAGED' : 'not engaged'}${printable(hosts + vms)}\n`);
    return EXIT.ok;
  },
};
