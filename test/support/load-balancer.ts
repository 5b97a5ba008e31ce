/**
 * A load balancer for tiny guests: whoever connects is given its part of a load, as work to do. Input: the load over time, cores;
 * output: how many serve. Work that is not done in time waits, as requests do, up to a limit. It is given in loops, of which
 * `measured` says how many a core does in a second here: under emulation nobody knows before.
 */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';

interface Member {
  socket: Socket;
  /** Not given yet. */
  owedLoops: number;
  busySinceMs: number | null;
}

const TURN_MS = 1000;
/** Requests wait no longer than that. */
const QUEUE_SECONDS = 3;
/** One that works at its part for so long is of no use. */
const SERVES_MS = 10_000;

export class LoadBalancer {
  readonly #load: () => number;
  readonly #server: Server;
  readonly #members = new Set<Member>();
  readonly #timer: NodeJS.Timeout;
  #loopsPerCoreSecond = 0;

  constructor(port: number, load: () => number) {
    this.#load = load;
    this.#server = createServer((socket) => this.#accept(socket)).listen(port, '127.0.0.1');
    this.#timer = setInterval(() => this.#give(), TURN_MS);
  }

  get serving(): number {
    const nowMs = Date.now();
    return [...this.#members].filter(({ busySinceMs }) => busySinceMs === null || nowMs - busySinceMs < SERVES_MS).length;
  }

  /** Lets the one member there is do so many loops. `cpuSeconds`: what it has used so far. From then on there is load. */
  async measure(loops: number, cpuSeconds: () => number): Promise<number> {
    const [member] = this.#members;
    if (member === undefined) throw new Error('nobody serves: there is nothing to measure');
    const before = cpuSeconds();
    member.socket.write(`${loops}\n`);
    await once(member.socket, 'data');
    this.#loopsPerCoreSecond = loops / (cpuSeconds() - before);
    return this.#loopsPerCoreSecond;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#server.close();
    for (const { socket } of this.#members) socket.destroy();
  }

  #accept(socket: Socket): void {
    const member: Member = { socket, owedLoops: 0, busySinceMs: null };
    this.#members.add(member);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#members.delete(member));
    socket.on('data', () => {
      member.busySinceMs = null;
    });
  }

  #give(): void {
    const part = (this.#load() * this.#loopsPerCoreSecond * TURN_MS) / 1000 / Math.max(1, this.serving);
    for (const member of this.#members) {
      member.owedLoops = Math.min(member.owedLoops + part, part * QUEUE_SECONDS);
      if (member.busySinceMs !== null || member.owedLoops < 1) continue;
      member.socket.write(`${Math.floor(member.owedLoops)}\n`);
      member.owedLoops = 0;
      member.busySinceMs = Date.now();
    }
  }
}
