/** `headroom map [VM]`: for each virtual resource the physical one, on which host, and how fresh. */
import type { MapAnswer } from '../answers.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, table } from '../output.ts';
import { age } from '../words.ts';
import { show } from './show.ts';

const COLUMNS: readonly Column<MapAnswer>[] = [
  { title: 'VM', text: ({ vmName }) => vmName },
  { title: 'RESOURCE', text: ({ resource }) => resource },
  { title: 'VIRTUAL', text: ({ virtual }) => virtual },
  { title: 'HOST', text: ({ host }) => host },
  { title: 'PHYSICAL', text: ({ physical }) => physical || '?' },
  { title: 'GRANTED', text: ({ granted }) => granted ?? '?' },
  { title: 'SEEN', right: true, text: ({ ageMs }) => (ageMs === null ? 'never' : `${age(ageMs)} ago`) },
];

export const mapCommand: ApiCommand = {
  kind: 'api',
  name: 'map',
  summary: 'what stands behind each virtual resource of VMs, on which host, and how fresh',
  args: ['[VM]'],
  async run(context) {
    const [vm] = context.positionals;
    const items =
      vm === undefined ? await context.api.all('/v1/map') : (await context.api.get('/v1/map', { query: { vm, limit: 1000 } })).items;
    show(context, items, (wide) => (items.length === 0 ? 'no VM runs\n' : table(items, COLUMNS, wide)));
    return EXIT.ok;
  },
};
