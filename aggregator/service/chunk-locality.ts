/**
 * How much of each suspended VM's snapshot other hosts hold already, asked before anybody wants it back: the host that holds it names some
 * of its chunks, the roomiest others say how many of those lie there too. Input: hosts' lists and answers, the clock; output: questions, and
 * shares per VM and host. What was not answered is unknown; nothing waits for it.
 */
import type { HostId, VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { CHUNKS_CAPABILITY } from '../../shared/protocol/suspend-frames.ts';

export interface ChunkLocalityOptions {
  nowMs: () => number;
  epochOf: (host: HostId) => number;
  send: (host: HostId, frame: FrameOf<'suspend'>) => boolean;
  /** Connected ones, the roomiest first. */
  hosts: () => readonly HostId[];
  understands: (host: HostId, capability: string) => boolean;
}

/** Of a VM: shares of what it touches first and of the rest. */
export interface HeldShares {
  first: number;
  rest: number;
}

/** More are not asked for one VM: of a hundred hosts the roomiest few are where it may go. */
const ASKED_HOSTS_MAX = 8;
/** Stores change as VMs come and go: asked again for who decides by it later. */
const FRESH_MS = 600_000;
const LEASE_MS = 60_000;

interface Known {
  holder: HostId;
  snapshot: string;
  sample: NonNullable<FrameOf<'suspend-result'>['chunks']> | null;
  held: Map<HostId, HeldShares & { atMs: number }>;
  askedAtMs: Map<HostId, number>;
}

export class ChunkLocality {
  readonly #options: ChunkLocalityOptions;
  readonly #known = new Map<VmId, Known>();
  #count = 0;

  constructor(options: ChunkLocalityOptions) {
    this.#options = options;
  }

  onSuspended(host: HostId, vms: FrameOf<'suspended'>['vms']): void {
    const here = new Set<string>();
    for (const { vm: id, phase, recipe, snapshot, from } of vms) {
      const vm = id as VmId;
      const rests = phase === 'suspended' || phase === 'preparing' || phase === 'prepared';
      if (!rests || recipe !== 'memory-file' || snapshot === null || from !== undefined) continue;
      here.add(vm);
      const before = this.#known.get(vm);
      if (before?.holder === host && before.snapshot === snapshot) continue;
      this.#known.set(vm, { holder: host, snapshot, sample: null, held: new Map(), askedAtMs: new Map() });
    }
    for (const [vm, { holder }] of this.#known) if (holder === host && !here.has(vm)) this.#known.delete(vm);
    for (const vm of here) this.#ask(vm as VmId);
  }

  onResult(host: HostId, { vm: id, chunks, held }: FrameOf<'suspend-result'>): void {
    const vm = id as VmId;
    const known = this.#known.get(vm);
    if (known === undefined) return;
    if (chunks !== undefined && known.holder === host && chunks.snapshot === known.snapshot) {
      known.sample = chunks;
      this.#ask(vm);
    }
    if (held !== undefined && known.sample !== null && known.askedAtMs.has(host)) {
      const share = (count: number, of: readonly string[]): number => (of.length === 0 ? 1 : Math.min(1, count / of.length));
      const { first, rest } = known.sample;
      known.held.set(host, { first: share(held.first, first), rest: share(held.rest, rest), atMs: this.#options.nowMs() });
    }
  }

  /** Null: its host has not told yet. */
  bytes(vm: VmId): { first: number; rest: number } | null {
    const sample = this.#known.get(vm)?.sample ?? null;
    return sample === null ? null : { first: sample.firstBytes, rest: sample.filledBytes - sample.firstBytes };
  }

  /** As it was told last; what is old is asked anew, for the next time. */
  held(vm: VmId, host: HostId): HeldShares | null {
    const held = this.#known.get(vm)?.held.get(host) ?? null;
    if (held === null || this.#options.nowMs() - held.atMs >= FRESH_MS) this.#ask(vm);
    return held === null ? null : { first: held.first, rest: held.rest };
  }

  #ask(vm: VmId): void {
    const { hosts, understands } = this.#options;
    const known = this.#known.get(vm);
    if (known === undefined) return;
    const able = hosts().filter((host) => understands(host, CHUNKS_CAPABILITY));
    const others = able.filter((host) => host !== known.holder).slice(0, ASKED_HOSTS_MAX);
    // Where a VM has nowhere else to go nobody need know.
    if (others.length === 0 || !able.includes(known.holder)) return;
    if (known.sample === null) {
      this.#send(known, known.holder, { action: 'sample', vm });
      return;
    }
    const { tenant, first, rest } = known.sample;
    for (const host of others) this.#send(known, host, { action: 'held', vm, tenant, first, rest });
  }

  #send({ askedAtMs }: Known, host: HostId, order: FrameOf<'suspend'>['order']): void {
    const { nowMs, epochOf, send } = this.#options;
    const lastMs = askedAtMs.get(host) ?? Number.NEGATIVE_INFINITY;
    // An answer that was lost is asked for again with the next occasion.
    if (nowMs() - lastMs < (order.action === 'sample' ? LEASE_MS : FRESH_MS)) return;
    askedAtMs.set(host, nowMs());
    const epoch = epochOf(host);
    send(host, {
      type: 'suspend',
      orderId: `${order.action}/${epoch}/${Math.round(nowMs())}/${++this.#count}`,
      epoch,
      leaseMs: LEASE_MS,
      order,
    });
  }
}
