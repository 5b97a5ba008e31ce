/**
 * Makes VMs and takes them away as the aggregator orders, one order of a VM after another and few at once, so that what runs on
 * this host is not held up by copies. Input: build frames; output: result frames. An order repeated while it is carried out waits
 * for that answer; one repeated after it was carried out is answered from memory.
 */

import type { Clock } from '../../shared/clock.ts';
import { type ErrorCode, errorText, isHeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import type { NetworkProbe } from '../../shared/ready-probe.ts';
import { comparePairs, type Outcome, type Pair } from '../../shared/resources.ts';
import type { VmBuild } from '../../shared/vm-build.ts';
import { type BuildPlaces, buildVm, checkBuild, removeVm, vmOfVolume } from '../actuators/build-vm.ts';
import type { AskGuest } from '../actuators/ready-probe.ts';
import { type BuildAsked, type BuildLimits, type BuildRefusal, type BuildResult, refusalOfBuild } from '../core/build-guard.ts';
import type { HandMark, VmBuilder } from '../hypervisor/builder.ts';

/** What makes VMs on this host, where its administrator lets it. */
export interface BuildMeans {
  builder: VmBuilder;
  places: BuildPlaces;
  limits: BuildLimits;
  /** Tries once whether a guest serves. */
  ask: AskGuest;
}

export interface BuildDeskOptions extends BuildMeans {
  clock: Clock;
  log: Logger;
  /** Highest epoch this host has met. */
  epoch: () => number;
  /** Why nothing may be done to this VM; null = nothing speaks against it. */
  killed: (vm: VmId) => string | null;
  send: (result: BuildResult) => void;
  /** VMs came or went: the inventory is due. */
  changed: () => void;
  /** Of a VM that this agent manages; null = of none. */
  nameOf: (vm: VmId) => string | null;
  /** Its probe passed: this host saw it serve. */
  serves: (vm: VmId) => void;
  /** Null: this host suspends no VMs. */
  rest: MemberRest | null;
}

/** Suspends VMs made here and brings them back, one's calls after all else that is done to it. */
export interface MemberRest {
  /** Answers in words what was done instead of what was asked for; empty = nothing. Rejects when it runs as before. */
  suspend(vm: VmId): Promise<string>;
  /** The same; rejects when it is suspended as before. */
  resume(vm: VmId): Promise<string>;
  /** What it was suspended into is not needed: it boots from its disk, or goes. Rejects where it may be brought back by another host. */
  giveUp(vm: VmId): Promise<void>;
}

/** Answers remembered: repeats come within minutes. */
const ANSWERS_MAX = 1024;
/** Orders carried out at once: making a VM is mostly waiting for storage. */
const AT_ONCE_MAX = 2;
const REASON_MAX = 2048;

interface Ended {
  outcome: Outcome;
  code: ErrorCode | null;
  reason: string;
}

const APPLIED: Ended = { outcome: 'applied', code: null, reason: '' };
const refused = ({ code, reason }: BuildRefusal): Ended => ({ outcome: 'refused', code, reason });

export class BuildDesk {
  readonly #options: BuildDeskOptions;
  readonly #answers = new Map<string, BuildResult>();
  readonly #underWay = new Set<string>();
  /** The last order of each VM, so that the next one waits for it. */
  readonly #tails = new Map<VmId, Promise<void>>();
  /** The highest pair of each VM's orders. */
  readonly #highest = new Map<VmId, Pair>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(options: BuildDeskOptions) {
    this.#options = options;
  }

  receive(asked: BuildAsked): void {
    const key = `${asked.order.action} ${asked.pair.epoch} ${asked.pair.generation} ${asked.orderId}`;
    const known = this.#answers.get(key);
    if (known !== undefined) {
      this.#options.send(known);
      return;
    }
    if (this.#underWay.has(key)) return;
    this.#underWay.add(key);
    const receivedAtMs = this.#options.clock.bootMs();
    const vm = vmOf(asked);
    const done = (this.#tails.get(vm) ?? Promise.resolve()).then(() => this.#turn(asked, key, receivedAtMs));
    this.#tails.set(vm, done);
    void done.then(() => {
      if (this.#tails.get(vm) === done) this.#tails.delete(vm);
    });
  }

  /** Resolves when what is under way has ended. */
  async idle(): Promise<void> {
    while (this.#tails.size > 0) await Promise.all([...this.#tails.values()]);
  }

  async #turn(asked: BuildAsked, key: string, receivedAtMs: number): Promise<void> {
    // A probe waits for its guest, not for storage: one a VM at a time, and within seconds.
    const waits = asked.order.action !== 'probe';
    while (waits && this.#running >= AT_ONCE_MAX) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (waits) this.#running++;
    const ended = await this.#carryOut(asked, receivedAtMs).catch((error: unknown): Ended => failed(error));
    if (waits) {
      this.#running--;
      this.#waiting.shift()?.();
    }
    this.#underWay.delete(key);
    this.#answer(asked, key, ended);
  }

  #answer(asked: BuildAsked, key: string, { outcome, code, reason }: Ended): void {
    const { clock, log, send, changed } = this.#options;
    const { orderId, pair, order } = asked;
    const { action } = order;
    const result: BuildResult = {
      ...{ type: 'build-result', orderId, action, pair, vm: vmOf(asked), outcome, code },
      reason: reason.slice(0, REASON_MAX),
      wallMs: clock.wallMs(),
    };
    // What was refused or failed may be tried again: what stood in the way may be gone by then.
    if (outcome === 'applied') this.#answers.set(key, result);
    const oldest = this.#answers.keys().next().value;
    if (this.#answers.size > ANSWERS_MAX && oldest !== undefined) this.#answers.delete(oldest);
    const about = { orderId, vm: result.vm, code, reason };
    if (outcome === 'refused') log.warn(`${action} ${outcome}`, about);
    else if (action === 'probe' && outcome === 'failed') log.debug(`${action} ${outcome}`, about);
    else log.info(`${action} ${outcome}`, about);
    send(result);
    if (action !== 'check' && action !== 'probe') changed();
  }

  async #carryOut(asked: BuildAsked, receivedAtMs: number): Promise<Ended> {
    const { clock, log, builder, places, limits, epoch, killed, nameOf, rest } = this.#options;
    const { order, orderId, pair } = asked;
    const vm = vmOf(asked);
    const highest = this.#highest.get(vm) ?? null;
    const waitedMs = clock.bootMs() - receivedAtMs;
    const vmsMade = order.action === 'build' ? await this.#vmsMade(vm) : 0;
    const ground = { epoch: epoch(), highest, waitedMs, killed: killed(vm), vmsMade, limits, name: nameOf(vm) };
    const refusal = refusalOfBuild(asked, ground);
    if (refusal !== null) return refused(refusal);
    if (highest === null || comparePairs(pair, highest) > 0) this.#highest.set(vm, pair);
    if ('build' in order) {
      const outside = await this.#leadsOutside(order.build);
      if (outside !== null) return refused({ code: 'PERMISSION', reason: outside });
    }
    switch (order.action) {
      case 'check': {
        const problems = await checkBuild(builder, places, order.build);
        return problems.length === 0 ? APPLIED : { outcome: 'failed', code: 'HYPERVISOR_REFUSED', reason: problems.join('; ') };
      }
      case 'build': {
        const { build, group, template } = order;
        const mark = { orderId, group, template, pool: build.disk.pool };
        // What it was suspended into is out of date once it has booted.
        if (rest !== null && (await builder.mark(vm))?.orderId === orderId) await rest.giveUp(vm);
        await buildVm(builder, places, { vm: vm, build, mark }, (stage) => log.debug('building', { vm, stage }));
        return APPLIED;
      }
      case 'stop':
      case 'end':
        return this.#take(vm, order.action);
      case 'suspend':
      case 'resume':
        return this.#rest(vm, order.action);
      case 'remove':
        if (rest !== null && (await builder.mark(vm)) !== null) await rest.giveUp(vm);
        await removeVm(builder, places, vm, order.pool, order.keepDisk);
        this.#highest.delete(vm);
        return APPLIED;
      case 'probe':
        return this.#probe(vm, order.probe);
      case 'adopt':
        return this.#adopt(vm, { orderId, group: order.group });
      case 'release':
        if ((await builder.handed(vm)) !== null) await builder.hand(vm, null);
        this.#highest.delete(vm);
        return APPLIED;
    }
  }

  async #probe(vm: VmId, probe: NetworkProbe): Promise<Ended> {
    const { builder, ask, serves } = this.#options;
    if ((await builder.mark(vm)) === null) return refused(notOurs(vm));
    const reason = await ask(await builder.addresses(vm), probe);
    if (reason !== null) return { outcome: 'failed', code: 'UNAVAILABLE', reason };
    serves(vm);
    return APPLIED;
  }

  async #rest(vm: VmId, action: 'suspend' | 'resume'): Promise<Ended> {
    const { builder, rest } = this.#options;
    if ((await builder.mark(vm)) === null) return refused(notOurs(vm));
    if (rest === null) return refused({ code: 'PERMISSION', reason: 'this host suspends no VMs (snapshotDir)' });
    return { ...APPLIED, reason: await rest[action](vm) };
  }

  async #adopt(vm: VmId, mark: HandMark): Promise<Ended> {
    const { builder } = this.#options;
    if ((await builder.mark(vm)) !== null)
      return refused({ code: 'CONFLICT', reason: `VM ${vm} was made by Headroom: it needs no hand-over` });
    await builder.hand(vm, mark);
    await builder.start(vm);
    return APPLIED;
  }

  async #take(vm: VmId, action: 'stop' | 'end'): Promise<Ended> {
    const { builder } = this.#options;
    if ((await builder.mark(vm)) === null && (await builder.handed(vm)) === null) return refused(notOurs(vm));
    await (action === 'stop' ? builder.shutdown(vm) : builder.powerOff(vm));
    return APPLIED;
  }

  /** Each has a disk in one of the pools. */
  async #vmsMade(except: VmId): Promise<number> {
    const { builder, limits } = this.#options;
    const made = new Set<VmId>();
    for (const pool of limits.pools) {
      if ((await builder.poolFreeBytes(pool)) === null) continue;
      for (const name of await builder.volumes(pool)) {
        const vm = vmOfVolume(name);
        if (vm !== null && vm !== except) made.add(vm);
      }
    }
    return made.size;
  }

  /** In words; null = all it is made from lies where it should. */
  async #leadsOutside({ disk, boot }: VmBuild): Promise<string | null> {
    const { builder, places, limits } = this.#options;
    const image = await builder.volume(disk.pool, disk.image);
    const elsewhere = image === null ? null : await places.imageLeadsOutside(image.path);
    if (elsewhere !== null) return `image ${disk.image} leads out of pool ${disk.pool}, to ${elsewhere}`;
    for (const path of boot === null || limits.bootFolder === null ? [] : [boot.kernel, boot.initrd]) {
      const outside = await places.leadsOutside(path, limits.bootFolder ?? '');
      if (outside !== null) return `${path} leads out of ${limits.bootFolder}, to ${outside}`;
    }
    return null;
  }
}

const notOurs = (vm: VmId): BuildRefusal => ({
  code: 'PERMISSION',
  reason: `VM ${vm} was not made by Headroom, and not handed over to it`,
});
const vmOf = ({ order }: BuildAsked): VmId => order.vm as VmId;

const failed = (error: unknown): Ended => ({
  outcome: 'failed',
  code: isHeadroomError(error) ? error.code : 'ENVIRONMENT',
  reason: errorText(error),
});
