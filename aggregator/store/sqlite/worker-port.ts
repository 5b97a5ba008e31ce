/** The worker's end of a WorkerLink: answers in the one form that the link reads. */
import { type MessagePort, parentPort, type Transferable } from 'node:worker_threads';
import { assert } from '../../../shared/assert.ts';
import { errorText, HeadroomError } from '../../../shared/errors.ts';
import type { Answer, Call } from './worker-link.ts';

export interface WorkerPort {
  answer(id: number, value: unknown, transfer?: readonly Transferable[]): void;
  fail(id: number, error: unknown): void;
  report(message: string): void;
  onCall(handle: (call: Call) => void): void;
}

/** Opens the store with `open`, tells the main thread how that went, and answers what it opened; null when it failed. */
export function openPort<Store>(open: (report: (message: string) => void) => Store): { port: WorkerPort; store: Store } | null {
  assert(parentPort, 'a store worker runs in a worker thread');
  const port = wrap(parentPort);
  try {
    const store = open(port.report);
    port.answer(0, null);
    return { port, store };
  } catch (error) {
    port.fail(0, error);
    return null;
  }
}

function wrap(parent: MessagePort): WorkerPort {
  const post = (answer: Answer, transfer: readonly Transferable[] = []): void => parent.postMessage(answer, transfer);
  return {
    answer: (id, value, transfer) => post({ id, value }, transfer),
    fail: (id, error) => {
      const code = error instanceof HeadroomError ? error.code : 'STORE_UNAVAILABLE';
      post({ id, error: { code, message: errorText(error) } });
    },
    report: (message) => post({ report: message }),
    onCall: (handle) => parent.on('message', handle),
  };
}
