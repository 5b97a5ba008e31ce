/** The thread that simulates one fleet. Input: what to run; output: its words, then its end. */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../shared/assert.ts';
import { PACES } from './paces.ts';
import type { ThreadRun, ThreadWord } from './thread.ts';
import { World } from './world.ts';

// A fleet-year of refusals is as many errors, of which nobody reads where they were made.
Error.stackTraceLimit = 0;
assert(parentPort !== null, 'thread-worker.ts runs in a thread');
const port = parentPort;
const tell = (word: ThreadWord): void => port.postMessage(word);

const { pace, ...run } = workerData as ThreadRun;
const paces = pace && PACES[pace];
tell({ report: await new World({ ...run, paces, onProgress: (hours) => tell({ hours }) }).run() });
