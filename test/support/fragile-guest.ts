/**
 * A hypervisor with one guest whose memory is a real file, small enough to be suspended and resumed many times a second, and strict: it
 * runs a guest only over the memory and devices it stopped with. Input: a folder, a generator; output: the snapshotter, the guest's life,
 * and whether its memory is what it should be, byte for byte.
 */
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Power } from '../../agent/core/suspend-record.ts';
import type { VmSnapshotter } from '../../agent/hypervisor/snapshotter.ts';
import { CHUNK_BYTES, PAGE_BYTES } from '../../agent/snapshot/chunk.ts';
import { vmId } from '../../shared/ids.ts';
import type { Prng } from '../../shared/prng.ts';

const CHUNKS = 8;
const MEMORY_BYTES = CHUNKS * CHUNK_BYTES;
const PAGES = MEMORY_BYTES / PAGE_BYTES;
const CPU_MS_PER_LOOK = 20;
export const FRAGILE_VM = vmId('6f1b0000-0000-4000-8009-0000000000aa');

export class FragileGuest {
  readonly #prng: Prng;
  readonly #ownPath: string;
  readonly #savedPath: string;
  #power: Power = 'off';
  #path = '';
  /** What its memory must hold while it lives. */
  #memory = Buffer.alloc(0);
  /** Moves on with each moment it runs: devices' state and disk must agree on it. */
  #moment = 0;
  #incoming = false;
  /** The hypervisor has a definition of it. */
  #known = true;
  #savedMoment: number | null = null;
  #cpuMs = 0;

  constructor(folder: string, prng: Prng) {
    this.#prng = prng;
    this.#ownPath = join(folder, 'guest.ram');
    this.#savedPath = join(folder, 'guest.save');
    this.boot();
  }

  get power(): Power {
    return this.#power;
  }

  /** From its disk: by its administrator. */
  boot(): void {
    if (this.#power !== 'off') throw new Error('it is up');
    if (this.#savedMoment !== null) throw new Error('what was saved of it would be lost');
    this.#memory = Buffer.alloc(MEMORY_BYTES);
    this.#path = this.#ownPath;
    writeFileSync(this.#path, this.#memory);
    this.#power = 'running';
    this.#incoming = false;
    this.run(PAGES / 4);
  }

  /** It writes to pages here and there, if it runs. */
  run(pages: number): void {
    if (this.#power !== 'running') return;
    this.#moment++;
    for (let i = 0; i < pages; i++) {
      const page = this.#prng.below(PAGES);
      this.#memory.fill(`page ${page} at moment ${this.#moment} `, page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
    }
    writeFileSync(this.#path, this.#memory);
  }

  /** Its process is killed. */
  die(): void {
    if (this.#power === 'running') this.#moment++;
    this.#power = 'off';
  }

  /** Its process is killed, and its definition taken away. */
  beForgotten(): void {
    this.die();
    this.#known = false;
  }

  /** The hypervisor lost its definition, and its process goes on. */
  beLost(): void {
    this.#known = false;
  }

  /** In words; null = every byte is right. */
  wrong(): string | null {
    if (this.#power === 'off') return null;
    const found = readFileSync(this.#path);
    return found.equals(this.#memory) ? null : `memory differs from byte ${found.findIndex((byte, at) => byte !== this.#memory[at])} on`;
  }

  snapshotter(): VmSnapshotter {
    const up = (): void => {
      if (this.#power === 'off') throw new Error('the VM is off');
    };
    const runs = (): void => {
      up();
      if (this.#incoming) throw new Error('it waits for its devices');
      const problem = this.wrong();
      if (problem !== null) throw new Error(`BROKEN: set going over other memory than it had: ${problem}`);
      this.#power = 'running';
    };
    const machine = { qemuVersion: '7.2.22', machineType: 'pc', domainXml: '<domain/>' };
    return {
      definition: async () => (this.#known ? '<domain/>' : null),
      define: async () => undefined,
      undefine: async () => undefined,
      inspect: async () => {
        up();
        return { recipe: 'memory-file', memoryPath: this.#path, memoryBytes: MEMORY_BYTES, machine };
      },
      power: async () => {
        if (!this.#known) throw new Error('no domain with matching uuid');
        return this.#power;
      },
      cpuMs: async () => {
        this.run(1);
        this.#cpuMs += CPU_MS_PER_LOOK;
        return this.#cpuMs;
      },
      hasSaved: async () => this.#savedMoment !== null,
      calmDown: async () => undefined,
      pause: async () => {
        up();
        this.#power = 'paused';
      },
      goOn: async () => runs(),
      deviceState: async () => {
        up();
        return Buffer.from(`moment ${this.#moment}`);
      },
      end: async () => {
        up();
        this.#power = 'off';
      },
      prepare: async (_vm, _machine, memoryPath) => {
        if (this.#power !== 'off') throw new Error('it is up already');
        this.#power = 'paused';
        this.#path = memoryPath;
        this.#incoming = true;
      },
      loadState: async (_vm, state) => {
        if (!this.#incoming) throw new Error('it waits for nothing');
        if (state.toString() !== `moment ${this.#moment}`) {
          throw new Error(`BROKEN: brought back with the devices of ${state.toString()}, while its disk is at ${this.#moment}`);
        }
        this.#incoming = false;
      },
      setClock: async () => up(),
      save: async () => {
        up();
        copyFileSync(this.#path, this.#savedPath);
        this.#savedMoment = this.#moment;
        this.#power = 'off';
      },
      restore: async () => {
        if (this.#savedMoment !== this.#moment || this.#power !== 'off') throw new Error('BROKEN: nothing of this moment is saved');
        copyFileSync(this.#savedPath, this.#ownPath);
        this.#savedMoment = null;
        this.#path = this.#ownPath;
        this.#power = 'running';
      },
      close: async () => undefined,
    };
  }

  clear(): void {
    for (const path of [this.#ownPath, this.#savedPath]) if (existsSync(path)) rmSync(path);
  }
}
