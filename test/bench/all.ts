/** The benchmarks by name. */
import type { Benchmark } from './benchmark.ts';
import { detecting } from './detect.ts';
import { families } from './families.ts';
import { fleet } from './fleet.ts';
import { forecast } from './forecast.ts';
import { incidents } from './incidents.ts';
import { ingest } from './ingest.ts';
import { planning } from './plan.ts';
import { query } from './query.ts';

export const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  detect: detecting,
  families,
  fleet,
  forecast,
  incidents,
  ingest,
  plan: planning,
  query,
};
