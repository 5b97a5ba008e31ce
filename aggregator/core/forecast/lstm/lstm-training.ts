/**
 * Trains the network on the series of many VMs at once: stretches of their histories, the pinball loss of every lead and
 * level, gradients back through time, Adam (Kingma and Ba, 2015). Series and a seeded generator in, weights out. Belongs in a
 * worker thread: a fleet's week takes some ten seconds of CPU.
 */
import type { Prng } from '../../../../shared/prng.ts';
import type { LstmSeries } from './lstm-inputs.ts';
import {
  GATE_ROW,
  HEAD_AT,
  HEAD_ROW,
  HIDDEN,
  INPUTS,
  LSTM_LEADS,
  LSTM_LEVELS,
  type LstmStep,
  newStep,
  OUTPUTS,
  readLstm,
  stepLstm,
  WEIGHTS,
} from './lstm-network.ts';

/** Steps of a stretch: the gates of so small a network remember no further. */
const STRETCH = 48;
/** Steps at its start without a loss: the state begins at zero. */
const WARM = 8;
const LEAD_MAX = LSTM_LEADS.at(-1)!;
const BATCH = 12;
const RATE = 0.006;
const BETA1 = 0.9;
const BETA2 = 0.99;
/** Gradients of a batch are cut to this norm: one burst must not undo the rest. */
const NORM_MAX = 1;
/** Where quantiles begin: a Laplace distribution of 10 %, as in the residual sketches. */
const PRIOR_SCALE = 0.1;

/** Small random weights; quantiles at their prior; memory that lasts (forget gates open). */
export function freshWeights(random: Prng): Float32Array {
  const weights = new Float32Array(WEIGHTS);
  const bound = 1 / Math.sqrt(INPUTS + HIDDEN);
  for (let w = 0; w < HEAD_AT; w++) weights[w] = bound * (2 * random.next() - 1);
  for (let g = 0; g < 4 * HIDDEN; g++) weights[g * GATE_ROW + GATE_ROW - 1] = g >= HIDDEN && g < 2 * HIDDEN ? 1 : 0;
  for (let o = 0; o < OUTPUTS; o++) {
    const q = LSTM_LEVELS[o % LSTM_LEVELS.length]!;
    const prior = q < 0.5 ? PRIOR_SCALE * Math.log(2 * q) : -PRIOR_SCALE * Math.log(2 * (1 - q));
    weights[HEAD_AT + o * HEAD_ROW + HEAD_ROW - 1] = prior;
  }
  return weights;
}

/** `batches` of 12 stretches of 48 steps: 1,000 take about ten seconds. Null when no series is long enough. */
export function trainLstm(series: readonly LstmSeries[], random: Prng, batches: number): Float32Array | null {
  const usable = series.filter(({ levels }) => levels.length >= STRETCH + LEAD_MAX + 1);
  if (usable.length === 0) return null;
  const weights = freshWeights(random);
  const gradient = new Float64Array(WEIGHTS);
  const first = new Float64Array(WEIGHTS);
  const second = new Float64Array(WEIGHTS);
  const steps = Array.from({ length: STRETCH + 1 }, newStep);
  for (let batch = 1; batch <= batches; batch++) {
    gradient.fill(0);
    for (let b = 0; b < BATCH; b++) {
      const one = usable[random.below(usable.length)]!;
      learnStretch(weights, gradient, one, random.below(one.levels.length - STRETCH - LEAD_MAX), steps);
    }
    const rate = RATE * 0.5 * (1 + Math.cos((Math.PI * batch) / (batches + 1)));
    adam(weights, gradient, first, second, rate, batch);
  }
  return weights;
}

function adam(weights: Float32Array, gradient: Float64Array, first: Float64Array, second: Float64Array, rate: number, batch: number): void {
  const norm = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0));
  const scale = norm > NORM_MAX ? NORM_MAX / norm : 1;
  const bias1 = 1 - BETA1 ** batch;
  const bias2 = 1 - BETA2 ** batch;
  for (let w = 0; w < weights.length; w++) {
    const g = gradient[w]! * scale;
    first[w] = BETA1 * first[w]! + (1 - BETA1) * g;
    second[w] = BETA2 * second[w]! + (1 - BETA2) * g * g;
    weights[w]! -= (rate * (first[w]! / bias1)) / (Math.sqrt(second[w]! / bias2) + 1e-8);
  }
}

const outputs = new Float64Array(OUTPUTS);

/** One stretch forward and back; adds to `gradient`. */
function learnStretch(weights: Float32Array, gradient: Float64Array, series: LstmSeries, from: number, steps: readonly LstmStep[]): void {
  const { inputs, levels } = series;
  steps[0]!.cell.fill(0);
  steps[0]!.output.fill(0);
  // How the loss moves with each step's output, [STRETCH × HIDDEN].
  const pull = new Float64Array(STRETCH * HIDDEN);
  for (let t = 0; t < STRETCH; t++) {
    const at = (from + t) * INPUTS;
    stepLstm(weights, inputs, at, steps[t]!, steps[t + 1]!);
    if (t < WARM || Number.isNaN(levels[from + t]!)) continue;
    readLstm(weights, inputs, at, steps[t + 1]!.output, outputs);
    for (let o = 0; o < OUTPUTS; o++) {
      const lead = LSTM_LEADS[Math.floor(o / LSTM_LEVELS.length)]!;
      const target = levels[from + t + lead]! - levels[from + t]!;
      if (Number.isNaN(target)) continue;
      const slope = ((target < outputs[o]! ? 1 : 0) - LSTM_LEVELS[o % LSTM_LEVELS.length]!) / (BATCH * STRETCH);
      let w = HEAD_AT + o * HEAD_ROW;
      for (let k = 0; k < HIDDEN; k++) {
        pull[t * HIDDEN + k]! += slope * weights[w]!;
        gradient[w++]! += slope * steps[t + 1]!.output[k]!;
      }
      for (let i = 0; i < INPUTS; i++) gradient[w++]! += slope * inputs[at + i]!;
      gradient[w]! += slope;
    }
  }
  backThroughTime(weights, gradient, inputs, from, steps, pull);
}

function backThroughTime(
  weights: Float32Array,
  gradient: Float64Array,
  inputs: Float32Array,
  from: number,
  steps: readonly LstmStep[],
  pull: Float64Array,
): void {
  const dOutput = new Float64Array(HIDDEN);
  const dCell = new Float64Array(HIDDEN);
  const dGates = new Float64Array(4 * HIDDEN);
  for (let t = STRETCH - 1; t >= 0; t--) {
    const before = steps[t]!;
    const { gates, cell } = steps[t + 1]!;
    for (let k = 0; k < HIDDEN; k++) {
      const [i, f, g, o] = [gates[k]!, gates[HIDDEN + k]!, gates[2 * HIDDEN + k]!, gates[3 * HIDDEN + k]!];
      const squashed = Math.tanh(cell[k]!);
      const d = dOutput[k]! + pull[t * HIDDEN + k]!;
      const dc = dCell[k]! + d * o * (1 - squashed * squashed);
      dGates[k] = dc * g * i * (1 - i);
      dGates[HIDDEN + k] = dc * before.cell[k]! * f * (1 - f);
      dGates[2 * HIDDEN + k] = dc * i * (1 - g * g);
      dGates[3 * HIDDEN + k] = d * squashed * o * (1 - o);
      dCell[k] = dc * f;
    }
    dOutput.fill(0);
    const at = (from + t) * INPUTS;
    for (let row = 0; row < 4 * HIDDEN; row++) {
      const d = dGates[row]!;
      let w = row * GATE_ROW;
      for (let i = 0; i < INPUTS; i++) gradient[w++]! += d * inputs[at + i]!;
      for (let k = 0; k < HIDDEN; k++) {
        dOutput[k]! += d * weights[w]!;
        gradient[w++]! += d * before.output[k]!;
      }
      gradient[w]! += d;
    }
  }
}
