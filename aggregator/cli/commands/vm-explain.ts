/** `headroom vm explain NAME`. */
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { printable } from '../output.ts';
import { show } from './show.ts';

export const vmExplain: ApiCommand = {
  kind: 'api',
  name: 'vm explain',
  summary: 'why a VM has what it has, in sentences',
  args: ['NAME'],
  async run(context) {
    const answer = await context.api.get('/v1/vms/{id}/explain', { path: { id: context.positionals[0]! } });
    show(context, answer, () => `${answer.text.map(printable).join('\n')}\n`);
    return EXIT.ok;
  },
};
