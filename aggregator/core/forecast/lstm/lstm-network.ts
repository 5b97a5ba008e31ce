/**
 * A small recurrent network: one LSTM layer (Hochreiter and Schmidhuber, Neural Computation 9, 1997, with the forget gate of
 * Gers et al., 2000) whose output and inputs feed a linear head that gives quantiles of the coming steps, relative to the
 * last value (quantile loss through time, as in Wen et al., "A Multi-Horizon Quantile Recurrent Forecaster", 2017). Weights
 * and an input row in, the next state and quantiles out. All weights lie in one Float32Array, so that they travel as bytes.
 */

export const HIDDEN = 16;
/** Columns of an input row: see lstm-inputs.ts. */
export const INPUTS = 23;
export const LSTM_LEADS = [1, 2, 3, 4, 6, 12] as const;
export const LSTM_LEVELS = [0.1, 0.5, 0.9, 0.95, 0.99, 0.998] as const;
export const OUTPUTS = LSTM_LEADS.length * LSTM_LEVELS.length;
const GATES = 4 * HIDDEN;
/** Columns of a gate row: inputs, previous output, bias. */
export const GATE_ROW = INPUTS + HIDDEN + 1;
/** Columns of a head row: output, inputs, bias. */
export const HEAD_ROW = HIDDEN + INPUTS + 1;
/** The head's rows follow the gates' in the weights. */
export const HEAD_AT = GATES * GATE_ROW;
export const WEIGHTS = HEAD_AT + OUTPUTS * HEAD_ROW;

/** What one step leaves behind: all that the next step, or the way back through time, needs. */
export interface LstmStep {
  /** Input, forget, candidate and output gates, [4 × HIDDEN]. */
  gates: Float64Array;
  cell: Float64Array;
  output: Float64Array;
}

export const newStep = (): LstmStep => ({
  gates: new Float64Array(GATES),
  cell: new Float64Array(HIDDEN),
  output: new Float64Array(HIDDEN),
});

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** One step: from the state `before` and the input row at `at`, into `after` (another object). */
export function stepLstm(weights: Float32Array, input: Float32Array, at: number, before: LstmStep, after: LstmStep): void {
  const { gates } = after;
  for (let g = 0; g < GATES; g++) {
    let w = g * GATE_ROW;
    let sum = 0;
    for (let i = 0; i < INPUTS; i++) sum += weights[w++]! * input[at + i]!;
    for (let k = 0; k < HIDDEN; k++) sum += weights[w++]! * before.output[k]!;
    sum += weights[w]!;
    gates[g] = g >= 2 * HIDDEN && g < 3 * HIDDEN ? Math.tanh(sum) : sigmoid(sum);
  }
  for (let k = 0; k < HIDDEN; k++) {
    after.cell[k] = gates[HIDDEN + k]! * before.cell[k]! + gates[k]! * gates[2 * HIDDEN + k]!;
    after.output[k] = gates[3 * HIDDEN + k]! * Math.tanh(after.cell[k]!);
  }
}

/** Quantiles relative to the last value, [LSTM_LEADS × LSTM_LEVELS], into `out`. */
export function readLstm(weights: Float32Array, input: Float32Array, at: number, output: Float64Array, out: Float64Array): void {
  for (let o = 0; o < OUTPUTS; o++) {
    let w = HEAD_AT + o * HEAD_ROW;
    let sum = 0;
    for (let k = 0; k < HIDDEN; k++) sum += weights[w++]! * output[k]!;
    for (let i = 0; i < INPUTS; i++) sum += weights[w++]! * input[at + i]!;
    out[o] = sum + weights[w]!;
  }
}
