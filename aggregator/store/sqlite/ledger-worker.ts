/**
 * The thread of the embedded ledger. Input: calls of SqliteLedgerStore. Output: their answers. Changes that wait at the
 * same time are committed together, so that a plan's many outcomes cost one fsync; verification yields between pages.
 */
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { workerData } from 'node:worker_threads';
import type { Allocation, LedgerBody, VerifyResult } from '../ledger-store.ts';
import { lockDirectory } from './directory-lock.ts';
import { type EntriesQuery, LedgerCore } from './ledger-core.ts';
import type { Call } from './worker-link.ts';
import { openPort, type WorkerPort } from './worker-port.ts';

export interface LedgerWorkerData {
  directory: string;
}

/** Changes: within a group. */
const CHANGES: Record<string, (core: LedgerCore, argument: never) => unknown> = {
  append: (core, { timeMs, body }: { timeMs: number; body: LedgerBody }) => core.append(timeMs, body),
  nextEpoch: (core) => core.nextEpoch(),
  putAllocation: (core, allocation: Allocation) => core.putAllocation(allocation),
  removeVm: (core, vm: string) => core.removeVm(vm),
  removeBlob: (core, name: string) => core.removeBlob(name),
  putBlob: (core, { name, bytes }: { name: string; bytes: Uint8Array }) => core.putBlob(name, bytes),
};

const READS: Record<string, (core: LedgerCore, argument: never) => unknown> = {
  entries: (core, query: EntriesQuery) => core.entries(query),
  allocations: (core) => core.allocations(),
  getBlob: (core, name: string) => core.getBlob(name),
  blobNames: (core, prefix: string) => core.blobNames(prefix),
  verify: (core) => verify(core),
};

async function verify(core: LedgerCore): Promise<VerifyResult> {
  const pages = core.verify();
  for (;;) {
    const page = pages.next();
    if (page.done) return page.value;
    await setImmediate();
  }
}

class LedgerThread {
  readonly #core: LedgerCore;
  readonly #port: WorkerPort;
  readonly #release: () => void;
  #group: Call[] = [];

  constructor(core: LedgerCore, port: WorkerPort, release: () => void) {
    this.#core = core;
    this.#port = port;
    this.#release = release;
    port.onCall((call) => void this.#handle(call));
  }

  async #handle(call: Call): Promise<void> {
    if (CHANGES[call.operation]) {
      this.#group.push(call);
      if (this.#group.length > 1) return;
      // By then every message that is already here has been read.
      await setImmediate();
      this.#commit();
      return;
    }
    try {
      // What was asked for earlier is seen.
      this.#commit();
      const read = READS[call.operation];
      if (read) this.#port.answer(call.id, await read(this.#core, call.argument as never));
      else this.#close(call.id);
    } catch (error) {
      this.#port.fail(call.id, error);
    }
  }

  #commit(): void {
    const group = this.#group;
    if (group.length === 0) return;
    this.#group = [];
    let failing = 0;
    try {
      const answers = this.#core.group(() =>
        group.map(({ operation, argument }, i) => {
          failing = i;
          return CHANGES[operation]!(this.#core, argument as never);
        }),
      );
      for (const [i, { id }] of group.entries()) this.#port.answer(id, answers[i]);
    } catch (error) {
      this.#separate(group, failing, error);
    }
  }

  /** One change that cannot be made must not take the others with it. */
  #separate(group: readonly Call[], failing: number, error: unknown): void {
    this.#port.fail(group[failing]!.id, error);
    for (const [i, { id, operation, argument }] of group.entries()) {
      if (i === failing) continue;
      try {
        this.#port.answer(
          id,
          this.#core.group(() => CHANGES[operation]!(this.#core, argument as never)),
        );
      } catch (own) {
        this.#port.fail(id, own);
      }
    }
  }

  #close(id: number): void {
    this.#core.close();
    this.#release();
    this.#port.answer(id, null);
  }
}

const { directory } = workerData as LedgerWorkerData;
const opened = openPort(() => {
  const lock = lockDirectory(directory, 'ledger');
  try {
    return { core: new LedgerCore(join(directory, 'ledger.db')), release: lock.release };
  } catch (error) {
    lock.release();
    throw error;
  }
});
if (opened) new LedgerThread(opened.store.core, opened.port, opened.store.release);
