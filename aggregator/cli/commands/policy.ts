/** `headroom policy get` and `headroom policy apply FILE`. */
import { HeadroomError } from '../../../shared/errors.ts';
import type { PoliciesAnswer, PolicyChangeAnswer } from '../answers.ts';
import { ProblemError } from '../api-client.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { printable, render } from '../output.ts';
import { show } from './show.ts';

export const policyGet: ApiCommand = {
  kind: 'api',
  name: 'policy get',
  summary: 'the policy file in force, as it was written',
  args: [],
  details: 'What it prints can be edited and applied again. -o json and -o yaml tell the version and the parsed form as well.',
  async run(context) {
    const policies = await context.api.get<PoliciesAnswer>('/v1/policies');
    const source = policies.source.endsWith('\n') || policies.source === '' ? policies.source : `${policies.source}\n`;
    if (source === '') context.io.err('headroom: no policy file is in force; the built-in policy only observes\n');
    show(context, policies, () => source);
    return EXIT.ok;
  },
};

/** `FILE:LINE:COLUMN: field: what is wrong`, as editors and terminals make links of. */
function placed(file: string, error: ProblemError): string {
  return error.mistakes
    .map(({ line, column, field, detail }) => `${file}:${line}:${column}: ${field === null ? '' : `${field}: `}${printable(detail)}`)
    .join('\n');
}

export const policyApply: ApiCommand = {
  kind: 'api',
  name: 'policy apply',
  summary: 'take a policy file into force',
  args: ['FILE'],
  watches: 'never',
  options: { 'dry-run': { type: 'boolean', help: 'only tell what would change' } },
  details: 'FILE is YAML or JSON; - reads standard input. A file with any mistake changes nothing.',
  async run({ api, io, positionals, values, output }) {
    const [file = '-'] = positionals;
    const text = await io.read(file);
    const dryRun = values['dry-run'] === true;
    try {
      const done = await api.send<PolicyChangeAnswer>('PUT', `/v1/policies?dryRun=${dryRun}`, { text });
      const head = dryRun ? 'not applied (--dry-run); it would change:' : `policy version ${done.version} is in force:`;
      const changes = done.changes.length === 0 ? ['nothing'] : done.changes;
      io.out(render(output, done, () => `${head}\n${changes.map((change) => `  ${printable(change)}\n`).join('')}`, false));
      return EXIT.ok;
    } catch (error) {
      if (!(error instanceof ProblemError) || error.mistakes.length === 0) throw error;
      throw new HeadroomError('POLICY_INVALID', `the policy was not applied\n${placed(file, error)}`, { cause: error });
    }
  },
};
