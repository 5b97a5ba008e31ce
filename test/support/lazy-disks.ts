/**
 * One VM with a disk that only its host sees, brought back on another host before all of that disk has come: the wire is cut and the agent
 * that serves it killed while it runs. Input: the guest's memory; output: what had moved when it ran, and how the rest came. Throws with
 * what did not hold.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, KeptDisk } from './kept-disk.ts';
import { virsh } from './libvirtd.ts';
import { eventually } from './stack.ts';
import { type HostName, type TwoHostStage, twoHostStage } from './two-host-stage.ts';

const name = 'desktop';
const TARGET = 'vdb';
const MIB = 1024 * 1024;
/** Files of 4 MiB. */
const PARTS = 6;
const FEW_PARTS = 4;
/** The disk takes seconds. */
const SLOW_MBIT = 50;
const FAST_MBIT = 1000;
const WAIT_MS_MAX = 90_000;
/** Of its disk its guest reads at once. */
const READ_PARTS = 2;
/** As by default: over the slow wire the guest has read them by then, and not within a few seconds. */
const LEARN_SECONDS = 30;
const HIT_MIN = 0.7;
const WASTE_MAX = 0.5;

const mib = (bytes: unknown): number => Math.round((Number(bytes) / MIB) * 10) / 10;

class LazyDisks {
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

  async there() {
    const { wire } = this.#stage;
    await this.#kept.write(0, this.#parts);
    await this.#stage.order(`suspend ${name}`);
    await eventually('its disk to be told as taken', async () => (await this.#ownDisk())?.state === 'taken');
    wire.slow(SLOW_MBIT);
    const order = await this.#stage.order(`resume ${name} --to beta`);
    expect('it runs on beta', order.host === 'beta' && order.outcome === 'applied', order);
    const movedMiB = mib(order.measured.bytesMoved);
    expect('before its disk has come', movedMiB < this.#parts * 4, order.measured);
    await eventually(
      'its memory to have come, and some of its disk',
      async () => ((await this.#ownDisk())?.leftBytes ?? 0) > 0,
      WAIT_MS_MAX,
    );
    wire.wire(false);
    const left = await this.#ownDisk();
    const answer = this.#kept.ask();
    await eventually('the guest to stand still', () => /paused.*I\/O/.test(this.#power('beta')), WAIT_MS_MAX);
    await eventually('the reason to be told', async () => /waits for what disk vdb/.test(await this.#problems()), WAIT_MS_MAX);
    this.#tell(`cut with ${mib(left?.leftBytes)} MiB left: ${this.#power('beta')}; ${await this.#problems()}`);
    await this.#stage.killAgent('beta');
    wire.wire(true);
    await this.#stage.startAgent('beta');
    const disk = await answer;
    expect('its disk is as it was', disk === this.#kept.disk, [disk, this.#kept.disk]);
    await this.#settled('beta');
    this.#standsAlone('beta');
    await this.#kept.unharmed('on beta');
    return { movedMiB, leftMiB: mib(left?.leftBytes) };
  }

  /** What it wrote there travels, and no more. */
  async back() {
    await this.#kept.write(1, 1);
    await this.#stage.order(`suspend ${name}`);
    const order = await this.#stage.order(`resume ${name} --to alpha`);
    expect('it runs on alpha', order.host === 'alpha' && order.outcome === 'applied', order);
    await this.#kept.unharmed('back on alpha');
    await this.#settled('alpha');
    this.#standsAlone('alpha');
    await this.#kept.unharmed('with all of it there');
    return { movedMiB: mib(order.measured.bytesMoved) };
  }

  /** What it read first after an arrival is there before it runs the next time; between the two the host forgets what it held. */
  async foretold() {
    await this.#kept.write(0, this.#parts);
    const first = await this.#arrived('beta', 'alpha');
    const again = await this.#arrived('alpha', 'beta');
    const disk = await this.#ownDisk();
    const told = { first, again, hitRate: disk?.hitRate, wasteRate: disk?.wasteRate };
    expect('what it reads first was foretold', (disk?.hitRate ?? 0) > HIT_MIN && (disk?.wasteRate ?? 1) < WASTE_MAX, told);
    expect('and moved before it ran', again.movedMiB - first.movedMiB > READ_PARTS * 4 * HIT_MIN, told);
    expect('which it waited for before', again.readMs < first.readMs, told);
    return told;
  }

  /** Brought to one host, which holds nothing of it; its guest reads the first parts of its disk at once, and nothing else. */
  async #arrived(to: HostName, from: HostName) {
    const { wire } = this.#stage;
    wire.slow(FAST_MBIT);
    await this.#stage.order(`suspend ${name}`);
    await eventually('its disk to be taken', async () => (await this.#ownDisk())?.state === 'taken', WAIT_MS_MAX);
    await this.#stage.order(`snapshot gc ${to}`);
    wire.slow(SLOW_MBIT);
    const order = await this.#stage.order(`resume ${name} --to ${to}`);
    expect(`it runs on ${to}, not on ${from}`, order.host === to && order.outcome === 'applied', order);
    const beganMs = performance.now();
    await this.#stage.guest.ask(`kept ${READ_PARTS}`);
    const readMs = Math.round(performance.now() - beganMs);
    await this.#settled(to);
    await this.#kept.unharmed(`on ${to}`);
    return { movedMiB: mib(order.measured.bytesMoved), readMs };
  }

  /** Its guest ends before all has come: its image is made whole all the same. */
  async ended() {
    const { wire, libvirtds } = this.#stage;
    await this.#kept.write(0, this.#parts);
    await this.#stage.order(`suspend ${name}`);
    await this.#stage.order(`resume ${name} --to beta`);
    await eventually(
      'its memory to have come, and some of its disk',
      async () => ((await this.#ownDisk())?.leftBytes ?? 0) > 0,
      WAIT_MS_MAX,
    );
    wire.wire(false);
    virsh(libvirtds.beta.socket, 'destroy', name);
    wire.wire(true);
    const image = this.#image('beta');
    await eventually('its image to stand alone', () => this.#backing(image) === undefined, WAIT_MS_MAX);
    const raw = `${image}.raw`;
    execFileSync('qemu-img', ['convert', '-U', '-f', 'qcow2', '-O', 'raw', image, raw]);
    const held = execFileSync('sh', ['-c', `head -c ${this.#parts * 4 * MIB} ${raw} | md5sum`], { encoding: 'utf8' });
    expect('its disk is as it was', held.slice(0, 32) === this.#kept.disk.slice(-32), [held, this.#kept.disk]);
    return {};
  }

  #standsAlone(host: HostName): void {
    const image = this.#image(host);
    expect('its image stands alone', this.#backing(image) === undefined, this.#backing(image));
    for (const inactive of [[], ['--inactive']]) {
      const xml = virsh(this.#stage.libvirtds[host].socket, 'dumpxml', ...inactive, name);
      expect('nothing names a socket any more', !xml.includes("protocol='nbd'"), xml);
      if (inactive.length > 0) expect('and its policies are its own again', !xml.includes('error_policy'), xml);
    }
  }

  #backing(image: string): string | undefined {
    const info = execFileSync('qemu-img', ['info', '-U', '--output=json', image], { encoding: 'utf8' });
    return (JSON.parse(info) as { 'backing-filename'?: string })['backing-filename'];
  }

  #image(host: HostName): string {
    const list = virsh(this.#stage.libvirtds[host].socket, 'domblklist', name);
    const path = /vdb\s+(\S+)/.exec(list)?.[1] ?? list;
    expect('its disk is of that host', path.startsWith(join(this.#stage.images(host), 'headroom')), path);
    return path;
  }

  #power(host: HostName): string {
    return virsh(this.#stage.libvirtds[host].socket, 'domstate', '--reason', name).trim();
  }

  async #ownDisk() {
    return (await this.#stage.suspension())?.disks?.find(({ target }) => target === TARGET);
  }

  async #problems(): Promise<string> {
    return (await this.#stage.suspension())?.problems.join('; ') ?? '';
  }

  async #settled(host: HostName): Promise<void> {
    const here = async (): Promise<boolean> => {
      const suspension = await this.#stage.suspension();
      return suspension?.host === host && suspension.from === undefined;
    };
    await eventually(`all of it to be on ${host}`, here, WAIT_MS_MAX);
  }
}

export function lazyDisks(memoryMiB: number, tell: (words: string) => void, { whole = true } = {}) {
  return driving(memoryMiB, tell, whole ? PARTS : FEW_PARTS, async (driven) => {
    const there = await driven.there();
    tell(`there: ${JSON.stringify(there)}`);
    if (!whole) return { there };
    const back = await driven.back();
    tell(`back: ${JSON.stringify(back)}`);
    await driven.ended();
    return { there, back };
  });
}

/** Of a guest that was never elsewhere: what its second arrival finds in place, and how long it waits for what it reads first. */
export function foretoldDisks(memoryMiB: number, tell: (words: string) => void) {
  return driving(memoryMiB, tell, PARTS, async (driven) => {
    const foretold = await driven.foretold();
    tell(`foretold: ${JSON.stringify(foretold)}`);
    return { foretold };
  });
}

async function driving<T>(memoryMiB: number, tell: (words: string) => void, parts: number, drive: (driven: LazyDisks) => Promise<T>) {
  const stage = await twoHostStage(memoryMiB, { ownDisks: true, lazily: true, learnSeconds: LEARN_SECONDS });
  try {
    return await drive(new LazyDisks(stage, tell, parts));
  } catch (error) {
    tell(`as it was told last: ${JSON.stringify(await stage.suspension().catch(String))}`);
    for (const host of ['alpha', 'beta'] as const) tell(`${host}: ${stage.log(host).slice(-5000)}`);
    throw error;
  } finally {
    await stage.stop();
  }
}
