/** `headroom template list|show|apply|check`: what VMs of groups are made from. */
import { HeadroomError } from '../../../shared/errors.ts';
import type { TemplateAnswer, TemplateCheckAnswer } from '../answers.ts';
import { ProblemError } from '../api-client.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, printable, render, table } from '../output.ts';
import { show } from './show.ts';

const seconds = (ms: number): string => `${(ms / 1000).toFixed(0)} s`;
const bootsOf = ({ boots }: TemplateAnswer): string => boots.map(({ host, p95Ms }) => `${host} ${seconds(p95Ms)}`).join(', ') || '?';

const COLUMNS: readonly Column<TemplateAnswer>[] = [
  { title: 'TEMPLATE', text: ({ name }) => name },
  { title: 'VERSION', right: true, text: ({ version }) => String(version) },
  { title: 'IMAGE', text: ({ pool, image }) => `${pool}/${image}` },
  { title: 'VCPUS', right: true, text: ({ vcpus }) => String(vcpus) },
  { title: 'MIB', right: true, text: ({ memoryMiB }) => String(memoryMiB) },
  { title: 'READY BY', text: ({ probe }) => probe },
  { title: 'BOOT P95', text: bootsOf },
  { title: 'DESCRIPTION', wide: true, text: ({ description }) => description },
  { title: 'SOFTWARE', wide: true, text: ({ software }) => software.join(', ') },
];

export const templateList: ApiCommand = {
  kind: 'api',
  name: 'template list',
  summary: 'what VMs of groups are made from, and how long they take to be ready',
  args: [],
  async run(context) {
    const { items } = await context.api.get('/v1/templates');
    show(context, items, (wide) => (items.length === 0 ? 'there is no template yet\n' : table(items, COLUMNS, wide)));
    return EXIT.ok;
  },
};

export const templateShow: ApiCommand = {
  kind: 'api',
  name: 'template show',
  summary: 'a template as it was written, or an earlier version of it',
  args: ['NAME', '[VERSION]'],
  async run(context) {
    const [name = '', version] = context.positionals;
    if (version !== undefined && !/^[1-9]\d{0,14}$/.test(version))
      throw new HeadroomError('USAGE', `template show: "${version}" is no version`);
    const found =
      version === undefined
        ? await context.api.get('/v1/templates/{name}', { path: { name } })
        : await context.api.get('/v1/templates/{name}/versions/{version}', { path: { name, version: Number(version) } });
    show(context, found, () => (found.source.endsWith('\n') ? found.source : `${found.source}\n`));
    return EXIT.ok;
  },
};

/** The name stands in the text; where it cannot be found the aggregator tells what is wrong with the text. */
function nameIn(text: string): string {
  return /^\s*"?name"?\s*:\s*["']?([A-Za-z0-9_][A-Za-z0-9._+-]{0,127})/m.exec(text)?.[1] ?? 'unnamed';
}

export const templateApply: ApiCommand = {
  kind: 'api',
  name: 'template apply',
  summary: 'take a template file as a new version',
  args: ['FILE'],
  watches: 'never',
  options: { 'dry-run': { type: 'boolean', help: 'only tell whether it is sound' } },
  details: 'FILE is YAML or JSON; - reads standard input. A file with any mistake changes nothing.',
  async run({ api, io, output, positionals, values }) {
    const [file = '-'] = positionals;
    const text = await io.read(file);
    try {
      const request = { path: { name: nameIn(text) }, query: { dryRun: values['dry-run'] === true }, body: text };
      const done = await api.send('put', '/v1/templates/{name}', request);
      const words = done.changed ? (done.dryRun ? 'is sound and would be a new version' : 'is current') : 'is what it was';
      io.out(render(output, done, () => `template ${done.name}: version ${done.version} ${words}\n`, false));
      return EXIT.ok;
    } catch (error) {
      if (!(error instanceof ProblemError) || error.mistakes.length === 0) throw error;
      const placed = error.mistakes.map(
        ({ line, column, field, detail }) => `${file}:${line}:${column}: ${field === null ? '' : `${field}: `}${printable(detail)}`,
      );
      throw new HeadroomError('TEMPLATE_INVALID', `the template was not taken\n${placed.join('\n')}`, { cause: error });
    }
  },
};

const CHECK_COLUMNS: readonly Column<TemplateCheckAnswer>[] = [
  { title: 'HOST', text: ({ host }) => host },
  { title: 'OK', text: ({ ok }) => (ok ? 'yes' : 'no') },
  { title: 'WHAT IT LACKS', text: ({ reason }) => reason },
];

export const templateCheck: ApiCommand = {
  kind: 'api',
  name: 'template check',
  summary: 'asks hosts whether they could make a VM of it now; nothing is made',
  args: ['NAME'],
  watches: 'never',
  options: { host: { type: 'string', value: 'HOST', help: 'this host only' } },
  details: 'Ends with 1 when a host lacks something, or when no host makes VMs.',
  async run(context) {
    const [name = ''] = context.positionals;
    const { host } = context.values;
    const query = typeof host === 'string' ? { query: { host } } : {};
    const { items } = await context.api.send('post', '/v1/templates/{name}/check', { path: { name }, ...query });
    show(context, items, (wide) => (items.length === 0 ? 'no host makes VMs\n' : table(items, CHECK_COLUMNS, wide)));
    return items.length > 0 && items.every(({ ok }) => ok) ? EXIT.ok : EXIT.failed;
  },
};
