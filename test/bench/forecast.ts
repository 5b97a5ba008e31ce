/**
 * `bench forecast`: one tick of the forecasters that run live: every VM and resource takes its newest step and is forecast
 * again, with nothing refitted. Output: seconds a tick for 10,000 VMs × 4 resources on one core, bytes of state a VM, and
 * how both grow.
 */

import type { Forecaster } from '../../aggregator/core/forecast/forecaster.ts';
import { AGGREGATE, forecasterFactory } from '../../aggregator/core/forecast/registry.ts';
import { horizonsFor } from '../../aggregator/core/state/demand-models.ts';
import { fitInPlace } from '../../aggregator/fit/fitters.ts';
import { createPrng } from '../../shared/prng.ts';
import { RESOURCES } from '../../shared/resources.ts';
import { type Benchmark, DAY_MS, HOUR_MS, MINUTE_MS, measured, median, rounded } from './benchmark.ts';

const STEP_MS = 5 * MINUTE_MS;
const STEPS_PER_DAY = DAY_MS / STEP_MS;
/** Forecasters that really run; a larger fleet's tick is that many times theirs (each knows nothing of the others). */
const FLEETS = [250, 500, 1000] as const;
const ASKED_VMS = 10_000;
/** A day and a half of history, so that seasons and residual sketches are at work. */
const WARM_STEPS = 1.5 * STEPS_PER_DAY;
const TICKS = 5;
const QUANTILES = [0.5, 0.9, 0.95, 0.99];
const HORIZONS = horizonsFor(HOUR_MS, STEP_MS);

interface Series {
  forecaster: Forecaster;
  value: (step: number) => number;
}

function madeSeries(n: number): Series {
  const random = createPrng(3, String(n));
  const [phase, swing, noise] = [random.next() * 6.28, random.next() * 2, random.next()];
  return {
    forecaster: forecasterFactory(AGGREGATE).create({ stepMs: STEP_MS, seasonsMs: [DAY_MS, 7 * DAY_MS] }),
    value: (step) => 1 + swing * (1 + Math.sin((step / STEPS_PER_DAY) * 6.28 + phase)) + noise * random.next(),
  };
}

/** As a VM's record teaches its models: each is told what the others of its VM wanted. */
function observeAll(fleet: readonly Series[], step: number, then: (forecaster: Forecaster) => void): void {
  for (let vm = 0; vm < fleet.length; vm += RESOURCES.length) {
    const values = RESOURCES.map((_, n) => fleet[vm + n]!.value(step));
    for (let n = 0; n < RESOURCES.length; n++) {
      const { forecaster } = fleet[vm + n]!;
      forecaster.observe({ timeMs: step * STEP_MS, value: values[n]!, others: values.filter((_, other) => other !== n) });
      then(forecaster);
    }
  }
}

function tick(fleet: readonly Series[], step: number): void {
  observeAll(fleet, step, (forecaster) => forecaster.forecast(HORIZONS, QUANTILES));
}

async function tickSeconds(vms: number): Promise<{ seconds: number; stateBytesPerVm: number }> {
  const fleet = Array.from({ length: vms * RESOURCES.length }, (_, n) => madeSeries(n));
  for (let step = 0; step < WARM_STEPS; step++) {
    observeAll(fleet, step, () => {});
  }
  const seconds: number[] = [];
  for (let i = 0; i < TICKS; i++) seconds.push((await measured(() => tick(fleet, WARM_STEPS + i))).cpuSeconds);
  const bytes = fleet.reduce((sum, { forecaster }) => sum + forecaster.stateBytes, 0);
  return { seconds: median(seconds), stateBytesPerVm: bytes / vms };
}

/** Models that are refitted from history instead: what one fit and its path of an hour take. */
const PEERS = ['mstl', 'prophet'] as const;
const PEER_SERIES = 5;

/** CPU seconds a series, of a fit to a week of five-minute steps; the first fit, which loads the library, is left out. */
async function peerSeconds(family: (typeof PEERS)[number]): Promise<number> {
  const seconds: number[] = [];
  for (let n = 0; n <= PEER_SERIES; n++) {
    const { value } = madeSeries(n);
    const values = Float64Array.from({ length: 7 * STEPS_PER_DAY }, (_, step) => Math.log(value(step)));
    const request = { family, fromStep: 0, stepMs: STEP_MS, values, seasons: [STEPS_PER_DAY], ahead: HOUR_MS / STEP_MS };
    const { cpuSeconds } = await measured(() => fitInPlace(request));
    if (n > 0) seconds.push(cpuSeconds);
  }
  return rounded(median(seconds));
}

export const forecast: Benchmark = {
  about: 'a tick of all live forecasters: seconds for 10,000 VMs × 4 resources on one core, state a VM',
  async run(tell) {
    const scaling: { vms: number; tickSeconds: number }[] = [];
    let stateBytesPerVm = Number.NaN;
    for (const vms of FLEETS) {
      tell(`${vms} VMs`);
      const { seconds, stateBytesPerVm: bytes } = await tickSeconds(vms);
      stateBytesPerVm = bytes;
      scaling.push({ vms, tickSeconds: rounded(seconds) });
    }
    tell(`peers: fits of ${PEER_SERIES} series each`);
    const [mstl, prophet] = [await peerSeconds('mstl'), await peerSeconds('prophet')];
    const last = scaling.at(-1)!;
    return {
      tickSeconds: rounded((last.tickSeconds * ASKED_VMS) / last.vms),
      tickSecondsFor: `${ASKED_VMS} VMs × ${RESOURCES.length} resources, extrapolated from ${last.vms} VMs measured`,
      stateBytesPerVm,
      scaling,
      peersSecondsPerSeries: { mstl, prophet },
      peersTickSeconds: {
        mstl: rounded(mstl * ASKED_VMS * RESOURCES.length),
        prophet: rounded(prophet * ASKED_VMS * RESOURCES.length),
      },
      peersTickSecondsFor: `a fit of a week (Prophet of means of 15 minutes) and a path of an hour for as many series, extrapolated from ${PEER_SERIES} series measured`,
      horizons: HORIZONS.length,
      quantiles: QUANTILES.length,
    };
  },
};
