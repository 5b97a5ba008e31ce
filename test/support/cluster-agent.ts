/**
 * A host agent for tests of several aggregators: the real uplink over real sockets with one made-up VM, which does what it is
 * told unless its pair is below what it had. Input: addresses, a name; output: what came, from whom, when, under which epoch.
 */
import { Addresses } from '../../agent/core/addresses.ts';
import { HOST_BUFFER_LIMITS, SampleBuffer } from '../../agent/core/sample-buffer.ts';
import { createUplink, type Uplink } from '../../agent/loops/uplink.ts';
import { systemClock } from '../../shared/clock.ts';
import { webSocketConnect } from '../../shared/net/websocket.ts';
import { createPrng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX, type FrameOf, MOVES_ON_CAPABILITY, REDIRECT_CAPABILITY } from '../../shared/protocol/frames.ts';
import { PROTOCOL_VERSIONS } from '../../shared/protocol/versions.ts';
import { comparePairs, RESOURCES } from '../../shared/resources.ts';
import { carryOut, type FakeVm, fakeVm, fullInventory, resultOf, rowsOf } from './fake-host.ts';

/** Something an aggregator did under an epoch: it took the agent in, renewed its lease, or sent a command. */
export interface Act {
  atMs: number;
  kind: 'welcome' | 'lease' | 'command';
  epoch: number;
  /** Where it was reached. */
  by: string;
}

const CONNECT_MS_MAX = 2000;

export class ClusterAgent {
  readonly host: string;
  readonly vm: FakeVm;
  readonly acts: Act[] = [];
  /** Of commands received. */
  readonly planIds = new Set<string>();
  /** Times of the rows made, all of which must come into the store, ms. */
  readonly rowTimesMs: number[] = [];
  readonly buffer = new SampleBuffer(HOST_BUFFER_LIMITS, null);
  /** Memory that commands granted above what the host has, MiB. */
  overcommitted = 0;
  readonly #uplink: Uplink;
  #by = '';
  #timer: NodeJS.Timeout | undefined;

  constructor(host: string, vm: string, urls: readonly string[], seed: number) {
    this.host = host;
    this.vm = fakeVm(vm, `vm-of-${host}`, load);
    const addresses = new Addresses(urls);
    const prng = createPrng(seed, host);
    this.#uplink = createUplink({
      ...{
        role: 'host',
        addresses,
        clock: systemClock,
        prng,
        buffer: this.buffer,
        backoff: { baseMs: 500, capMs: 5000 },
        handshakeMs: 5000,
      },
      connect: async () => {
        const url = addresses.next;
        const transport = await webSocketConnect(url, FRAME_BYTES_MAX, undefined, CONNECT_MS_MAX)();
        this.#by = url;
        return transport;
      },
      hello: () => this.#hello(),
      handlers: {
        onWelcome: (welcome) => {
          if (welcome.epoch > 0) this.#note('welcome', welcome.epoch);
          this.#uplink.send(fullInventory([this.vm]));
        },
        onLease: (lease) => this.#note('lease', lease.epoch),
        onCommand: (command) => this.#command(command),
      },
    });
  }

  start(): void {
    this.#uplink.start();
    this.#timer = setInterval(() => this.#row(), 1000);
  }

  /** No further rows; what there is still goes out. */
  endRows(): void {
    clearInterval(this.#timer);
  }

  async stop(): Promise<void> {
    this.endRows();
    await this.#uplink.stop();
  }

  get owner(): string | null {
    return this.acts.at(-1)?.by ?? null;
  }

  /** Every row is acknowledged. */
  get drained(): boolean {
    return this.buffer.empty;
  }

  #row(): void {
    // Whole seconds: a store that keeps milliseconds or seconds has the same.
    const atMs = Math.floor(Date.now() / 1000) * 1000;
    if (this.rowTimesMs.at(-1) === atMs) return;
    this.rowTimesMs.push(atMs);
    for (const block of rowsOf(this.host, [this.vm], atMs)) this.buffer.append(block, systemClock.monotonicMs());
  }

  #note(kind: Act['kind'], epoch: number): void {
    this.acts.push({ atMs: Date.now(), kind, epoch, by: this.#by });
  }

  #command(command: FrameOf<'command'>): void {
    this.#note('command', command.pair.epoch);
    this.planIds.add(command.commandId.slice(0, command.commandId.lastIndexOf('/')));
    const highest = this.vm.pairs[command.resource];
    const fresh = highest === undefined || comparePairs(command.pair, highest) > 0;
    const result = fresh ? carryOut(command, this.vm, Date.now()) : resultOf(command, 'refused', Date.now());
    const { host } = fullInventory([]);
    this.overcommitted = Math.max(this.overcommitted, this.vm.memory.memoryMiB - host.memoryMiB);
    this.#uplink.send(result);
  }

  #hello(): FrameOf<'hello'> {
    return {
      ...{
        type: 'hello',
        versions: [...PROTOCOL_VERSIONS],
        role: 'host',
        host: this.host,
        vm: null,
        bootId: `boot-${this.host}`,
        agentVersion: 'test',
      },
      ...{ capabilities: [REDIRECT_CAPABILITY, MOVES_ON_CAPABILITY], wallMs: systemClock.wallMs(), monotonicMs: systemClock.monotonicMs() },
      highestPairs: RESOURCES.flatMap((resource) => {
        const pair = this.vm.pairs[resource];
        return pair ? [{ vm: this.vm.id, resource, pair }] : [];
      }),
    };
  }
}

/** Up and down within half a minute, so that there is always something to decide. */
function load(atMs: number): { cores: number; memoryMiB: number } {
  return atMs % 30_000 < 15_000 ? { cores: 1.6, memoryMiB: 700 } : { cores: 0.3, memoryMiB: 200 };
}
