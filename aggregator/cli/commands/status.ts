/** `headroom status`: the aggregator at a glance. Exits with 69 when it is not ready to decide. */
import type { Status } from '../../client/words.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { printable } from '../output.ts';
import { age } from '../words.ts';
import { show } from './show.ts';

function text(status: Status): string {
  const { seriesStore: store } = status;
  const lines = [
    `aggregator ${status.version}, up for ${age(status.nowMs - status.startedAtMs)}, epoch ${status.epoch}`,
    status.ready ? 'ready to decide' : `NOT ready: ${status.reason}`,
    `kill switch of the fleet: ${status.killSwitch ? 'ENGAGED' : 'not engaged'}`,
    `series store: ${store.kind}, ${store.bytes === null ? 'size not told' : `${(store.bytes / 1e6).toFixed(1)} MB`}`,
    ...store.problems.map((problem) => `problem: ${problem}`),
  ];
  return `${lines.map(printable).join('\n')}\n`;
}

export const status: ApiCommand = {
  kind: 'api',
  name: 'status',
  summary: 'the aggregator at a glance; exits with 69 while it is not ready',
  args: [],
  async run(context) {
    const found = await context.api.get('/v1/status');
    show(context, found, () => text(found));
    return found.ready ? EXIT.ok : EXIT.unavailable;
  },
};
