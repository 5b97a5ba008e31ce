/**
 * Made fleets of real demand: 400 VMs, each a run of days cut from a trace at a random day and shifted by up to two hours,
 * scaled to a random size. Traces and a seed in; per VM its size and its demand, step by step, out.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readTrace, TRACE_FILE } from '../../aggregator/cli/backtest/trace-file.ts';
import type { Prng } from '../../shared/prng.ts';
import { tracesDirectory } from '../support/traces.ts';
import { DAY_MS, HOUR_MS } from './benchmark.ts';

/** Sizes in cores and how common each is, in tenths. */
const SIZES = [1, 1, 2, 2, 2, 2, 4, 4, 4, 8] as const;
const SHIFT_MS = 2 * HOUR_MS;

export interface FleetVm {
  name: string;
  sizeCores: number;
  /** [history + evaluation steps] cores. */
  demand: Float64Array;
}

export interface Source {
  stepMs: number;
  /** [steps] share of the size; gaps hold the value before. */
  shares: Float64Array;
}

export async function sources(): Promise<Source[]> {
  const directory = tracesDirectory();
  const found: Source[] = [];
  for (const file of readdirSync(directory).sort()) {
    const trace = TRACE_FILE.test(file) ? await readTrace(join(directory, file), 'cpu') : null;
    if (trace === null) continue;
    const { stepMs, timesMs, used, granted } = trace;
    const shares = new Float64Array(Math.round((timesMs.at(-1)! - timesMs[0]!) / stepMs) + 1).fill(Number.NaN);
    used.forEach((value, i) => {
      shares[Math.round((timesMs[i]! - timesMs[0]!) / stepMs)] = Math.min(1, value / granted);
    });
    for (let i = 0; i < shares.length; i++) if (Number.isNaN(shares[i])) shares[i] = i > 0 ? shares[i - 1]! : 0;
    found.push({ stepMs, shares });
  }
  return found;
}

export function makeFleet(from: readonly Source[], vms: number, steps: number, random: Prng): FleetVm[] {
  return Array.from({ length: vms }, (_, n) => {
    const { stepMs, shares } = from[random.below(from.length)]!;
    const sizeCores = SIZES[random.below(SIZES.length)]!;
    const days = Math.floor(((shares.length - steps) * stepMs - SHIFT_MS) / DAY_MS);
    if (days < 0) throw new Error(`a trace of ${shares.length} samples is too short for ${steps} steps`);
    const start = (random.below(days + 1) * DAY_MS) / stepMs + random.below(SHIFT_MS / stepMs + 1);
    return { name: `vm-${n}`, sizeCores, demand: Float64Array.from({ length: steps }, (_, i) => sizeCores * shares[start + i]!) };
  });
}
