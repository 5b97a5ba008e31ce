/** `headroom demand show`: what the fleet or a group will want together, hour by hour, and what is there for it. */
import type { DemandAnswer } from '../answers.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, table } from '../output.ts';
import { show } from './show.ts';

type Row = DemandAnswer['resources'][number];
const HOURS = [1, 6, 24, 48];
const HOUR_MS = 3_600_000;
const number = (value: number | null | undefined): string =>
  value === null || value === undefined ? '?' : value.toFixed(value < 100 ? 1 : 0);

/** Highest of the last quantile until then. */
function highest({ aheadMs, values, quantiles }: Row, hours: number): number | null {
  const rows = aheadMs.filter((ms) => ms <= hours * HOUR_MS).length;
  const high = Array.from({ length: rows }, (_, row) => values[(row + 1) * quantiles.length - 1] ?? 0);
  return high.length === 0 ? null : Math.max(...high);
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'RESOURCE', text: ({ resource, unit }) => `${resource} (${unit})` },
  { title: 'NOW', right: true, text: ({ now }) => number(now) },
  ...HOURS.map((hours): Column<Row> => ({ title: `TO ${hours} H`, right: true, text: (row) => number(highest(row, hours)) })),
  { title: 'AVAILABLE', right: true, text: ({ available }) => number(available) },
  { title: 'SOON', right: true, text: ({ soon }) => number(soon) },
];

export const demandShow: ApiCommand = {
  kind: 'api',
  name: 'demand show',
  summary: 'what the fleet or a group will want together at most (0.96 quantile), and what is there for it',
  args: ['[GROUP]'],
  details: 'As JSON: three quantiles every five minutes to 48 hours ahead.',
  async run(context) {
    const [group] = context.positionals;
    const demand = await context.api.get('/v1/demand', group === undefined ? {} : { query: { group } });
    show(context, demand, (wide) => table(demand.resources, COLUMNS, wide));
    return EXIT.ok;
  },
};
