/**
 * Prometheus text, read for its few totals: counters, gauges, untyped values, and the sums and counts of histograms and
 * summaries. Input: one scrape; output: a value per metric name, summed over its labels, and whether it is a counter. Buckets and
 * quantiles are left out: summed over labels they mean nothing. Pure. Format: Prometheus' "Exposition formats", version 0.0.4.
 */

export interface ScrapedMetric {
  value: number;
  counter: boolean;
}

/** Lines read of one scrape. */
const LINES_MAX = 20_000;
const TYPE = /^#\s+TYPE\s+([a-zA-Z_:][a-zA-Z0-9_:]*)\s+(\w+)/;
/** Name, labels (which may hold any character in quotes), value, time. */
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?\s+(\S+)(?:\s+-?\d+)?$/;

export function parsePrometheus(text: string): Map<string, ScrapedMetric> {
  const types = new Map<string, string>();
  const metrics = new Map<string, ScrapedMetric>();
  let lines = 0;
  for (const raw of text.split('\n')) {
    if (++lines > LINES_MAX) break;
    const line = raw.trim();
    const typed = TYPE.exec(line);
    if (typed) types.set(typed[1]!, typed[2]!);
    if (line === '' || line.startsWith('#')) continue;
    const [, name = '', labels = '', number = ''] = SAMPLE.exec(line) ?? [];
    const value = Number(number);
    if (name === '' || number === '' || !Number.isFinite(value)) continue;
    const kind = kindOf(name, labels, types);
    if (kind === null) continue;
    const before = metrics.get(name);
    metrics.set(name, { value: (before?.value ?? 0) + value, counter: kind === 'counter' });
  }
  return metrics;
}

/** Null: left out. */
function kindOf(name: string, labels: string, types: ReadonlyMap<string, string>): 'counter' | 'gauge' | null {
  const own = types.get(name);
  if (own === 'counter') return 'counter';
  // A summary's quantiles carry its own name.
  if (own === 'summary' || own === 'histogram') return null;
  if (own !== undefined) return 'gauge';
  const part = /^(.*)_(bucket|sum|count)$/.exec(name);
  const family = part ? types.get(part[1]!) : undefined;
  if (family === 'histogram' || family === 'summary') return part![2] === 'bucket' ? null : 'counter';
  return labels.includes('quantile=') || labels.includes('le=') ? null : 'gauge';
}
