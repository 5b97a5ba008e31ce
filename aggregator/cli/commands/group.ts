/** `headroom group list|show|undo|hand-over|give-back`: the size groups should have and have, and whose their members are. */
import type { GroupAnswer } from '../answers.ts';
import type { ApiClient } from '../api-client.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, table } from '../output.ts';
import { utc } from '../words.ts';
import { DRY_RUN, isDryRun, notDone } from './dry-run.ts';
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
const phaseText = ({ phase, failed, spare, suspended }: Member): string => {
  const about = [failed ? 'failed' : spare ? 'spare' : '', suspended ? 'suspended' : ''].filter(Boolean);
  return about.length === 0 ? phase : `${phase} (${about.join(', ')})`;
};
const MEMBERS: readonly Column<Member>[] = [
  { title: 'VM', text: ({ name }) => name },
  { title: 'ID', text: ({ vm }) => vm },
  { title: 'HOST', text: ({ host }) => host },
  { title: 'TEMPLATE', text: ({ template }) => template },
  { title: 'PHASE', text: phaseText },
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

type AskMember = (api: ApiClient, request: { path: { name: string; vm: string }; query: { dryRun: boolean } }) => Promise<GroupAnswer>;

/** A command about one member: what is asked of it, and its group as it is then. */
const aboutMember = (name: string, summary: string, ask: AskMember): ApiCommand => ({
  ...{ kind: 'api', name, summary, args: ['NAME', 'ID'], watches: 'never', options: DRY_RUN },
  async run(context) {
    const [group = '', vm = ''] = context.positionals;
    const answer = await ask(context.api, { path: { name: group, vm }, query: { dryRun: isDryRun(context) } });
    show(context, answer, (wide) => `${notDone(context)}${table(answer.members, MEMBERS, wide)}`);
    return EXIT.ok;
  },
});

export const groupUndo = aboutMember('group undo', 'takes back a member that drains or is stopped', (api, request) =>
  api.send('post', '/v1/groups/{name}/members/{vm}/undo', request),
);
export const groupHandOver = aboutMember(
  'group hand-over',
  'hands a VM made by others over: it may be drained, stopped and started with its group; it is never removed',
  (api, request) => api.send('put', '/v1/groups/{name}/members/{vm}', request),
);
export const groupGiveBack = aboutMember(
  'group give-back',
  'gives a VM that was handed over back to its owner, as it is now',
  (api, request) => api.send('delete', '/v1/groups/{name}/members/{vm}', request),
);
