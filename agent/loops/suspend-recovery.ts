/**
 * Each VM that an agent before us left somewhere on its way, or that others moved since, brought to where it is certain. Input: its
 * record, what the hypervisor says of it now; output: the record as it is true, and the VM ended, going on, or served again.
 */
import { join } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import { HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import { type Residence, residenceOn } from '../actuators/resume-vm.ts';
import { NOBODYS, type Power, remedyFor, type SuspendRecord } from '../core/suspend-record.ts';
import { hasEnded, type VmSnapshotter } from '../hypervisor/snapshotter.ts';
import { clearPlace, memoryAt, takeOverPlace } from '../snapshot/memory-place.ts';
import { freeOwnMemory, ownMemoryExists } from '../snapshot/own-memory.ts';
import type { OpenSnapshot } from '../snapshot/snapshot-store.ts';
import { isLivedOn } from '../snapshot/unused-places.ts';
import type { SuspendBook } from './suspend-book.ts';

export interface SuspendRecoveryOptions {
  book: SuspendBook;
  snapshotter: VmSnapshotter;
  /** Its snapshot, wherever its chunks are. */
  open(record: SuspendRecord): Promise<OpenSnapshot>;
  clock: Clock;
  /** Where places of resumed guests' memory are. */
  folder: string;
  onTakenOver(vm: VmId, residence: Residence): void;
  onStuck(vm: VmId, chunk: number, problem: unknown): void;
  tell(vm: VmId, words: string): void;
}

export class SuspendRecovery {
  readonly #options: SuspendRecoveryOptions;

  constructor(options: SuspendRecoveryOptions) {
    this.#options = options;
  }

  async recover(vm: VmId): Promise<void> {
    const { book, snapshotter, tell, folder } = this.#options;
    const record = book.find(vm);
    if (record === undefined || record.phase === null) return;
    if (await this.letGoIfMoved(vm)) return;
    const known = await this.isKnown(vm);
    const power = known ? await snapshotter.power(vm) : await this.#powerUnknown(record);
    const saved = known && (await snapshotter.hasSaved(vm));
    const remedy = remedyFor(record, power, saved);
    if (known && power !== 'off' && record.phase === 'suspending') await snapshotter.calmDown(vm);
    switch (remedy.kind) {
      case 'none':
        await this.#clear(vm, power);
        await this.#free(record);
        book.note(vm, { phase: remedy.phase, recipe: saved ? 'managed-save' : record.recipe, file: null });
        break;
      case 'go-on':
        await snapshotter.goOn(vm);
        book.forget(vm);
        tell(vm, 'its suspension was under way when the agent ended; it goes on as it was');
        break;
      case 'end':
      case 'begin-anew':
        // First what shows its memory: a process that waits for a chunk cannot be ended, and nobody is there to give it one.
        await clearPlace(join(folder, vm));
        if (power !== 'off') await this.#end(vm);
        await this.#free(record);
        book.note(vm, { phase: 'suspended', file: null });
        break;
      case 'take-over':
        await this.#takeOver(record, remedy.goOn);
        break;
      case 'let-go':
        await this.#clear(vm, power);
        book.forget(vm);
        tell(vm, remedy.why);
        break;
    }
  }

  /** Rejects when the hypervisor cannot tell. */
  async isKnown(vm: VmId): Promise<boolean> {
    return (await this.#options.snapshotter.definition(vm)) !== null;
  }

  /**
   * Of a VM that the hypervisor forgot. It is off, unless a QEMU lives on what we show of its memory: that one is served for as long as it
   * lives. Throws CONFLICT where nothing can be done for it without the hypervisor.
   */
  async #powerUnknown({ vm, name, phase }: SuspendRecord): Promise<Power> {
    if (!(await isLivedOn(memoryAt(join(this.#options.folder, vm))))) return 'off';
    if (phase === 'going' || phase === 'running') return 'running';
    throw new HeadroomError('CONFLICT', `${name}: the hypervisor does not know it, and a QEMU lives on its memory: all of it is kept`);
  }

  /**
   * A VM whose own memory file is there again was started by others since, running or not by now: its disks have moved on, and its
   * snapshot is given up. The file is taken away at the end of each suspension, and each start by its own definition makes it.
   */
  async letGoIfMoved(vm: VmId): Promise<boolean> {
    const { book, snapshotter, folder, tell } = this.#options;
    const record = book.find(vm);
    if (record === undefined) return false;
    const { phase, recipe, ownMemory } = record;
    // Until a suspension has ended it lies there still.
    if (phase === null || phase === 'suspending' || phase === 'ending' || phase === 'away' || recipe !== 'memory-file') return false;
    if (ownMemory === null || !(await ownMemoryExists(ownMemory))) return false;
    const place = join(folder, vm);
    if (!(await this.isKnown(vm))) {
      if ((await this.#powerUnknown(record)) !== 'off') return false;
    } else if ((await snapshotter.power(vm)) !== 'off') {
      const support = await snapshotter.inspect(vm);
      if (support.recipe === 'memory-file' && support.memoryPath === memoryAt(place)) return false;
    }
    await clearPlace(place);
    book.forget(vm);
    tell(vm, NOBODYS);
    return true;
  }

  async #takeOver(record: SuspendRecord, goOn: boolean): Promise<void> {
    const { snapshotter, folder, clock, tell, book, onTakenOver, onStuck } = this.#options;
    const { vm, file } = record;
    if (file === null) throw new HeadroomError('STORE_CORRUPT', `the record of VM ${vm} does not say what it lies on`);
    const snapshot = await this.#options.open(record);
    const place = await takeOverPlace(
      { snapshot, folder: join(folder, vm), clock, onStuck: (chunk, problem) => onStuck(vm, chunk, problem) },
      file,
    );
    onTakenOver(vm, residenceOn(snapshot, place));
    if (goOn) await snapshotter.goOn(vm);
    book.note(vm, { phase: 'running' });
    tell(vm, 'its memory is served again after the agent had ended');
  }

  async #end(vm: VmId): Promise<void> {
    const { snapshotter } = this.#options;
    await snapshotter.end(vm).catch(async (error: unknown) => {
      if (!(await hasEnded(snapshotter, vm))) throw error;
    });
  }

  /** Its end was ours. */
  async #free({ phase, ownMemory }: SuspendRecord): Promise<void> {
    if (phase === 'ending' && ownMemory !== null) await freeOwnMemory(ownMemory);
  }

  async #clear(vm: VmId, power: Power): Promise<void> {
    if (power === 'off') await clearPlace(join(this.#options.folder, vm));
  }
}
