/**
 * A real guest for tests of several aggregators: a small VM under emulation by a libvirt of its own, with the real host agent as a
 * process. Input: where aggregators are, a folder; output: by the agent's own log who acted on its host, when, under which epoch;
 * by libvirt what is in force, looked at every two seconds; and which changes of that nobody had a reason for.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type AgentProcess, startAgent } from './agent-process.ts';
import type { Act } from './cluster-agent.ts';
import { type PrivateLibvirtd, privateLibvirtd, virsh } from './libvirtd.ts';
import { type TinyGuest, type TinyGuestOptions, tinyGuest, tinyGuestXml } from './tiny-guest.ts';

const UUID = '6f1b0000-0000-4000-8000-0000000003a1';
const MEMORY_MIB = 256;
const BOOT_MS_MAX = 180_000;
const LOOK_MS = 2000;
/** It fills memory and frees it again, so that there is always something to decide; little work, as emulation is dear. */
const TURN_MS = 20_000;
const FILLED_MIB = 64;
/** A balloon goes on for a while after the command that set it. */
const CAUSE_MS = 12_000;
const SAME_MIB = 2;

interface Line {
  atMs: number;
  message: string;
  epoch?: number;
  aggregator?: string;
  event?: string;
}

/** What is in force, as libvirt tells it. */
interface Truth {
  atMs: number;
  shares: number;
  quota: number;
  balloonMiB: number;
}

export interface GuestAccount {
  commandsApplied: number;
  epochs: number;
  looks: number;
  /** Values that changed with no command, guard or fail-safe of the agent before. */
  changesByNobody: number;
  foreignWrites: number;
  leasesEnded: number;
  balloonMiBLeast: number;
}

export class ClusterGuest {
  readonly host = 'real0';
  readonly #folder: string;
  readonly #options: TinyGuestOptions;
  readonly #looks: Truth[] = [];
  readonly #timers: NodeJS.Timeout[] = [];
  #libvirtd!: PrivateLibvirtd;
  #agent: AgentProcess | undefined;
  #guest: TinyGuest | undefined;

  constructor(folder: string) {
    this.#folder = folder;
    this.#options = { name: `hrf${process.pid}`, uuid: UUID, folder, memoryMiB: MEMORY_MIB, vcpus: 1, statsPeriodSeconds: 1 };
  }

  async start(urls: readonly string[]): Promise<void> {
    this.#libvirtd = await privateLibvirtd();
    const { name } = this.#options;
    const xml = join(this.#folder, `${name}.xml`);
    writeFileSync(xml, tinyGuestXml(this.#options));
    virsh(this.#libvirtd.socket, 'create', xml);
    this.#guest = await tinyGuest(this.#options, BOOT_MS_MAX);
    this.#agent = startAgent(
      [
        ...['host', '--host', this.host, '--aggregator', urls.join(',')],
        ...['--connect', `qemu:///system?socket=${this.#libvirtd.socket}`, '--state-dir', join(this.#folder, 'agent')],
        ...['--include', name, '--balloon-stats-seconds', '1', '--stats-seconds', '2', '--settings-seconds', '1'],
        ...['--boot-deadline-seconds', '5'],
      ],
      this.#log,
    );
    this.#timers.push(setInterval(() => this.#look(), LOOK_MS));
    let full = false;
    this.#timers.push(
      setInterval(() => {
        full = !full;
        this.#guest?.send(full ? `fill ${FILLED_MIB}` : 'free');
      }, TURN_MS),
    );
  }

  /** Of its host, by the agent's log: taken in under an epoch, leased under one, told to do something. */
  acts(): Act[] {
    const acts: Act[] = [];
    let by = '';
    for (const { atMs, message, epoch = 0, aggregator } of this.#lines()) {
      if (aggregator !== undefined) by = aggregator;
      const kind = message.startsWith('connected to') ? 'welcome' : message.startsWith('leased by') ? 'lease' : 'command';
      if (epoch > 0 && (kind !== 'command' || message.startsWith('command '))) acts.push({ atMs, kind, epoch, by });
    }
    return acts;
  }

  /** Whoever it is connected to decides about it. */
  get owned(): boolean {
    const lines = this.#lines();
    const lost = lines.findLastIndex(({ message }) => message.startsWith('no connection'));
    return lines.slice(lost + 1).some(({ message, epoch = 0 }) => epoch > 0 && /^(connected to|leased by)/.test(message));
  }

  account(): GuestAccount {
    const lines = this.#lines();
    const count = (test: (line: Line) => boolean): number => lines.filter(test).length;
    return {
      commandsApplied: count(({ message }) => message === 'command applied'),
      epochs: new Set(this.acts().map(({ epoch }) => epoch)).size,
      looks: this.#looks.length,
      changesByNobody: this.#changesByNobody(lines),
      foreignWrites: count(({ event }) => event === 'foreign-writer'),
      leasesEnded: count(({ event }) => event === 'lease-expired'),
      balloonMiBLeast: Math.round(Math.min(...this.#looks.map(({ balloonMiB }) => balloonMiB))),
    };
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#guest?.close();
    await this.#agent?.end('SIGTERM');
    await this.#libvirtd?.stop();
  }

  get #log(): string {
    return join(this.#folder, `${this.host}.log`);
  }

  #lines(): Line[] {
    if (!existsSync(this.#log)) return [];
    return readFileSync(this.#log, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Line & { time: string })
      .map(({ time, ...rest }) => ({ ...rest, atMs: Date.parse(time) }));
  }

  #look(): void {
    const { socket } = this.#libvirtd;
    const { name } = this.#options;
    const text = virsh(socket, 'schedinfo', name);
    const of = (what: string): number => Number(new RegExp(`^${what}\\s*:\\s*(-?\\d+)`, 'm').exec(text)?.[1]);
    const balloonMiB = Number(/actual (\d+)/.exec(virsh(socket, 'dommemstat', name))?.[1]) / 1024;
    this.#looks.push({ atMs: Date.now(), shares: of('cpu_shares'), quota: of('vcpu_quota'), balloonMiB });
  }

  #changesByNobody(lines: readonly Line[]): number {
    const causes = lines.filter(({ message, event }) => message.startsWith('command ') || event !== undefined).map(({ atMs }) => atMs);
    let changes = 0;
    for (const [i, now] of this.#looks.entries()) {
      const before = this.#looks[i - 1];
      if (before === undefined) continue;
      const { shares, quota, balloonMiB } = before;
      const same = shares === now.shares && quota === now.quota && Math.abs(balloonMiB - now.balloonMiB) < SAME_MIB;
      if (!same && !causes.some((atMs) => atMs > before.atMs - CAUSE_MS && atMs <= now.atMs)) changes++;
    }
    return changes;
  }
}
