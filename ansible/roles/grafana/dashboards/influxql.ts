/**
 * The shapes that our dashboards' queries have. Input: measurement, field, which subject; output: InfluxQL text with
 * Grafana's macros.
 */

const EVERY = 'time($__interval)';

export interface Reading {
  measurement: string;
  field: string;
  /** Further conditions, joined by AND. */
  where?: string;
  /** Retention policy; left out: rows as they came. */
  policy?: '5m' | '1h';
}

function from({ measurement, policy }: Reading): string {
  return policy ? `"${policy}"."${measurement}"` : `"${measurement}"`;
}

function where(reading: Reading): string {
  return `WHERE ${reading.where ? `${reading.where} AND ` : ''}$timeFilter`;
}

/** One line: `aggregate` of the field over each interval. */
export function line(aggregate: 'mean' | 'max' | 'last' | 'sum' | 'count', reading: Reading): string {
  return `SELECT ${aggregate}("${reading.field}") FROM ${from(reading)} ${where(reading)} GROUP BY ${EVERY} fill(none)`;
}

/** A line per value of a tag. */
export function lines(aggregate: 'mean' | 'max' | 'last', tag: string, reading: Reading): string {
  return `SELECT ${aggregate}("${reading.field}") FROM ${from(reading)} ${where(reading)} GROUP BY ${EVERY}, "${tag}" fill(none)`;
}

/** Sum over hosts or VMs of what each said last in an interval. */
export function sumOf(tag: 'host' | 'vm', reading: Reading): string {
  return `SELECT sum("each") FROM (${latest(tag, reading, `last("${reading.field}")`)}) WHERE $timeFilter GROUP BY ${EVERY} fill(none)`;
}

function latest(tag: string, reading: Omit<Reading, 'field'>, expression: string): string {
  const all = { ...reading, field: '' };
  return `SELECT ${expression} AS "each" FROM ${from(all)} ${where(all)} GROUP BY ${EVERY}, "${tag}" fill(none)`;
}

/** The same of an expression over several fields of a host's row, named by `a` and `b`. */
export function differenceOfHosts(a: string, b: string, reading: Omit<Reading, 'field'>): string {
  const each = latest('host', reading, `last("${a}") - last("${b}")`);
  return `SELECT sum("each") FROM (${each}) WHERE $timeFilter GROUP BY ${EVERY} fill(none)`;
}

export const OF_VM = `"source" = 'host' AND "vm" =~ /^$vm$/`;
export const OF_GUEST = `"source" = 'guest' AND "vm" =~ /^$vm$/`;
export const OF_HOST = `"source" = 'host' AND "host" =~ /^$host$/`;
