/**
 * The simulated aggregator: the real one on a simulated clock, with stores in memory that outlive it. It can be killed and
 * started again, and its wall clock can step. Input: policy, configuration; output: handles for faults and checkers.
 */
import { type Aggregator, createAggregator } from '../aggregator/aggregator.ts';
import type { DecisionConfig } from '../aggregator/config.ts';
import type { IngestLimits } from '../aggregator/ingest/peer-state.ts';
import type { Deciders } from '../aggregator/loops/plan-loop.ts';
import type { Logger } from '../shared/log.ts';
import type { Transport } from '../shared/net/transport.ts';
import type { Prng } from '../shared/prng.ts';
import { NodeClock, type SimulatedTime } from './clock.ts';
import { createSimulatedLedgerStore, type SimulatedLedgerStore } from './ledger-store.ts';
import { type Life, mortal } from './life.ts';
import { createSimulatedSeriesStore, type SimulatedSeriesStore } from './series-store.ts';

export interface AggregatorNodeOptions {
  time: SimulatedTime;
  prng: Prng;
  policy: string;
  config: DecisionConfig;
  ingestLimits: Partial<IngestLimits>;
  deciders?: Deciders;
  log: Logger;
  /** Rows of a series that its store keeps. */
  seriesRows: number;
}

export class AggregatorNode {
  readonly ledger: SimulatedLedgerStore = createSimulatedLedgerStore();
  readonly series: SimulatedSeriesStore;
  readonly #options: AggregatorNodeOptions;
  #aggregator: Aggregator | null = null;
  #clock: NodeClock | null = null;
  #life: Life = { alive: false };
  #wallStepMs = 0;
  #starts = 0;

  constructor(options: AggregatorNodeOptions) {
    this.#options = options;
    this.series = createSimulatedSeriesStore(options.seriesRows);
  }

  get running(): Aggregator | null {
    return this.#aggregator;
  }

  async start(): Promise<void> {
    const { time, prng, policy, config, ingestLimits, deciders, log } = this.#options;
    const life: Life = { alive: true };
    const clock = new NodeClock(time);
    clock.stepWall(this.#wallStepMs);
    this.#life = life;
    this.#clock = clock;
    const aggregator = await createAggregator({
      clock,
      prng: prng.stream(`aggregator/${++this.#starts}`),
      series: mortal(this.series, life),
      ledger: mortal(this.ledger, life),
      policySource: { read: async () => policy },
      config,
      ingestLimits,
      ...(deciders ? { deciders } : {}),
      log,
      version: 'simulation',
    });
    if (!life.alive) return;
    this.#aggregator = aggregator;
    aggregator.start();
  }

  accept(transport: Transport): void {
    if (this.#aggregator) this.#aggregator.accept(transport);
    else transport.close('nobody is here');
  }

  kill(): void {
    this.#life.alive = false;
    this.#clock?.kill();
    this.#aggregator = null;
  }

  stepWall(byMs: number): void {
    this.#wallStepMs += byMs;
    this.#clock?.stepWall(byMs);
  }
}
