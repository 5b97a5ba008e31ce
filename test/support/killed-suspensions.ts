/**
 * Suspensions and resumes of a guest by agents that die at any step, its QEMU by itself, the store's unsynced writes with the power, and by
 * administrators who start it meanwhile. Input: cycles, a generator; output: what happened. Throws when the guest is lost, when a byte of
 * its memory is not what it was, when it is set going on a snapshot that its disk has left behind, or when the store is not whole after
 * a collection.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { neededSnapshots } from '../../agent/core/suspend-record.ts';
import { Suspender } from '../../agent/loops/suspender.ts';
import { openSnapshotStore, type SnapshotStore } from '../../agent/snapshot/snapshot-store.ts';
import { openSuspendJournal } from '../../agent/suspend-journal.ts';
import { systemClock } from '../../shared/clock.ts';
import { errorText } from '../../shared/errors.ts';
import type { Prng } from '../../shared/prng.ts';
import { FRAGILE_VM, FragileGuest } from './fragile-guest.ts';
import { Life } from './mortal.ts';
import { TreacherousFiles } from './treacherous-files.ts';

const TENANT = 'default';
const KEY = Buffer.alloc(32, 5);
/** A suspension takes about eighty steps. */
const STEPS_MAX = 300;
const ACTIONS_MAX = 8;
const NEVER_MS = 3_600_000;
const vm = FRAGILE_VM;

export interface KilledSuspensions {
  cycles: number;
  /** Of agents; what happened beside: QEMU died, power went, somebody started it. */
  deaths: number;
  guestDeaths: number;
  powerCuts: number;
  foreignStarts: number;
  suspended: number;
  resumed: number;
  /** Phases in which agents left it. */
  phases: Record<string, number>;
}

interface Agent {
  suspender: Suspender;
  store: SnapshotStore;
  told: string[];
}

class Cycles {
  readonly #folder: string;
  readonly #prng: Prng;
  readonly #guest: FragileGuest;
  #files: TreacherousFiles;
  readonly done: KilledSuspensions = {
    ...{ cycles: 0, deaths: 0, guestDeaths: 0, powerCuts: 0, foreignStarts: 0, suspended: 0, resumed: 0, phases: {} },
  };

  constructor(folder: string, prng: Prng) {
    this.#folder = folder;
    this.#prng = prng;
    mkdirSync(folder, { recursive: true });
    this.#guest = new FragileGuest(folder, prng.stream('guest'));
    this.#files = new TreacherousFiles(prng.stream('disk'));
  }

  async cycle(): Promise<void> {
    await this.#tormented();
    await this.#between();
    await this.#healed();
    this.done.cycles++;
  }

  /** An agent that will die acts until it does. */
  async #tormented(): Promise<void> {
    const life = new Life(this.#prng.below(STEPS_MAX));
    const last: { agent?: Agent } = {};
    try {
      last.agent = await this.#agent(life);
      await last.agent.suspender.recover();
      for (let i = 0; i < ACTIONS_MAX; i++) await this.#act(last.agent, life);
    } catch (error) {
      if (!life.dead || errorText(error).includes('BROKEN')) throw error;
    }
    const { agent } = last;
    if (life.dead) this.done.deaths++;
    const phase = String(agent?.suspender.phase(vm) ?? null);
    this.done.phases[phase] = (this.done.phases[phase] ?? 0) + 1;
    life.end();
    await agent?.suspender.handOver();
  }

  async #act({ suspender }: Agent, life: Life): Promise<void> {
    const nothing = (): void => undefined;
    this.#guest.run(4);
    const acts: Record<string, () => Promise<unknown>> = {
      suspend: async () => {
        if (this.#guest.power !== 'off') await suspender.suspend(vm, 'guest', TENANT, nothing).then(() => this.done.suspended++);
      },
      prepare: () => suspender.prepare(vm, nothing, undefined, true),
      release: () => suspender.release(vm),
      resume: () => suspender.resume(vm, nothing).then(() => this.done.resumed++),
      collect: () => suspender.collect([TENANT]),
      verify: () => suspender.verify(vm),
    };
    const names = Object.keys(acts);
    const refused = (error: unknown): void => {
      // What does not fit the phase is refused; what cannot be is not.
      if (life.dead || !/not suspended|no snapshot|suspended on this host/.test(errorText(error))) throw error;
    };
    await acts[names[this.#prng.below(names.length)]!]!().catch(refused);
  }

  /** What may happen while nobody looks. */
  async #between(): Promise<void> {
    this.#guest.run(4);
    const luck = this.#prng.below(8);
    if (luck === 0 && this.#guest.power !== 'off') {
      this.#guest.die();
      this.done.guestDeaths++;
    }
    if (luck === 1 || luck === 2) {
      this.#files = this.#files.afterPowerCut();
      this.done.powerCuts++;
    }
    if (luck === 3 && this.#guest.power === 'off' && !(await this.#guest.snapshotter().hasSaved(vm))) {
      this.#guest.boot();
      if (this.#prng.below(2) === 0) this.#guest.die();
      this.done.foreignStarts++;
    }
  }

  /** The next agent lives: the guest comes back, and the store is whole. */
  async #healed(): Promise<void> {
    const agent = await this.#agent(new Life(Number.POSITIVE_INFINITY));
    const { suspender, store, told } = agent;
    const problems = await suspender.recover();
    if (problems.length > 0) throw new Error(`it could not be found again: ${problems.join('; ')}`);
    if (suspender.phase(vm) === 'suspended' || suspender.phase(vm) === 'prepared') await suspender.resume(vm, () => undefined);
    const lostFairly = told.some((words) => /started by somebody else|ended while nobody looked/.test(words));
    if (this.#guest.power === 'off') {
      if (!lostFairly && this.done.guestDeaths + this.done.foreignStarts === 0)
        throw new Error(`the guest is lost; told: ${told.join('; ')}`);
      this.#guest.boot();
    }
    if (this.#guest.power !== 'running') throw new Error(`the guest is left ${this.#guest.power}; told: ${told.join('; ')}`);
    const wrong = this.#guest.wrong();
    if (wrong !== null) throw new Error(wrong);
    await suspender.collect([TENANT]);
    const ids = await store.list();
    const records = suspender.records();
    if (records.some(({ snapshot }) => snapshot !== null && !ids.includes(snapshot))) throw new Error('a snapshot that is needed is gone');
    const needed = neededSnapshots(records, TENANT);
    if (ids.some((id) => !needed.has(id))) throw new Error('a snapshot that nobody needs is left');
    for (const id of ids) {
      const found = await store.verify(id);
      if (found.length > 0) throw new Error(`snapshot ${id}: ${found.join('; ')}`);
    }
    await suspender.handOver();
  }

  async #agent(life: Life): Promise<Agent> {
    const told: string[] = [];
    const store = await openSnapshotStore(life.mortal(this.#files), TENANT, KEY);
    const journal = openSuspendJournal(join(this.#folder, 'journal'));
    const suspender = new Suspender({
      ...{ snapshotter: life.mortal(this.#guest.snapshotter()), journal: life.mortal(journal), store: async () => store },
      ...{ clock: systemClock, folder: join(this.#folder, 'resumed'), learnMs: NEVER_MS, aliveMs: 5000 },
      ...{ speaks: () => null, tell: (_vm, words) => void told.push(words), changed: () => undefined },
      ...{ adoptKey: async (tenant) => tenant, onTakenBack: () => undefined },
    });
    return { suspender, store, told };
  }
}

export async function killedSuspensions(folder: string, cycles: number, prng: Prng): Promise<KilledSuspensions> {
  const world = new Cycles(folder, prng);
  for (let cycle = 0; cycle < cycles; cycle++) {
    try {
      await world.cycle();
    } catch (error) {
      throw new Error(`cycle ${cycle}: ${errorText(error)}`, { cause: error });
    }
  }
  return world.done;
}
