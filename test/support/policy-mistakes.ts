/**
 * Every mistake a policy file can hold, made from the schema itself: in each section a key that is none, in each field a value
 * that is none or lies beyond its bounds, what must be there left out, and by hand what only its meaning tells. Input: none; output: source texts, and the field and words that each
 * must be told with. What the schema gains is in here from then on.
 */
import { stringify } from 'yaml';
import { PolicyDocument } from '../../aggregator/core/plan/policy-schema.ts';

export interface PolicyMistake {
  name: string;
  source: string;
  told: RegExp;
}

interface Node {
  type?: string;
  properties?: Record<string, Node>;
  items?: Node;
  anyOf?: Node[];
  required?: string[];
  pattern?: string;
  enum?: unknown[];
  minimum?: number;
  exclusiveMinimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  minProperties?: number;
}

/** Of every section that may hold several, one that is sound: what is beside the mistake is no mistake. */
const SOUND: Record<string, object> = {
  'fleet.freezeWindows[0]': { from: 'Fri 18:00', to: 'Mon 06:00', timeZone: 'UTC', reason: 'weekend' },
  'fleet.suspensions[0]': { from: '2026-03-03 10:00', to: '2026-03-03 11:00', timeZone: 'UTC', reason: 'new disk' },
  'fleet.slas[0]': { name: 'gold', resource: 'cpu', objective: 0.99, window: '7d' },
  'fleet.canary': { share: 0.1, soak: '1h' },
  'rules[0]': { name: 'a', match: {} },
  'defaults.anomaly.isolate': { kinds: ['leak'], for: '15m' },
  'rules[0].anomaly.isolate': { kinds: ['leak'], for: '15m' },
  'defaults.anomaly.restart': { kinds: ['leak'] },
  'rules[0].anomaly.restart': { kinds: ['leak'] },
  'suspend[0]': { name: 'nights', match: {} },
  'suspend[0].idle': { for: '30m' },
  'suspend[0].schedules[0]': { suspend: 'Fri 18:00', resume: 'Mon 06:00', timeZone: 'UTC' },
  'groups[0]': { name: 'web', template: 'web', min: 1, max: 3, target: { cpu: 0.7 } },
};

/** Spelled out: aliases have a limit of their own. */
const textOf = (document: object): string => stringify(document, { aliasDuplicateObjects: false });
const escaped = (text: string): string => text.replaceAll(/[.[\]]/g, '\\$&');

/** `fleet.slas[0].name` set to `value` in a document that is sound otherwise. */
function sourceWith(path: string, value: unknown): string {
  const document: Record<string, unknown> = { version: 1 };
  let at: Record<string, unknown> = document;
  let walked = '';
  const parts = path.split('.');
  for (const [i, part] of parts.entries()) {
    const [, key = '', list] = /^([^[]*)(\[0\])?$/.exec(part) ?? [];
    walked = walked === '' ? part : `${walked}.${part}`;
    const last = i === parts.length - 1;
    const next: unknown = last ? value : { ...(at[key] as object | undefined), ...SOUND[walked] };
    at[key] = list === undefined ? next : [next];
    at = next as Record<string, unknown>;
  }
  return textOf(document);
}

const notAccepted = (path: string): RegExp => new RegExp(`field ${escaped(path)}: .* is not accepted; expected `);
/** Matches no pattern and is no word of any list. */
const NO_WORD = '?';

/** Beyond what the schema bounds, on each side. */
function beyond(node: Node, path: string): PolicyMistake[] {
  const { minimum, exclusiveMinimum, maximum, minLength, maxLength, minItems, maxItems, minProperties } = node;
  const values: [what: string, value: unknown][] = [];
  if (node.type === 'integer') values.push(['a part of one', 1.5]);
  if (minimum !== undefined) values.push(['too little', minimum - 1]);
  if (exclusiveMinimum !== undefined) values.push(['too little', exclusiveMinimum]);
  if (maximum !== undefined) values.push(['too much', maximum + 1]);
  if (node.pattern !== undefined || node.enum !== undefined) values.push(['no such word', NO_WORD]);
  if (minLength !== undefined) values.push(['no text', '']);
  if (maxLength !== undefined) values.push(['too long a text', 'x'.repeat(maxLength + 1)]);
  if (minItems !== undefined) values.push(['no item', []]);
  if (maxItems !== undefined) values.push(['too many items', Array.from({ length: maxItems + 1 }, () => SOUND[`${path}[0]`] ?? 'leak')]);
  if (minProperties !== undefined) values.push(['no key', {}]);
  return values.map(([what, value]) => ({ name: `${path}: ${what}`, source: sourceWith(path, value), told: notAccepted(path) }));
}

function missing({ required = [] }: Node, path: string): PolicyMistake[] {
  const sound = SOUND[path];
  // The file's own first line is tried by hand.
  if (path === '' || required.length === 0) return [];
  if (sound === undefined) throw new Error(`${path} has keys that must be there, and no sound example here`);
  return required.map((key) => ({
    name: `${path}: without ${key}`,
    source: sourceWith(path, Object.fromEntries(Object.entries(sound).filter(([each]) => each !== key))),
    told: new RegExp(`field ${escaped(path)}: .*"${key}" is missing: expected `),
  }));
}

function walk(node: Node, path: string): PolicyMistake[] {
  const field = path === '' ? '' : `${path}.`;
  const mistakes: PolicyMistake[] = [...beyond(node, path), ...missing(node, path)];
  for (const each of node.anyOf ?? []) {
    mistakes.push(...beyond(each, path), ...missing(each, path));
    for (const [key, child] of Object.entries(each.properties ?? {})) mistakes.push(...walk(child, `${field}${key}`));
  }
  if (node.items !== undefined) {
    mistakes.push({
      name: `${path}: no list`,
      source: sourceWith(path, 5),
      told: new RegExp(`field ${escaped(path)}: 5 is not accepted; expected `),
    });
    return [...mistakes, ...walk(node.items, `${path}[0]`)];
  }
  if (node.properties === undefined) {
    // No scalar of a policy is a list, and none has a default that hides it.
    mistakes.push({
      name: `${path}: a value that is none`,
      source: sourceWith(path, ['x']),
      told: new RegExp(`field ${escaped(path)}(\\[0\\])?[ :]`),
    });
    return mistakes;
  }
  mistakes.push({
    name: `${path || 'top'}: a key that is none`,
    source: sourceWith(`${field}noSuchKey`, 1),
    told: new RegExp(`field ${escaped(field)}noSuchKey: unknown field "noSuchKey"; allowed here: `),
  });
  for (const [key, child] of Object.entries(node.properties)) mistakes.push(...walk(child, `${field}${key}`));
  return mistakes;
}

/** Labels take any key: a value of one is a name. */
const OPEN = /(^|\.)labels$/;

/** Each holds the one before ten times: what they spell out is beyond any memory. */
const ALIASES = Array.from(
  { length: 9 },
  (_, i) =>
    `&a${i} [${
      i === 0
        ? 'x'
        : Array(10)
            .fill(`*a${i - 1}`)
            .join(', ')
    }]`,
).join(', ');

const BY_MEANING: PolicyMistake[] = [
  {
    name: 'floor above ceiling',
    source: sourceWith('defaults.cpu', { floor: 2, ceiling: 1 }),
    told: /field defaults\.cpu\.floor: the floor of 2 is above the ceiling of 1/,
  },
  { name: 'no such forecaster', source: sourceWith('defaults.cpu', { forecaster: 'oracle' }), told: /no forecaster is called "oracle"/ },
  {
    name: 'two rules of one name',
    source: 'version: 1\nrules:\n  - {name: a, match: {}}\n  - {name: a, match: {}}\n',
    told: /field rules\[1\]\.name: "a" names two rules/,
  },
  {
    name: 'a freeze of nothing',
    source: sourceWith('fleet.freezeWindows[0].to', 'Fri 18:00'),
    told: /freezeWindows\[0\]\.to: it ends when it begins/,
  },
  {
    name: 'a freeze nowhere',
    source: sourceWith('fleet.freezeWindows[0].timeZone', 'Mars/Base'),
    told: /freezeWindows\[0\]\.timeZone: "Mars\/Base" is not a known/,
  },
  {
    name: 'a suspension that ends before',
    source: sourceWith('fleet.suspensions[0].to', '2026-03-03 09:00'),
    told: /suspensions\[0\]\.to: it ends .* before it begins/,
  },
  {
    name: 'a suspension on no day',
    source: sourceWith('fleet.suspensions[0].from', '2026-02-30 09:00'),
    told: /suspensions\[0\]\.from: "2026-02-30 09:00" is no day/,
  },
  {
    name: 'a suspension nowhere',
    source: sourceWith('fleet.suspensions[0].timeZone', 'Mars/Base'),
    told: /suspensions\[0\]\.timeZone: "Mars\/Base"/,
  },
  {
    name: 'a suspension until no day',
    source: sourceWith('fleet.suspensions[0].to', '2026-02-30 12:00'),
    told: /suspensions\[0\]\.to: "2026-02-30 12:00" is no day/,
  },
  {
    name: 'two agreements of one name',
    source: textOf({ version: 1, fleet: { slas: [SOUND['fleet.slas[0]'], SOUND['fleet.slas[0]']] } }),
    told: /field fleet\.slas\[1\]\.name: "gold" names two agreements/,
  },
  {
    name: 'floor above ceiling, in a rule',
    source: sourceWith('rules[0].memory', { floor: 512, ceiling: 256 }),
    told: /field rules\[0\]\.memory\.floor: the floor of 512 is above the ceiling of 256/,
  },
  {
    name: 'no such forecaster, in a rule',
    source: sourceWith('rules[0].cpu', { forecaster: 'oracle' }),
    told: /field rules\[0\]\.cpu\.forecaster: no forecaster is called "oracle"; there are /,
  },
  {
    name: 'an isolation of no time',
    source: sourceWith('defaults.anomaly.isolate.for', '0s'),
    told: /field defaults\.anomaly\.isolate\.for: an isolation lasts more than nothing and at most 24h, not 0s/,
  },
  {
    name: 'an isolation of more than a day, in a rule',
    source: sourceWith('rules[0].anomaly.isolate.for', '25h'),
    told: /field rules\[0\]\.anomaly\.isolate\.for: an isolation lasts more than nothing and at most 24h, not 25h/,
  },
  {
    name: 'two groups of one name',
    source: textOf({ version: 1, groups: [SOUND['groups[0]'], SOUND['groups[0]']] }),
    told: /field groups\[1\]\.name: "web" names two groups/,
  },
  {
    name: 'a group of less than its least',
    source: sourceWith('groups[0].min', 4),
    told: /groups\[0\]\.min: the least of 4 is above the most of 3/,
  },
  {
    name: 'idle at once',
    source: sourceWith('suspend[0].idle.for', '59s'),
    told: /field suspend\[0\]\.idle\.for: nothing is idle in less than a minute/,
  },
  {
    name: 'suspended nowhere',
    source: sourceWith('suspend[0].schedules[0].timeZone', 'Mars/Base'),
    told: /field suspend\[0\]\.schedules\[0\]\.timeZone: "Mars\/Base" is not a known/,
  },
  {
    name: 'suspended for no time',
    source: sourceWith('suspend[0].schedules[0].resume', 'Fri 18:00'),
    told: /field suspend\[0\]\.schedules\[0\]\.resume: it is to be back when it goes \(Fri 18:00\)/,
  },
  {
    name: 'longer than is read',
    source: `version: 1\n${'#'.repeat(1024 * 1024)}`,
    told: /^the policy has \d+ characters; 1048576 are accepted/,
  },
  {
    name: 'aliases without end',
    source: `version: 1\nrules: [${ALIASES}]\n`,
    told: /alias count/i,
  },
  { name: 'an agreement over nothing', source: sourceWith('fleet.slas[0].window', '0s'), told: /slas\[0\]\.window: a window of nothing/ },
  { name: 'a later format', source: 'version: 2\n', told: /field version: 2 is not accepted/ },
  { name: 'no version', source: 'defaults: {}\n', told: /"version" is missing/ },
  { name: 'a key twice', source: 'version: 1\nversion: 1\n', told: /line 2, column 1: .*unique/ },
  { name: 'no YAML', source: 'version: 1\nrules: [\n', told: /line \d+, column \d+: / },
  { name: 'nothing', source: '', told: /the policy is empty/ },
  { name: 'a list', source: '- 1\n', told: /expected a mapping with version/ },
];

export function policyMistakes(): PolicyMistake[] {
  const made = walk(PolicyDocument as unknown as Node, '').filter(({ name }) => !OPEN.test(name.split(':')[0]!));
  return [...made, ...BY_MEANING];
}
