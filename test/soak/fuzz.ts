/** `npm run soak -- fuzz`: millions of hostile frames and requests. Input: how many and a seed; output: what became of them, and memory. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { fuzzFrames } from './frame-fuzz.ts';
import { fuzzHttp } from './http-fuzz.ts';
import type { Soak } from './soak.ts';

/** More left over than this, after all is closed and collected, is a leak: honest runs of any length leave a few. */
const LEAK_MIB_MAX = 64;

function heapMiB(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

export const fuzz: Soak = {
  about: 'hostile frames and HTTP requests: no crash, no unhandled rejection, no memory kept',
  options: { frames: '5000000', requests: '1000000' },
  async run({ seed, numbers, tell }) {
    const unhandled: string[] = [];
    const onUnhandled = (reason: unknown): void => {
      unhandled.push(String(reason));
    };
    process.on('unhandledRejection', onUnhandled);
    // A refusal's stack costs more than the refusal; a failure is run again by its seed.
    Error.stackTraceLimit = 0;
    // Whatever is loaded once is loaded before the first figure.
    await fuzzFrames(seed, 2000);
    await fuzzHttp(seed, 200);
    const before = heapMiB();
    const startMs = performance.now();
    const frames = await fuzzFrames(seed + 1, numbers.frames!, (done) => tell(`${done} frames`));
    const framesSeconds = (performance.now() - startMs) / 1000;
    const requests = await fuzzHttp(seed + 1, numbers.requests!, (done) => tell(`${done} requests`));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const leftMiB = heapMiB() - before;
    process.off('unhandledRejection', onUnhandled);
    if (unhandled.length > 0) throw new Error(`${unhandled.length} unhandled rejections, the first: ${unhandled[0]}; SEED=${seed}`);
    if (leftMiB > LEAK_MIB_MAX) throw new Error(`${leftMiB.toFixed(0)} MiB of heap are left over; SEED=${seed}`);
    const seconds = (performance.now() - startMs) / 1000;
    const rssMiB = Math.round(process.memoryUsage().rss / 2 ** 20);
    return { seed, frames, http: requests, framesSeconds, seconds, heapLeftMiB: leftMiB, rssMiB };
  },
};
