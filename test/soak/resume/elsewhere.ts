/**
 * One VM brought back on another host than it was suspended on, over a wire: only what it is predicted to touch first moves before it
 * runs; the wire is cut while the rest is on its way, and before anything came. Input: the guest's memory; output: what moved and how long
 * it took. Throws with what did not hold.
 */
import type { SuspendOrderView } from '../../../aggregator/http/suspend-service.ts';
import { virsh } from '../../support/libvirtd.ts';
import { eventually } from '../../support/stack.ts';
import { type HostName, type TwoHostStage, twoHostStage } from '../../support/two-host-stage.ts';

const PARTS = 16;
const SET_PARTS = 2;
const name = 'desktop';
const MIB = 1024 * 1024;
/** As much as a busy network leaves: what the guest holds takes some ten seconds. */
const SLOW_MBIT = 60;
/** Devices' states, the manifest, what QEMU itself looks at. */
const UNPREDICTED_MIB = 6;
/** A holder that says nothing is given up sooner. */
const CUT_MS = 12_000;
const HOME_MS_MAX = 120_000;

const mib = (bytes: unknown): number => Math.round((Number(bytes) / MIB) * 10) / 10;

class Elsewhere {
  readonly #stage: TwoHostStage;
  readonly #tell: (words: string) => void;
  #sum = '';

  constructor(stage: TwoHostStage, tell: (words: string) => void) {
    this.#stage = stage;
    this.#tell = tell;
  }

  async drive() {
    const { guest, wire } = this.#stage;
    await guest.ask(`parts 0 ${PARTS}`);
    this.#sum = await guest.ask('sum');
    const unpredicted = await this.#moved('alpha', 'beta');
    await this.#unharmed('on another host');
    await this.#settled('beta');
    this.#tell(`unpredicted: ${JSON.stringify(unpredicted)}`);
    await guest.ask('req settled 1');
    await this.#touchedSet('beta');

    wire.slow(SLOW_MBIT);
    const predicted = await this.#moved('beta', 'alpha');
    const most = Number(predicted.firstMiB) + UNPREDICTED_MIB;
    this.#expect('only what it touches first moved before it ran', Number(predicted.movedMiB) <= most, predicted);
    await guest.ask(`visit 0 ${SET_PARTS}`);
    this.#tell(`predicted: ${JSON.stringify(predicted)}`);
    await this.#settled('alpha');
    await this.#unharmed('predicted');
    const ready = await this.#readyThere('alpha', 'beta');
    this.#tell(`made ready there before: ${JSON.stringify(ready)}`);
    await this.#settled('beta');
    await this.#moved('beta', 'alpha');
    await this.#settled('alpha');
    const cut = await this.#cutMidway();
    await this.#cutBefore();
    return { unpredicted, predicted, ready, ...cut };
  }

  /** Twice on the same host, so that it is known what it touches first. */
  async #touchedSet(host: HostName): Promise<void> {
    const { guest } = this.#stage;
    for (let round = 0; round < 2; round++) {
      await this.#stage.order(`suspend ${name}`);
      const resumes = (await this.#stage.suspension())!.resumes;
      await this.#stage.order(`resume ${name}`);
      await guest.ask(`visit 0 ${SET_PARTS}`);
      await eventually('what it touched to be learnt', async () => (await this.#stage.suspension())!.resumes > resumes);
    }
    this.#expect('it stayed where it was', (await this.#stage.suspension())?.host === host, await this.#stage.suspension());
  }

  async #moved(from: HostName, to: HostName): Promise<Record<string, unknown>> {
    await this.#stage.order(`suspend ${name}`);
    // What the other host holds of before would not have to travel.
    await this.#stage.order(`snapshot gc ${to}`);
    const beganMs = performance.now();
    const order = await this.#stage.order(`resume ${name} --to ${to}`);
    const orderSeconds = Math.round(performance.now() - beganMs) / 1000;
    this.#expect(`brought back on ${to}`, order.host === to && order.outcome === 'applied', order);
    const { ranMs, aliveMs, bytesFirst, bytesMoved, bytesFilled } = order.measured;
    const power = (host: HostName): string => virsh(this.#stage.libvirtds[host].socket, 'list', '--name').trim();
    this.#expect('it runs on one host', power(to) === name && power(from) === '', [power(from), power(to)]);
    return {
      ...{ orderSeconds, ranMs: Math.round(Number(ranMs)), aliveMs: Math.round(Number(aliveMs)) },
      ...{ firstMiB: mib(bytesFirst), movedMiB: mib(bytesMoved), filledMiB: mib(bytesFilled) },
      movedShare: Math.round((Number(bytesMoved) / Number(bytesFilled)) * 1000) / 1000,
    };
  }

  /** Made ready on the other host, let go, and made ready again: what came stays there, and it runs at once when it is wanted. */
  async #readyThere(from: HostName, to: HostName): Promise<Record<string, unknown>> {
    await this.#stage.order(`suspend ${name}`);
    await this.#stage.order(`snapshot gc ${to}`);
    const first = await this.#stage.order(`prefetch start ${name} --to ${to} --hold 120`);
    this.#expect(`ready on ${to}`, first.host === to && first.outcome === 'applied', first);
    const there = await this.#stage.suspension();
    this.#expect('it waits there', there?.host === to && there.phase === 'prepared', there);
    await this.#stage.order(`prefetch stop ${name}`);
    await eventually('it to be the first host’s again', async () => {
      const seen = await this.#stage.suspension();
      return seen?.host === from && seen.phase === 'suspended';
    });
    const chosen = await this.#chosen(from, to);
    this.#tell(`any host: ${chosen}`);
    const own = await this.#stage.order(`prefetch start ${name} --hold 120`);
    this.#expect('it may be made ready where it is', own.host === from && own.outcome === 'applied', own);
    await this.#stage.order(`prefetch stop ${name}`);
    const again = await this.#stage.order(`prefetch start ${name} --to ${to} --hold 120`);
    const beganMs = performance.now();
    const order = await this.#stage.order(`resume ${name}`);
    const orderSeconds = Math.round(performance.now() - beganMs) / 1000;
    this.#expect('it runs where it was ready', order.host === to && order.outcome === 'applied', order);
    await this.#unharmed('made ready on the other host');
    const { ranMs, aliveMs } = order.measured;
    return {
      ...{ movedMiB: mib(first.measured.bytesMoved), againMiB: mib(again.measured.bytesMoved) },
      ...{ orderSeconds, ranMs: Math.round(Number(ranMs)), aliveMs: Math.round(Number(aliveMs)) },
    };
  }

  /** Tried only: its own host has room, and all of it; of the other it is known what lies there. */
  async #chosen(own: HostName, other: HostName): Promise<string> {
    const { placement } = await this.#stage.order(`resume ${name} --to any --dry-run`);
    const of = (host: HostName): string => placement?.others.find((one) => one.host === host)?.reason ?? '';
    this.#expect('its own host is chosen', placement?.host === own && /all of its snapshot is there/.test(placement.reason), placement);
    this.#expect('of the other it is told what lies there', /% of what it touches first is there/.test(of(other)), placement);
    return `${placement?.reason}; not ${other}: ${of(other)}`;
  }

  /** The wire goes as soon as it runs: it waits with a reason, and goes on when the wire is back. */
  async #cutMidway() {
    const { guest, wire } = this.#stage;
    await this.#stage.order(`suspend ${name}`);
    await this.#stage.order('snapshot gc beta');
    await this.#stage.order(`resume ${name} --to beta`);
    wire.wire(false);
    const cutMs = performance.now();
    this.#expect('its memory is on its way', (await this.#stage.suspension())?.from === 'alpha', await this.#stage.suspension());
    const sum = guest.ask('sum');
    const reason = await eventually('what it waits for to be told', async () => (await this.#stage.suspension())?.problems[0], CUT_MS * 3);
    this.#expect('the reason names the host', /host alpha .* is away/.test(reason), reason);
    this.#tell(`cut midway: ${reason}`);
    await this.#stage.killAgent('beta');
    await this.#stage.startAgent('beta');
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, CUT_MS - (performance.now() - cutMs))));
    this.#expect('its memory is on its way still', (await this.#stage.suspension())?.from === 'alpha', await this.#stage.suspension());
    wire.wire(true);
    const backMs = performance.now();
    this.#expect('its memory is as it was', (await sum) === this.#sum, await sum);
    const goesOnSeconds = Math.round(performance.now() - backMs) / 1000;
    await this.#settled('beta');
    return { reason, goesOnSeconds, settledSeconds: Math.round(performance.now() - backMs) / 1000 };
  }

  /** Nothing comes: it is brought back where it was. */
  async #cutBefore(): Promise<void> {
    const { wire } = this.#stage;
    await this.#stage.order(`suspend ${name}`);
    wire.wire(false);
    const order: SuspendOrderView = await this.#stage.order(`resume ${name} --to alpha`);
    wire.wire(true);
    this.#expect('it fell back', order.host === 'beta' && order.outcome === 'applied', order);
    await this.#unharmed('fallen back');
    const failed = (await this.#stage.orders()).find(({ host, action }) => host === 'alpha' && action === 'resume');
    this.#tell(`cut before it ran: ${failed?.reason}; brought back on beta`);
  }

  async #settled(host: HostName): Promise<void> {
    const home = async (): Promise<boolean> => {
      const suspension = await this.#stage.suspension();
      return suspension?.host === host && suspension.from === undefined;
    };
    await eventually(`all of its memory to be on ${host}`, home, HOME_MS_MAX);
  }

  async #unharmed(when: string): Promise<void> {
    const now = await this.#stage.guest.ask('sum');
    this.#expect(`${when}, its memory is as it was`, now === this.#sum, now);
  }

  #expect(what: string, holds: boolean, found: unknown): void {
    if (!holds) throw new Error(`${what}: ${JSON.stringify(found)}`);
  }
}

export async function elsewhere(memoryMiB: number, tell: (words: string) => void) {
  const stage = await twoHostStage(memoryMiB);
  try {
    return await new Elsewhere(stage, tell).drive();
  } catch (error) {
    tell(`as it was told last: ${JSON.stringify(await stage.suspension().catch(String))}`);
    for (const host of ['alpha', 'beta'] as const) tell(`${host}: ${stage.log(host).slice(-3000)}`);
    tell(`the guest's own words: ${stage.said().slice(-3000)}`);
    throw error;
  } finally {
    await stage.stop();
  }
}
