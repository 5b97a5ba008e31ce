/**
 * `bench detect`: one tick of the anomaly detectors: every VM's eight metrics take one point each, with how they go together. Output: seconds of CPU a
 * tick for 10,000 VMs on one core, bytes of state a VM, and the same for a random cut forest written here from its paper, in the
 * same run on the same points.
 */
import type { Detector } from '../../aggregator/core/anomaly/detector.ts';
import { ENSEMBLE } from '../../aggregator/core/anomaly/ensemble-detector.ts';
import { JointResidual } from '../../aggregator/core/anomaly/joint-residual.ts';
import { bytesOf } from '../../aggregator/core/forecast/state-bytes.ts';
import { createPrng } from '../../shared/prng.ts';
import { type Benchmark, MINUTE_MS, measured, median, rounded } from './benchmark.ts';
import { RandomCutForest } from './random-cut-forest.ts';

const STEP_MS = 5 * MINUTE_MS;
const METRICS = 8;
const ASKED_VMS = 10_000;
/** VMs that really run; a larger fleet's tick is that many times theirs (each knows nothing of the others). */
const VMS = 1000;
/** A forest holds so much that fewer stand for many. */
const PEER_VMS = 4;
/** Past warm-up, with windows to compare with. */
const WARM_STEPS = 300;
const PEER_WARM_STEPS = 300;
const TICKS = 7;

type Score = (timeMs: number, value: number) => number;

interface Watched {
  score: Score;
  value: (step: number) => number;
}

function madeValues(n: number): (step: number) => number {
  const random = createPrng(5, String(n));
  const [phase, swing, noise] = [random.next() * 6.28, random.next() * 40, random.next() * 5];
  return (step) => 50 + swing * Math.sin((step / 288) * 6.28 + phase) + noise * (random.next() + random.next() - 1);
}

/** Median CPU seconds of a tick over `series`. */
async function tickSeconds(series: readonly Watched[], warmSteps: number): Promise<number> {
  const tick = (step: number): void => {
    for (const { score, value } of series) score(step * STEP_MS, value(step));
  };
  for (let step = 0; step < warmSteps; step++) tick(step);
  const seconds: number[] = [];
  for (let i = 0; i < TICKS; i++) seconds.push((await measured(() => tick(warmSteps + i))).cpuSeconds);
  return median(seconds);
}

function watchedBy(detector: Detector, n: number): Watched {
  return { score: (timeMs, value) => detector.score({ timeMs, value }).score, value: madeValues(n) };
}

/** All metrics of one VM in one look. */
function jointlyWatched(n: number): { watched: Watched; stateBytes: number } {
  const joint = new JointResidual(METRICS, 8);
  const values = Array.from({ length: METRICS }, (_, metric) => madeValues(n * METRICS + metric));
  const instant = new Float64Array(METRICS);
  return {
    stateBytes: bytesOf(joint.arrays),
    watched: {
      value: (step) => {
        for (const [metric, value] of values.entries()) instant[metric] = value(step);
        return 0;
      },
      score: () => joint.next(instant),
    },
  };
}

export const detecting: Benchmark = {
  about: 'a tick of all anomaly detectors: seconds for 10,000 VMs × 8 metrics on one core, state a VM, beside a random cut forest',
  async run(tell) {
    tell(`${VMS} VMs × ${METRICS} metrics`);
    const detectors = Array.from({ length: VMS * METRICS }, () => ENSEMBLE.create());
    const ours = await tickSeconds(
      detectors.map((detector, n) => watchedBy(detector, n)),
      WARM_STEPS,
    );
    const joints = Array.from({ length: VMS }, (_, n) => jointlyWatched(n));
    const joint = await tickSeconds(
      joints.map(({ watched }) => watched),
      WARM_STEPS,
    );
    tell(`random cut forest: ${PEER_VMS} VMs × ${METRICS} metrics`);
    const forests = Array.from({ length: PEER_VMS * METRICS }, (_, n) => new RandomCutForest(createPrng(11, String(n))));
    const peer = await tickSeconds(
      forests.map((forest, n) => ({ score: (_, value) => forest.score(value), value: madeValues(n) })),
      PEER_WARM_STEPS,
    );
    const bytes = (states: readonly { stateBytes: number }[], vms: number) => states.reduce((sum, one) => sum + one.stateBytes, 0) / vms;
    return {
      tickSeconds: rounded(((ours + joint) * ASKED_VMS) / VMS),
      tickSecondsFor: `${ASKED_VMS} VMs × ${METRICS} metrics, extrapolated from ${VMS} VMs measured`,
      stateBytesPerVm: bytes(detectors, VMS) + bytes(joints, VMS),
      peers: { randomCutForest: rounded((peer * ASKED_VMS) / PEER_VMS) },
      peersFor: `extrapolated from ${PEER_VMS} VMs measured; 50 trees, 256 points, shingle 8`,
      peersStateBytesPerVm: { randomCutForest: bytes(forests, PEER_VMS) },
    };
  },
};
