/**
 * What a benchmark is, and what all of them share. Input: a way to tell progress; output: one object of figures, whose keys
 * others rely on. Figures are told beside a named peer's of the same run where there is one, and never asserted.
 */
export interface Benchmark {
  /** One line for `npm run bench -- --help`. */
  about: string;
  /** Resolves to the figures; rejects when what it measures cannot run here. */
  run(tell: (progress: string) => void): Promise<Record<string, unknown>>;
}

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

/** CPU of this process, its threads included, spent while `work` runs, and the wall time, seconds. */
export async function measured<T>(work: () => Promise<T> | T): Promise<{ result: T; cpuSeconds: number; wallSeconds: number }> {
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  const result = await work();
  const { user, system } = process.cpuUsage(cpu);
  return { result, cpuSeconds: (user + system) / 1e6, wallSeconds: (performance.now() - startedMs) / 1000 };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** To four significant digits: what a single run can tell. */
export const rounded = (value: number): number => (Number.isFinite(value) ? Number(value.toPrecision(4)) : value);
