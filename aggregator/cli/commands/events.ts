/** `headroom events`: what happened lately; with --watch also what happens from now on, without gaps. */
import { HeadroomError, isHeadroomError } from '../../../shared/errors.ts';
import type { EventAnswer } from '../answers.ts';
import type { ApiCommand, CommandContext } from '../command.ts';
import { readEvents } from '../event-stream.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, printable, table } from '../output.ts';
import { pause } from '../pause.ts';
import { utc } from '../words.ts';
import { show } from './show.ts';

const COLUMNS: readonly Column<EventAnswer>[] = [
  { title: 'AT', text: ({ timeMs }) => utc(timeMs) },
  { title: 'KIND', text: ({ kind }) => kind },
  { title: 'HOST', wide: true, text: ({ host }) => host ?? '-' },
  { title: 'VM', wide: true, text: ({ vm }) => vm ?? '-' },
  { title: 'WHAT', text: ({ message }) => message },
];

/** A line of its own: columns cannot be fitted to what is still to come. */
const line = ({ timeMs, kind, message }: EventAnswer): string => `${utc(timeMs)}  ${kind.padEnd(12)}  ${printable(message)}\n`;

/** An aggregator that restarts is back in seconds. */
const RECONNECT_MS = 2000;

async function follow(context: CommandContext, after: number): Promise<number> {
  const { io, api } = context;
  let lastId = String(after);
  while (!io.stop.aborted) {
    try {
      const body = await api.stream('/v1/events', { accept: 'text/event-stream', 'last-event-id': lastId }, io.stop);
      for await (const { id, data } of readEvents(body)) {
        lastId = id;
        const event = JSON.parse(data) as EventAnswer;
        show(context, event, () => line(event));
      }
    } catch (error) {
      if (io.stop.aborted) break;
      // The stream broke (a TypeError of fetch), or nobody answers now: the last id says where to go on.
      if (isHeadroomError(error) && error.code !== 'UNAVAILABLE') throw error;
      io.err('headroom: the event stream broke; connecting again\n');
    }
    if (!io.stop.aborted) await pause(io, RECONNECT_MS);
  }
  return EXIT.ok;
}

export const events: ApiCommand = {
  kind: 'api',
  name: 'events',
  summary: 'what happened lately: plans, outcomes, agents, policies',
  args: [],
  watches: 'itself',
  options: { limit: { type: 'string', value: 'N', help: 'how many of the latest (default 20, at most 1000)' } },
  async run(context) {
    const { values, api, watch } = context;
    const limit = Number(values.limit ?? 20);
    if (!Number.isInteger(limit) || limit < 1 || limit > 1000)
      throw new HeadroomError('USAGE', `events: --limit ${values.limit}: a whole number from 1 to 1000 is needed`);
    const { items } = await api.get('/v1/events', { query: { format: 'json', limit } });
    if (!watch) {
      show(context, items, (wide) =>
        items.length === 0 ? 'nothing has happened since the aggregator started\n' : table(items, COLUMNS, wide),
      );
      return EXIT.ok;
    }
    for (const event of items) show(context, event, () => line(event));
    return follow(context, items.at(-1)?.id ?? 0);
  },
};
