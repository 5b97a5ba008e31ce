/**
 * Every mistake a policy file can hold, made from the schema itself: in each section a key that is none, in each field a value
 * that is none, and by hand what only its meaning tells. Input: none; output: source texts, and the field and words that each
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
  maxItems?: number;
}

/** Of every section that may hold several, one that is sound: what is beside the mistake is no mistake. */
const SOUND: Record<string, object> = {
  'fleet.freezeWindows[0]': { from: 'Fri 18:00', to: 'Mon 06:00', timeZone: 'UTC', reason: 'weekend' },
  'fleet.suspensions[0]': { from: '2026-03-03 10:00', to: '2026-03-03 11:00', timeZone: 'UTC', reason: 'new disk' },
  'fleet.slas[0]': { name: 'gold', resource: 'cpu', objective: 0.99, window: '7d' },
  'fleet.canary': { share: 0.1, soak: '1h' },
  'rules[0]': { name: 'a', match: {} },
};

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
  return stringify(document);
}

function walk(node: Node, path: string): PolicyMistake[] {
  const field = path === '' ? '' : `${path}.`;
  const mistakes: PolicyMistake[] = [];
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
