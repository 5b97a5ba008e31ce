/** The thread that simulates one fleet. Input: what to run; output: its words, then its end. */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../shared/assert.ts';
import type { ThreadRun, ThreadWord } from './thread.ts';
import { World } from './world.ts';

assert(parentPort !== null, 'thread-worker.ts runs in a thread');
const port = parentPort;
const tell = (word: ThreadWord): void => port.postMessage(word);

tell({ report: await new World({ ...(workerData as ThreadRun), onProgress: (hours) => tell({ hours }) }).run() });
