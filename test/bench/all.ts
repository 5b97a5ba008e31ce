/** The benchmarks by name. */
import { agentCost } from './agent.ts';
import type { Benchmark } from './benchmark.ts';
import { density } from './density.ts';
import { detecting } from './detect.ts';
import { etcdSize } from './etcd-size.ts';
import { failover } from './failover.ts';
import { families } from './families.ts';
import { fleet } from './fleet.ts';
import { fleetTls, flood } from './fleet-guarded.ts';
import { forecast } from './forecast.ts';
import { harm } from './harm.ts';
import { hostCost } from './host.ts';
import { incidents } from './incidents.ts';
import { ingest } from './ingest.ts';
import { planning } from './plan.ts';
import { query } from './query.ts';
import { resume } from './resume.ts';
import { spawn } from './spawn.ts';
import { undo } from './undo.ts';

export const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  agent: agentCost,
  density,
  detect: detecting,
  'etcd-size': etcdSize,
  failover,
  families,
  fleet,
  'fleet-tls': fleetTls,
  flood,
  forecast,
  harm,
  host: hostCost,
  incidents,
  ingest,
  plan: planning,
  query,
  resume,
  spawn,
  undo,
};
