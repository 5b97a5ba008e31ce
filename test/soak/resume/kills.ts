/**
 * A real guest suspended and brought back again and again while its agent or its QEMU is killed at random moments, a new agent each time.
 * Input: the stage, what the guest's memory adds up to, cycles, a generator; output: what befell it. Throws when it is neither running nor
 * suspended although nobody killed its QEMU, when its memory is not what it was, or when its snapshot is not whole after a collection.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorText } from '../../../shared/errors.ts';
import type { Prng } from '../../../shared/prng.ts';
import { virsh } from '../../support/libvirtd.ts';
import type { SuspendStage } from '../../support/suspend-stage.ts';
import { filled, unharmed } from './road.ts';

const name = 'desktop';
/** About as long as each takes. */
const SPAN_MS = { suspend: 4000, 'prefetch start': 1500, resume: 1500 } as const;
const SETTLED_MS_MAX = 90_000;
const POLL_MS = 250;
/** An agent looks at its VMs several times within it. */
const OFF_MS = 10_000;
const SET_PARTS = 4;
/** Of its agent's log, told with what went wrong. */
const LOG_BYTES = 6000;

type Step = keyof typeof SPAN_MS;
type Victim = 'agent' | 'qemu' | 'nobody';
type State = 'running' | 'suspended' | 'off';

export interface KilledGuest {
  cycles: number;
  agentDeaths: number;
  qemuDeaths: number;
  /** Orders that ended as asked, and those that did not. */
  applied: number;
  failed: number;
  /** Its QEMU was killed while it ran, or was about to: booted from its disk. */
  bootedAnew: number;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

class KilledCycles {
  readonly #stage: SuspendStage;
  readonly #prng: Prng;
  #sum: string;
  readonly done: KilledGuest = { cycles: 0, agentDeaths: 0, qemuDeaths: 0, applied: 0, failed: 0, bootedAnew: 0 };

  constructor(stage: SuspendStage, sum: string, prng: Prng) {
    this.#stage = stage;
    this.#prng = prng;
    this.#sum = sum;
  }

  async cycle(): Promise<string> {
    const words: string[] = [];
    try {
      return await this.#steps(words);
    } catch (error) {
      const power = virsh(this.#stage.libvirtd.socket, 'domstate', '--reason', name).trim();
      const told = JSON.stringify(await this.#stage.suspension().catch(String));
      const log = this.#stage.stack.log('agent').slice(-LOG_BYTES);
      throw new Error(`${errorText(error)}; after ${words.join('; ')}; it is ${power}; ${told}; its agent: ${log}`, { cause: error });
    }
  }

  async #steps(words: string[]): Promise<string> {
    const deaths = this.done.qemuDeaths;
    for (const step of ['suspend', 'prefetch start', 'resume'] as const) {
      const victim = this.#victim();
      words.push(`${step} (${victim}): ${await this.#under(step, victim)}`);
      const state = await this.#settled();
      if (state === 'off') {
        if (this.done.qemuDeaths === deaths) throw new Error(`it is lost, though nobody killed its QEMU: ${words.join('; ')}`);
        await this.#bootAnew();
        words.push('booted anew');
        break;
      }
      if (step === 'suspend' && state === 'running') break;
    }
    if ((await this.#settled()) === 'suspended') await this.#stage.order(`resume ${name}`);
    await this.#stage.guest.ask(`visit 0 ${SET_PARTS}`);
    await unharmed(this.#stage, this.#sum, words.join('; '));
    this.done.cycles++;
    return words.join('; ');
  }

  /** What its store holds is whole, and stays so. */
  async storeIsWhole(): Promise<void> {
    await this.#stage.order(`suspend ${name}`);
    await this.#stage.order('snapshot gc');
    await this.#stage.order(`snapshot verify ${name}`);
    await this.#stage.order(`resume ${name}`);
    await unharmed(this.#stage, this.#sum, 'after a collection');
  }

  #victim(): Victim {
    const drawn = this.#prng.below(6);
    return drawn < 3 ? 'agent' : drawn < 4 ? 'qemu' : 'nobody';
  }

  async #under(step: Step, victim: Victim): Promise<string> {
    const ended = this.#stage.order(`${step} ${name}`).then(
      () => 'applied' as const,
      (error: unknown) => /"reason": "([^"]*)"/.exec(errorText(error))?.[1] ?? errorText(error),
    );
    await pause(this.#prng.below(SPAN_MS[step]));
    if (victim === 'agent') {
      await this.#stage.stack.kill('agent');
      this.done.agentDeaths++;
      await pause(this.#prng.below(2000));
      await this.#stage.startAgent();
    } else if (victim === 'qemu' && this.#killQemu()) this.done.qemuDeaths++;
    const outcome = await ended;
    if (outcome === 'applied') this.done.applied++;
    else this.done.failed++;
    return outcome.slice(0, 200);
  }

  #killQemu(): boolean {
    try {
      const pid = Number(readFileSync(join(this.#stage.libvirtd.runFolder, 'qemu', `${name}.pid`), 'utf8'));
      if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(this.#stage.guest.vm)) return false;
      process.kill(pid, 'SIGKILL');
      return true;
    } catch {
      return false;
    }
  }

  async #settled(): Promise<State> {
    let offMs = 0;
    let phase: string | undefined;
    let power = '';
    for (let waitedMs = 0; waitedMs < SETTLED_MS_MAX; waitedMs += POLL_MS) {
      phase = (await this.#stage.suspension().catch(() => undefined))?.phase;
      power = virsh(this.#stage.libvirtd.socket, 'domstate', name).trim();
      const isOff = power === 'shut off';
      if (isOff && phase === 'suspended') return 'suspended';
      if (power === 'paused' && phase === 'prepared') return 'suspended';
      if (power === 'running' && (phase === 'running' || phase === undefined)) return 'running';
      offMs = isOff ? offMs + POLL_MS : 0;
      if (offMs > OFF_MS && (phase === undefined || phase === 'running')) return 'off';
      await pause(POLL_MS);
    }
    throw new Error(`it stays ${power} in phase ${phase}`);
  }

  async #bootAnew(): Promise<void> {
    virsh(this.#stage.libvirtd.socket, 'start', name);
    if ((await this.#stage.guest.ask('req booted 1')) !== 'answer booted') throw new Error('it does not answer after it was booted');
    this.#sum = await filled(this.#stage);
    this.done.bootedAnew++;
  }
}

export async function killedGuest(stage: SuspendStage, sum: string, cycles: number, prng: Prng, tell: (words: string) => void) {
  const killed = new KilledCycles(stage, sum, prng);
  for (let n = 0; n < cycles; n++) tell(`killed, ${n + 1} of ${cycles}: ${await killed.cycle()}`);
  await killed.storeIsWhole();
  return killed.done;
}
