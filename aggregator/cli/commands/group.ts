/** `headroom group list|show|undo`: the size groups should have and have, and members that are taken back. */
import type { GroupAnswer } from '../answers.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, table } from '../output.ts';
import { utc } from '../words.ts';
import { show } from './show.ts';

const COLUMNS: readonly Column<GroupAnswer>[] = [
  { title: 'GROUP', text: ({ name }) => name },
  { title: 'TEMPLATE', text: ({ template }) => template },
  { title: 'MODE', text: ({ mode }) => mode },
  { title: 'SERVING', right: true, text: ({ serving }) => String(serving) },
  { title: 'DESIRED', right: true, text: ({ desired }) => String(desired ?? '?') },
  { title: 'MIN', right: true, text: ({ bounds, min }) => String(bounds?.least ?? min) },
  { title: 'MAX', right: true, text: ({ bounds, max }) => String(bounds?.most ?? max) },
  { title: 'WHY', text: ({ reason }) => reason },
  { title: 'NOT DONE', text: ({ notDone }) => notDone ?? '' },
];

type Member = GroupAnswer['members'][number];
const MEMBERS: readonly Column<Member>[] = [
  { title: 'VM', text: ({ name }) => name },
  { title: 'ID', text: ({ vm }) => vm },
  { title: 'HOST', text: ({ host }) => host },
  { title: 'TEMPLATE', text: ({ template }) => template },
  { title: 'PHASE', text: ({ phase, failed }) => (failed ? `${phase} (failed)` : phase) },
  { title: 'SINCE', text: ({ sinceMs }) => utc(sinceMs) },
  { title: 'WHY', text: ({ reason }) => reason },
];

export const groupList: ApiCommand = {
  kind: 'api',
  name: 'group list',
  summary: 'groups of VMs: the size each has and should have, and why',
  args: [],
  async run(context) {
    const { items } = await context.api.get('/v1/groups');
    show(context, items, (wide) => (items.length === 0 ? 'the policy has no groups\n' : table(items, COLUMNS, wide)));
    return EXIT.ok;
  },
};

export const groupShow: ApiCommand = {
  kind: 'api',
  name: 'group show',
  summary: "a group's members, and where each is in its life",
  args: ['NAME'],
  async run(context) {
    const [name = ''] = context.positionals;
    const group = await context.api.get('/v1/groups/{name}', { path: { name } });
    show(context, group, (wide) => `${table([group], COLUMNS, wide)}\n${table(group.members, MEMBERS, wide)}`);
    return EXIT.ok;
  },
};

export const groupUndo: ApiCommand = {
  kind: 'api',
  name: 'group undo',
  summary: 'takes back a member that drains or is stopped',
  args: ['NAME', 'ID'],
  watches: 'never',
  async run(context) {
    const [name = '', vm = ''] = context.positionals;
    const group = await context.api.send('post', '/v1/groups/{name}/members/{vm}/undo', { path: { name, vm } });
    show(context, group, (wide) => table(group.members, MEMBERS, wide));
    return EXIT.ok;
  },
};
