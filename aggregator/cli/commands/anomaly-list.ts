/** `headroom anomaly list`: what is or was wrong with VMs. */
import type { IncidentAnswer } from '../answers.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, table } from '../output.ts';
import { show } from './show.ts';

const time = (atMs: number): string => new Date(atMs).toISOString().slice(0, 19).replace('T', ' ');

const COLUMNS: readonly Column<IncidentAnswer>[] = [
  { title: 'VM', text: ({ vmName }) => vmName },
  { title: 'HOST', text: ({ host }) => host },
  { title: 'KIND', text: ({ kind }) => kind },
  { title: 'SEVERITY', text: ({ severity }) => severity },
  { title: 'BEGAN', text: ({ startMs }) => time(startMs) },
  { title: 'ENDED', text: ({ endMs }) => (endMs === null ? 'goes on' : time(endMs)) },
  { title: 'LIKELY CAUSE', text: ({ cause, explainedBy }) => explainedBy ?? cause },
  {
    title: 'CONTRIBUTORS',
    wide: true,
    text: ({ contributors }) => contributors.map(({ name, share }) => `${name} ${Math.round(share * 100)} %`).join(', ') || '-',
  },
];

export const anomalyList: ApiCommand = {
  kind: 'api',
  name: 'anomaly list',
  summary: 'incidents: what is or was wrong with VMs, and why',
  args: [],
  options: { open: { type: 'boolean', help: 'only what goes on' } },
  async run(context) {
    const { items } = await context.api.get('/v1/anomalies', context.values.open ? { query: { open: true } } : {});
    show(context, items, (wide) => (items.length === 0 ? 'nothing was wrong with any VM\n' : table(items, COLUMNS, wide)));
    return EXIT.ok;
  },
};
