/**
 * The real aggregator on a simulated clock and network with a host agent that does what it is told, and its stores in memory, for
 * tests of the whole. Input: VMs and their load, a policy; output: a handle to move time, kill, start again and look.
 */
import { type Aggregator, createAggregator } from '../../aggregator/aggregator.ts';
import type { AggregatorOptions } from '../../aggregator/aggregator-options.ts';
import { decisionConfig } from '../../aggregator/config.ts';
import type { LedgerStore } from '../../aggregator/store/ledger-store.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';
import { createMemorySeriesStore } from '../../aggregator/store/sqlite/memory-series-store.ts';
import { createLogger } from '../../shared/log.ts';
import { createPrng } from '../../shared/prng.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import { FakeHost, type FakeVm } from './fake-host.ts';

const START_MS = Date.UTC(2026, 2, 3, 8, 0, 0);
const STEP_MS = 5000;
/** A season short enough to be seen several times within a second. */
export const DAY_MS = 120_000;
export const CONFIG = decisionConfig({ stepMs: STEP_MS, planPeriodMs: STEP_MS, seasonsMs: [DAY_MS] });

export class AggregatorWorld {
  readonly time = new SimulatedTime(createPrng(11), START_MS);
  ledger: LedgerStore = createMemoryLedgerStore();
  /** What the aggregator is started with beside all this. */
  more: Partial<AggregatorOptions> = {};
  readonly series = createMemorySeriesStore({ clock: new NodeClock(this.time) });
  readonly host: FakeHost;
  policy: string;
  clock = new NodeClock(this.time);
  aggregator!: Aggregator;
  readonly log: string[] = [];

  constructor(vms: FakeVm[], policy: string) {
    this.policy = policy;
    this.host = new FakeHost('kvm1', new NodeClock(this.time), vms);
    this.host.network.onConnection((transport) => this.aggregator.accept(transport));
  }

  async start(): Promise<void> {
    this.clock = new NodeClock(this.time);
    this.aggregator = await createAggregator({
      clock: this.clock,
      prng: createPrng(1),
      series: this.series,
      ledger: this.ledger,
      policySource: { read: async () => this.policy },
      config: CONFIG,
      log: createLogger((line) => this.log.push(line), this.clock, 'warn'),
      version: 'test',
      ...this.more,
    });
    this.aggregator.start();
  }

  run(forMs: number): Promise<void> {
    return this.time.runUntil(this.time.nowMs + forMs);
  }

  /** kill -9: nothing is drained, connections are cut. */
  kill(): void {
    this.clock.kill();
    this.host.network.dropConnections();
  }
}

export async function aggregatorWorld(vms: FakeVm[], policy: string): Promise<AggregatorWorld> {
  const world = new AggregatorWorld(vms, policy);
  await world.start();
  world.host.live();
  return world;
}
