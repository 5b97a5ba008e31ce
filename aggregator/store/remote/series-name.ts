/**
 * How a field's name becomes measurement, tags and field in line protocol, and back. `vm_cpu.usageCores` is measurement
 * `vm_cpu`, field `usageCores`; a forecast's quantile and horizon become tags. Whatever application metrics are called
 * comes back as it was: names of another shape go to one measurement with their full name, characters and words that
 * line protocol or the servers keep for themselves are written as %XX.
 */

export interface SeriesName {
  measurement: string;
  field: string;
  /** Tags of forecasts; null on everything else. */
  quantile: string | null;
  horizon: string | null;
}

/** Two words, as all of ours: VictoriaMetrics joins measurement and field by `_`, and they must come apart again. */
const MEASUREMENT = /^[A-Za-z]+_[A-Za-z]+$/;
const OTHER = 'other_series';
const FORECAST = 'vm_forecast';
/** `cpuCores/q0.99/h1`, with a statistic's suffix in the aggregated resolutions. */
const FORECAST_FIELD = /^([^:]+)\/q([^/:]+)\/h([^/:]+)((?::\w+)?)$/;

export function parseSeriesName(name: string): SeriesName {
  const dot = name.indexOf('.');
  const measurement = name.slice(0, Math.max(0, dot));
  if (!MEASUREMENT.test(measurement) || measurement === OTHER || dot === name.length - 1) {
    return { measurement: OTHER, field: name, quantile: null, horizon: null };
  }
  const field = name.slice(dot + 1);
  const forecast = measurement === FORECAST ? FORECAST_FIELD.exec(field) : null;
  if (!forecast) return { measurement, field, quantile: null, horizon: null };
  const [, base, quantile, horizon, suffix] = forecast as unknown as [string, string, string, string, string];
  return { measurement, field: base + suffix, quantile, horizon };
}

export function formatSeriesName({ measurement, field, quantile, horizon }: SeriesName): string {
  if (measurement === OTHER) return field;
  if (quantile === null || horizon === null) return `${measurement}.${field}`;
  const colon = field.indexOf(':');
  const base = colon < 0 ? field : field.slice(0, colon);
  return `${measurement}.${base}/q${quantile}/h${horizon}${colon < 0 ? '' : field.slice(colon)}`;
}

/** Control characters break lines; a backslash at the end escapes what follows; % marks what was written otherwise. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a line
const UNSAFE = /[\u0000-\u001f\u007f\\%]/g;
/** Names that a server or our own tags have taken. */
const TAKEN = new Set(['time', 'vm', 'host', 'source', 'quantile', 'horizon', 'resolution', 'db', '_field', '_measurement']);

const percent = (character: string): string => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;

export function safeText(text: string): string {
  return text.replace(UNSAFE, percent);
}

export function safeField(field: string): string {
  const safe = safeText(field);
  return TAKEN.has(safe) ? percent(safe) + safe.slice(1) : safe;
}

export function fromSafe(text: string): string {
  return text.includes('%') ? text.replace(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))) : text;
}
