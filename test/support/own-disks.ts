/**
 * One VM with a disk that only its host sees, brought back on another host: what the guest wrote comes along, there and back, the second
 * time without what the host holds already; the wire is cut while it is on its way, and chunks of it are broken. Input: the guest's memory;
 * output: what moved and how long it took. Throws with what did not hold.
 */
import { execFileSync } from 'node:child_process';
import { globSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SuspendOrderView } from '../../aggregator/http/suspend-service.ts';
import { expect, KeptDisk } from './kept-disk.ts';
import { virsh } from './libvirtd.ts';
import { eventually } from './stack.ts';
import { type HostName, type TwoHostStage, twoHostStage } from './two-host-stage.ts';

/** Files of 4 MiB. */
const PARTS = 6;
const FEW_PARTS = 3;
const name = 'desktop';
const MIB = 1024 * 1024;
/** What the disk holds takes some seconds. */
const SLOW_MBIT = 40;
const CUT_AFTER_MS = 1500;

const mib = (bytes: unknown): number => Math.round((Number(bytes) / MIB) * 10) / 10;
const sumOf = (path: string): string => execFileSync('md5sum', [path], { encoding: 'utf8' }).slice(0, 32);

class OwnDisks {
  readonly #stage: TwoHostStage;
  readonly #tell: (words: string) => void;
  readonly #parts: number;
  readonly #kept: KeptDisk;

  constructor(stage: TwoHostStage, tell: (words: string) => void, parts: number) {
    this.#stage = stage;
    this.#tell = tell;
    this.#parts = parts;
    this.#kept = new KeptDisk(stage, parts);
  }

  async drive() {
    const there = await this.#there();
    const back = await this.#back();
    const cut = await this.#cut();
    const ready = await this.#ready();
    const broken = await this.#broken();
    const killed = await this.#killed();
    return { there, back, cut, ready, broken, killed };
  }

  /** Once, as much as fits a test that is run again and again. */
  async there() {
    return { there: await this.#there(), back: await this.#back() };
  }

  async #there() {
    const { images, libvirtds } = this.#stage;
    const original = join(images('alpha'), 'desktop.qcow2');
    await this.#kept.write(0, this.#parts);
    await this.#stage.order(`suspend ${name}`);
    await eventually('its disk to be told as taken', () => this.#isTaken());
    const beganMs = performance.now();
    const order = await this.#stage.order(`resume ${name} --to beta`);
    const orderSeconds = Math.round(performance.now() - beganMs) / 1000;
    expect('it runs on beta', order.host === 'beta' && order.outcome === 'applied', order);
    const sum = sumOf(original);
    await this.#kept.unharmed('on beta');
    const path = this.#place('beta');
    expect('with a disk of that host', path.startsWith(`${images('beta')}/`), path);
    await this.#settled('beta');
    const defined = virsh(libvirtds.alpha.socket, 'list', '--all', '--name').trim();
    expect('and is not defined on alpha any more', defined === '', defined);
    await this.#kept.write(1, 1);
    expect('the disk it had there is as it was', sumOf(original) === sum, [sum, sumOf(original)]);
    const told = { orderSeconds, movedMiB: mib(order.measured.bytesMoved) };
    this.#tell(`there: ${JSON.stringify(told)}`);
    return told;
  }

  /** Only what was written since travels: alpha holds the rest. */
  async #back() {
    const { images } = this.#stage;
    await this.#stage.order(`suspend ${name}`);
    const order = await this.#stage.order(`resume ${name} --to alpha`);
    expect('it runs on alpha', order.host === 'alpha' && order.outcome === 'applied', order);
    await this.#kept.unharmed('back on alpha');
    await this.#settled('alpha');
    const left = this.#imagesOn('beta');
    expect('nothing is left of it on beta', left.length === 0, left);
    const path = this.#place('alpha');
    expect('it is not on the disk of before', path !== join(images('alpha'), 'desktop.qcow2'), path);
    const told = { movedMiB: mib(order.measured.bytesMoved) };
    this.#tell(`back: ${JSON.stringify(told)}`);
    return told;
  }

  async #cut() {
    const { wire } = this.#stage;
    await this.#kept.write(0, this.#parts);
    await this.#stage.order(`suspend ${name}`);
    wire.slow(SLOW_MBIT);
    const ordered = this.#stage.order(`resume ${name} --to beta`);
    await new Promise((resolve) => setTimeout(resolve, CUT_AFTER_MS));
    wire.wire(false);
    const order: SuspendOrderView = await ordered;
    wire.wire(true);
    expect('it fell back', order.host === 'alpha' && order.outcome === 'applied', order);
    await this.#kept.unharmed('fallen back');
    const left = this.#imagesOn('beta');
    expect('nothing is left of it on beta', left.length === 0, left);
    const failed = (await this.#stage.orders()).find(({ host, action }) => host === 'beta' && action === 'resume');
    this.#tell(`cut: ${failed?.reason}`);
    await this.#kept.write(2, 1);
    await this.#stage.order(`suspend ${name}`);
    const again = await this.#stage.order(`resume ${name} --to beta`);
    expect('once the wire is back it goes there', again.host === 'beta', again);
    await this.#kept.unharmed('after the cut');
    await this.#settled('beta');
    return { reason: failed?.reason ?? '', movedMiB: mib(again.measured.bytesMoved) };
  }

  /** Made ready there before anybody asks: then it runs at once, and its disk is there. */
  async #ready() {
    await this.#kept.write(3, 1);
    await this.#stage.order(`suspend ${name}`);
    const first = await this.#stage.order(`prefetch start ${name} --to alpha --hold 120`);
    const beganMs = performance.now();
    const order = await this.#stage.order(`resume ${name}`);
    const orderSeconds = Math.round(performance.now() - beganMs) / 1000;
    expect('it runs where it was ready', order.host === 'alpha' && order.outcome === 'applied', order);
    await this.#kept.unharmed('made ready there before');
    await this.#settled('alpha');
    const told = { movedMiB: mib(first.measured.bytesMoved), orderSeconds, ranMs: Math.round(Number(order.measured.ranMs)) };
    this.#tell(`made ready there before: ${JSON.stringify(told)}`);
    return told;
  }

  /** Chunks of the disk on the host that holds it: they are read anew from the disk that it had, and it goes there all the same. */
  async #broken() {
    await this.#kept.write(4, 1);
    await this.#stage.order(`suspend ${name}`);
    await this.#stage.order('snapshot gc beta');
    await eventually('the disk to be taken', () => this.#isTaken());
    const packs = globSync(join(this.#stage.storeFolder('alpha'), 'packs', '*.pack'));
    const newest = packs.toSorted((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0] as string;
    const bytes = readFileSync(newest);
    // More than its parity mends.
    for (let at = 512; at < bytes.length - 4096; at += 4096) bytes[at]! ^= 1;
    writeFileSync(newest, bytes);
    const order = await this.#stage.order(`resume ${name} --to beta`);
    expect('it goes there all the same', order.host === 'beta' && order.outcome === 'applied', order);
    await this.#kept.unharmed('with broken chunks');
    const anew = this.#stage.log('alpha').split('was read anew from').length - 1;
    expect('what was broken was read anew from the image', anew > 0, anew);
    await this.#settled('beta');
    this.#tell(`broken: ${anew} chunks were read anew from the image`);
    return { anew };
  }

  /** The agent that takes the disk, then the one that lays it out, each in the midst of it: begun again, it ends well. */
  async #killed() {
    const { wire } = this.#stage;
    await this.#kept.write(0, this.#parts);
    await this.#stage.order(`suspend ${name}`);
    await this.#stage.killAgent('beta');
    await this.#stage.startAgent('beta');
    await this.#stage.order('snapshot gc alpha');
    wire.slow(SLOW_MBIT);
    const ordered = this.#stage.order(`resume ${name} --to alpha`);
    await new Promise((resolve) => setTimeout(resolve, CUT_AFTER_MS));
    await this.#stage.killAgent('alpha');
    await this.#stage.startAgent('alpha');
    const order = await ordered;
    expect('it was brought back', order.outcome === 'applied', order);
    await this.#kept.unharmed('with agents killed');
    const runs = (['alpha', 'beta'] as const).filter((host) => virsh(this.#stage.libvirtds[host].socket, 'list', '--name').trim() === name);
    expect('on one host', runs.length === 1 && runs[0] === order.host, [runs, order.host]);
    await this.#settled(runs[0] as HostName);
    return { on: order.host };
  }

  async #isTaken(): Promise<boolean> {
    const { disks = [] } = (await this.#stage.suspension()) ?? {};
    return disks.length === 1 && disks[0]?.target === 'vdb' && disks[0].state === 'taken';
  }

  #place(host: HostName): string {
    const list = virsh(this.#stage.libvirtds[host].socket, 'domblklist', name);
    return /vdb\s+(\S+)/.exec(list)?.[1] ?? list;
  }

  #imagesOn(host: HostName): string[] {
    return (readdirSync(this.#stage.images(host), { recursive: true }) as string[]).filter((one) => /\.qcow2/.test(one));
  }

  async #settled(host: HostName): Promise<void> {
    await eventually(
      `all of its memory to be on ${host}`,
      async () => {
        const suspension = await this.#stage.suspension();
        return suspension?.host === host && suspension.from === undefined;
      },
      60_000,
    );
  }
}

export async function ownDisks(memoryMiB: number, tell: (words: string) => void, { whole = true } = {}) {
  const stage = await twoHostStage(memoryMiB, { ownDisks: true });
  const driven = new OwnDisks(stage, tell, whole ? PARTS : FEW_PARTS);
  try {
    return await (whole ? driven.drive() : driven.there());
  } catch (error) {
    tell(`as it was told last: ${JSON.stringify(await stage.suspension().catch(String))}`);
    for (const host of ['alpha', 'beta'] as const) tell(`${host}: ${stage.log(host).slice(-5000)}`);
    throw error;
  } finally {
    await stage.stop();
  }
}
