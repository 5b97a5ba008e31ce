/** `headroom recommend list`, `approve` and `rollback`: what waits for a person's leave, leave to do it, and a change taken back. */
import { HeadroomError } from '../../../shared/errors.ts';
import { RESOURCES } from '../../../shared/resources.ts';
import type { ItemOf } from '../../client/words.ts';
import { settingWords } from '../../core/plan/words.ts';
import type { ApiCommand, CommandContext } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, printable, table } from '../output.ts';
import { DRY_RUN, isDryRun } from './dry-run.ts';
import { show } from './show.ts';

type Recommendation = ItemOf<'/v1/recommendations'>;

const COLUMNS: readonly Column<Recommendation>[] = [
  { title: 'VM', text: ({ vmName }) => vmName },
  { title: 'RESOURCE', text: ({ resource }) => resource },
  { title: 'NOW', text: ({ from }) => changeWords(from) },
  { title: 'RECOMMENDED', text: ({ to }) => changeWords(to) },
  { title: 'APPROVED BY', text: ({ approval }) => approval?.by ?? '-' },
  { title: 'HOST', wide: true, text: ({ host }) => host },
  { title: 'WHY', wide: true, text: ({ reason }) => reason },
];

const CHANGEABLE = [...RESOURCES, 'vcpus'] as const;

function changeWords(value: Recommendation['to']): string {
  return value.resource === 'vcpus' ? `${value.online} vCPUs online` : settingWords(value);
}

function oneOf<T extends string>(command: string, text: string | undefined, there: readonly T[]): T {
  const found = there.find((each) => each === text);
  if (found === undefined) throw new HeadroomError('USAGE', `${command}: "${text}" is no resource: there are ${there.join(', ')}`);
  return found;
}

/** What was asked for, or done: one change, in words. */
function tellChange(context: CommandContext, done: Pick<Recommendation, 'vmName' | 'resource' | 'from' | 'to'>, verb: string): number {
  const words = `${done.vmName}: ${done.resource} ${changeWords(done.from)} → ${changeWords(done.to)}`;
  show(context, done, () => `${isDryRun(context) ? `not ${verb} (--dry-run)` : verb}: ${printable(words)}\n`);
  return EXIT.ok;
}

/** What approve and rollback have in common: one VM, one resource, once. */
const ONE_CHANGE = { kind: 'api', args: ['VM', 'RESOURCE'], watches: 'never', options: DRY_RUN } as const;

export const recommendList: ApiCommand = {
  kind: 'api',
  name: 'recommend list',
  summary: 'changes that wait for somebody to approve',
  args: [],
  async run(context) {
    const items = await context.api.all('/v1/recommendations');
    show(context, items, (wide) =>
      items.length === 0 ? 'nothing waits: no VM in mode recommend should be changed now\n' : table(items, COLUMNS, wide),
    );
    return EXIT.ok;
  },
};

export const approve: ApiCommand = {
  ...ONE_CHANGE,
  name: 'approve',
  summary: 'have a recommended change done, as far as it is recommended now',
  details: 'The next plan makes it, at once and within every safety rule. What cannot be made within ten minutes lapses.',
  async run(context) {
    const [name, wanted] = context.positionals;
    const resource = oneOf('approve', wanted, CHANGEABLE);
    const items = await context.api.all('/v1/recommendations');
    const found = items.filter((each) => (each.vm === name || each.vmName === name) && each.resource === resource);
    if (found.length === 0)
      throw new HeadroomError(
        'NOT_FOUND',
        `nothing is recommended now for ${resource} of "${name}"; "headroom recommend list" tells what is`,
      );
    if (found.length > 1)
      throw new HeadroomError('CONFLICT', `several VMs are called "${name}"; use the UUID: ${found.map(({ vm }) => vm).join(', ')}`);
    const { id, to } = found[0]!;
    const query = { dryRun: isDryRun(context) };
    return tellChange(
      context,
      await context.api.send('post', '/v1/recommendations/{id}/approve', { path: { id }, query, body: { to } }),
      'approved',
    );
  },
};

export const rollback: ApiCommand = {
  ...ONE_CHANGE,
  name: 'rollback',
  summary: 'give back what the last shrink of a VM took',
  details: 'It is given back by the next plan, where its host has room, and the resource then rests as after harm.',
  async run(context) {
    const [name = '', wanted] = context.positionals;
    const resource = oneOf('rollback', wanted, CHANGEABLE);
    const query = { dryRun: isDryRun(context) };
    return tellChange(
      context,
      await context.api.send('post', '/v1/vms/{id}/rollback', { path: { id: name }, query, body: { resource } }),
      'taken back',
    );
  },
};
