/**
 * What somebody in the guest expects to need: `cpu=4 in=10m for=1h`. Words in, a hint out. It is a claim and never a command:
 * the aggregator may raise a forecast by it within what the policy guarantees, and forgets it when its time is over. Pure.
 */
import { HeadroomError } from '../../shared/errors.ts';
import type { HintedResource } from '../../shared/protocol/frames.ts';

export interface Hint {
  resource: HintedResource;
  /** Cores or MiB. */
  amount: number;
  inMs: number;
  forMs: number;
}

const UNITS_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000 };
/** Long enough for a batch job; who needs it longer says so again. */
const FOR_MS_DEFAULT = 30 * 60_000;
/** The wire takes no more. */
export const HINT_MS_MAX = 24 * 3_600_000;

/** One of `cpu`, `memory`, and where wanted `in` and `for`. Throws USAGE. */
export function parseHint(words: readonly string[]): Hint {
  const given = new Map<string, string>();
  for (const word of words) {
    const [name = '', value = ''] = word.split(/=(.*)/s);
    if (!['cpu', 'memory', 'in', 'for'].includes(name) || value === '' || given.has(name)) {
      throw usage(`"${word}" is not understood`);
    }
    given.set(name, value);
  }
  const resources = (['cpu', 'memory'] as const).filter((name) => given.has(name));
  const [resource] = resources;
  if (resource === undefined || resources.length > 1) throw usage('name either cpu or memory');
  const amount = Number(given.get(resource));
  if (!(amount > 0 && amount <= 1e7))
    throw usage(`${resource}=${given.get(resource)}: a number of ${resource === 'cpu' ? 'cores' : 'MiB'} is needed`);
  return { resource, amount, inMs: duration(given.get('in') ?? '0s'), forMs: duration(given.get('for') ?? `${FOR_MS_DEFAULT / 1000}s`) };
}

function duration(text: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)(s|m|h)$/.exec(text) ?? [];
  const ms = unit === undefined ? Number.NaN : Number(digits) * UNITS_MS[unit]!;
  if (!(ms <= HINT_MS_MAX)) throw usage(`"${text}" is no duration of at most a day, such as 90s, 10m or 2h`);
  return ms;
}

function usage(what: string): HeadroomError {
  return new HeadroomError('USAGE', `${what}; a hint looks like cpu=4 in=10m for=1h, or memory=2048 in=5m`);
}
