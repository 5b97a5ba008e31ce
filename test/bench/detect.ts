/**
 * `bench detect`: one tick of the anomaly detectors: every VM's eight metrics take one point each, with how they go together. Output: seconds of CPU a
 * tick for 10,000 VMs on one core, bytes of state and of memory a VM, and the same for a random cut forest written here from its paper, in the
 * same run on the same points.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { WatchEngine } from '../../aggregator/core/anomaly/watch-engine.ts';
import { createPrng } from '../../shared/prng.ts';
import { type Benchmark, MINUTE_MS, measured, median, rounded } from './benchmark.ts';
import { RandomCutForest } from './random-cut-forest.ts';

const STEP_MS = 5 * MINUTE_MS;
const METRICS = 8;
const ASKED_VMS = 10_000;
/** VMs with series of their own; the others of the fleet have seen what one of these has, and go on from a copy of its bytes. */
const DISTINCT_VMS = 500;
/** A forest holds so much that fewer stand for many. */
const PEER_VMS = 4;
/** Past warm-up, with windows to compare with. */
const WARM_STEPS = 300;
const TICKS = 7;

/** Every series a VM may have, at one point each. */
type Look = (step: number) => void;

function madeValues(n: number): (step: number) => number {
  const random = createPrng(5, String(n));
  const [phase, swing, noise] = [random.next() * 6.28, random.next() * 40, random.next() * 5];
  return (step) => 50 + swing * Math.sin((step / 288) * 6.28 + phase) + noise * (random.next() + random.next() - 1);
}

const valuesOf = (vm: number) => Array.from({ length: METRICS }, (_, metric) => madeValues(vm * METRICS + metric));

/** CPU seconds of `steps` ticks over all VMs, one by one. */
async function ticks(vms: readonly Look[], fromStep: number, steps: number): Promise<number[]> {
  const seconds: number[] = [];
  for (let step = fromStep; step < fromStep + steps; step++) {
    const { cpuSeconds } = await measured(() => {
      for (const look of vms) look(step);
    });
    seconds.push(cpuSeconds);
  }
  return seconds;
}

/** What the live watch does with a VM's bytes at each step. */
function watchedBy(engine: WatchEngine, bytes: Uint8Array, vm: number): Look {
  const values = valuesOf(vm);
  const instant = new Float64Array(METRICS);
  return (step) => {
    for (let metric = 0; metric < METRICS; metric++) {
      instant[metric] = values[metric]!(step);
      engine.look(engine.seriesOf(bytes, metric), step * STEP_MS, instant[metric]!);
    }
    engine.together(bytes, instant);
  };
}

function forestOf(vm: number): { look: Look; stateBytes: () => number } {
  const values = valuesOf(vm);
  const forests = values.map((_, metric) => new RandomCutForest(createPrng(11, `${vm}/${metric}`)));
  return {
    look: (step) => {
      for (const [metric, forest] of forests.entries()) forest.score(values[metric]!(step));
    },
    stateBytes: () => forests.reduce((sum, forest) => sum + forest.stateBytes, 0),
  };
}

/** Memory of all that `make` answers, bytes: what is held, not only what is counted as state. */
function held<T>(make: () => T): { made: T; bytes: number } {
  const before = memoryBytes();
  const made = make();
  return { made, bytes: memoryBytes() - before };
}

function memoryBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

export const detecting: Benchmark = {
  about: 'a tick of all anomaly detectors: seconds for 10,000 VMs × 8 metrics on one core, state a VM, beside a random cut forest',
  async run(tell) {
    tell(`${ASKED_VMS} VMs × ${METRICS} metrics`);
    const engine = new WatchEngine(METRICS);
    const warm = Array.from({ length: DISTINCT_VMS }, () => engine.newBytes(METRICS));
    await ticks(
      warm.map((bytes, vm) => watchedBy(engine, bytes, vm)),
      0,
      WARM_STEPS,
    );
    const { made: states, bytes } = held(() => Array.from({ length: ASKED_VMS }, (_, vm) => warm[vm % DISTINCT_VMS]!.slice()));
    const fleet = states.map((state, vm) => watchedBy(engine, state, vm % DISTINCT_VMS));
    const ours = median(await ticks(fleet, WARM_STEPS, TICKS));
    tell(`random cut forest: ${PEER_VMS} VMs × ${METRICS} metrics`);
    const forests = Array.from({ length: PEER_VMS }, (_, vm) => forestOf(vm));
    const peerLooks = forests.map(({ look }) => look);
    await ticks(peerLooks, 0, WARM_STEPS);
    const peer = median(await ticks(peerLooks, WARM_STEPS, TICKS));
    return {
      tickSeconds: rounded(ours),
      tickSecondsFor: `${ASKED_VMS} VMs × ${METRICS} metrics, each of them run; ${DISTINCT_VMS} of them have series of their own`,
      stateBytesPerVm: states[0]!.length,
      heldBytesPerVm: rounded(bytes / ASKED_VMS),
      peers: { randomCutForest: rounded((peer * ASKED_VMS) / PEER_VMS) },
      peersFor: `extrapolated from ${PEER_VMS} VMs measured; 50 trees, 256 points, shingle 8`,
      peersStateBytesPerVm: { randomCutForest: forests.reduce((sum, { stateBytes }) => sum + stateBytes(), 0) / PEER_VMS },
    };
  },
};
