/** `headroom policy get|show|apply|diff`: the policy file in force, an earlier one, a new one. */
import { HeadroomError } from '../../../shared/errors.ts';
import type { PolicyChangeAnswer, PolicyVersionAnswer } from '../answers.ts';
import { type ApiClient, ProblemError } from '../api-client.ts';
import type { ApiCommand, CommandContext } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { printable, render } from '../output.ts';
import { show } from './show.ts';

const whole = (source: string): string => (source.endsWith('\n') || source === '' ? source : `${source}\n`);

async function showInForce(context: CommandContext): Promise<number> {
  const policies = await context.api.get('/v1/policies');
  const source = whole(policies.source);
  if (source === '') context.io.err('headroom: no policy file is in force; the built-in policy only observes\n');
  show(context, policies, () => source);
  return EXIT.ok;
}

export const policyGet: ApiCommand = {
  kind: 'api',
  name: 'policy get',
  summary: 'the policy file in force, as it was written',
  args: [],
  details: 'What it prints can be edited and applied again. -o json and -o yaml tell the version and the parsed form as well.',
  run: showInForce,
};

/** Throws USAGE for what is no version, NOT_FOUND for one that never was. */
export async function versionOf(api: ApiClient, text: string): Promise<PolicyVersionAnswer & { source: string }> {
  if (!/^[1-9]\d{0,14}$/.test(text))
    throw new HeadroomError('USAGE', `policy: "${text}" is no version; "headroom policy history" lists them`);
  const found = await api.get('/v1/policies/versions/{version}', { path: { version: Number(text) } });
  if (found.source === null) throw new HeadroomError('NOT_FOUND', `the text of policy version ${text} is no longer kept`);
  return { ...found, source: found.source };
}

export const policyShow: ApiCommand = {
  kind: 'api',
  name: 'policy show',
  summary: 'the policy file in force, or an earlier version of it',
  args: ['[VERSION]'],
  async run(context) {
    const [version] = context.positionals;
    if (version === undefined) return showInForce(context);
    const found = await versionOf(context.api, version);
    show(context, found, () => whole(found.source));
    return EXIT.ok;
  },
};

/** `FILE:LINE:COLUMN: field: what is wrong`, as editors and terminals make links of. */
function placed(file: string, error: ProblemError): string {
  return error.mistakes
    .map(({ line, column, field, detail }) => `${file}:${line}:${column}: ${field === null ? '' : `${field}: `}${printable(detail)}`)
    .join('\n');
}

/** Steps of the next plan that are printed one by one. */
const STEPS_PRINTED_MAX = 20;

function planLines({ nextPlan }: PolicyChangeAnswer): string[] {
  if (nextPlan === null) return [];
  const { steps, stepsAll, notDone } = nextPlan;
  const held = Object.entries(notDone).map(([constraint, count]) => `${constraint} ${count}`);
  const more = stepsAll - Math.min(steps.length, STEPS_PRINTED_MAX);
  return [
    stepsAll === 0 ? 'the next plan would change nothing' : `the next plan would make ${stepsAll} steps:`,
    ...steps.slice(0, STEPS_PRINTED_MAX).map(({ vmName, reason }) => `  ${vmName}: ${reason}`),
    ...(more > 0 ? [`  … and ${more} more`] : []),
    ...(held.length > 0 ? [`not done, by what bound it: ${held.join(', ')}`] : []),
  ];
}

export interface Applying {
  text: string;
  /** For mistakes: the file it came from. */
  file: string;
  dryRun: boolean;
  ifVersion: string | null;
}

/** Sends a policy and tells what it changes; mistakes are told with their place. */
export async function applyText({ api, io, output }: CommandContext, { text, file, dryRun, ifVersion }: Applying): Promise<number> {
  try {
    const header = ifVersion === null ? {} : { header: { 'if-match': `"${ifVersion}"` } };
    const done = await api.send('put', '/v1/policies', { query: { dryRun }, ...header, body: text });
    const head = dryRun ? 'not applied (--dry-run); it would change:' : `policy version ${done.version} is in force:`;
    const changes = done.changes.length === 0 ? ['nothing for the VMs that are known now'] : done.changes;
    const lines = [head, ...changes.map((change) => `  ${change}`), ...planLines(done)];
    io.out(render(output, done, () => lines.map((line) => `${printable(line)}\n`).join(''), false));
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof ProblemError) || error.mistakes.length === 0) throw error;
    throw new HeadroomError('POLICY_INVALID', `the policy was not applied\n${placed(file, error)}`, { cause: error });
  }
}

const IF_VERSION = { type: 'string', value: 'VERSION', help: 'refuse when another version is in force by now' } as const;

function ifVersionOf({ values }: CommandContext): string | null {
  const version = values['if-version'];
  if (typeof version !== 'string') return null;
  if (!/^\d{1,15}$/.test(version)) throw new HeadroomError('USAGE', `policy apply: --if-version ${version}: a version number is needed`);
  return version;
}

export const policyApply: ApiCommand = {
  kind: 'api',
  name: 'policy apply',
  summary: 'take a policy file into force',
  args: ['FILE'],
  watches: 'never',
  options: { 'dry-run': { type: 'boolean', help: 'only tell what would change, and the next plan' }, 'if-version': IF_VERSION },
  details: 'FILE is YAML or JSON; - reads standard input. A file with any mistake changes nothing.',
  async run(context) {
    const [file = '-'] = context.positionals;
    const text = await context.io.read(file);
    return applyText(context, { text, file, dryRun: context.values['dry-run'] === true, ifVersion: ifVersionOf(context) });
  },
};

export const policyDiff: ApiCommand = {
  kind: 'api',
  name: 'policy diff',
  summary: 'what a policy file would change for each VM and resource, and the next plan under it',
  args: ['FILE'],
  watches: 'never',
  details: 'The same as policy apply --dry-run.',
  async run(context) {
    const [file = '-'] = context.positionals;
    return applyText(context, { text: await context.io.read(file), file, dryRun: true, ifVersion: null });
  },
};
