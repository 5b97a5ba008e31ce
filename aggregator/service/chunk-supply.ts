/**
 * Records that a VM's snapshot lacks on one host, had from others that hold them too: broken where they lie, or with a holder that is away, a
 * guest may stand still for them. Input: hosts' lists and answers, the clock; output: questions to the roomiest others, and what they gave, for
 * the host that lacks it. Records pass through here as they are sealed; nothing here can open one. What nobody has is asked for again when a
 * host tells of something new.
 */
import type { HostId, VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { SUPPLY_CAPABILITY } from '../../shared/protocol/suspend-frames.ts';
import type { ChunkLocalityOptions } from './chunk-locality.ts';

export type ChunkSupplyOptions = ChunkLocalityOptions;

type Order = FrameOf<'suspend'>['order'];

/** More are not asked at once: each reads its disk for it. */
const ASKED_HOSTS_MAX = 8;
/** An answer that was lost is asked for again, and what a host did not have then it may have by then. */
const ASK_AGAIN_MS = 30_000;
const LEASE_MS = 30_000;

interface Lack {
  host: HostId;
  vm: VmId;
  tenant: string;
  names: readonly string[];
  askedAtMs: Map<HostId, number>;
}

export class ChunkSupply {
  readonly #options: ChunkSupplyOptions;
  /** By the VM: it lives on one host. */
  readonly #lacks = new Map<VmId, Lack>();
  #count = 0;

  constructor(options: ChunkSupplyOptions) {
    this.#options = options;
  }

  onSuspended(host: HostId, vms: FrameOf<'suspended'>['vms']): void {
    const lacking = new Map(vms.flatMap(({ vm, lacks }) => (lacks === undefined ? [] : [[vm as VmId, lacks] as const])));
    for (const [vm, lack] of this.#lacks) if (lack.host === host && !lacking.has(vm)) this.#lacks.delete(vm);
    for (const [vm, { tenant, names }] of lacking) {
      const before = this.#lacks.get(vm);
      const same = before?.host === host && before.names.join() === names.join();
      if (!same) this.#lacks.set(vm, { host, vm, tenant, names, askedAtMs: new Map() });
    }
    for (const lack of this.#lacks.values()) this.#ask(lack);
  }

  onResult(from: HostId, { action, vm: id, records = [] }: FrameOf<'suspend-result'>): void {
    const lack = this.#lacks.get(id as VmId);
    if (action !== 'give' || lack === undefined || !lack.askedAtMs.has(from)) return;
    const wanted = records.filter(({ name }) => lack.names.includes(name));
    if (wanted.length > 0) this.#send(lack.host, { action: 'supply', vm: lack.vm, from, records: wanted });
  }

  #ask({ host, vm, tenant, names, askedAtMs }: Lack): void {
    const { nowMs, hosts, understands } = this.#options;
    if (!understands(host, SUPPLY_CAPABILITY)) return;
    const others = hosts().filter((other) => other !== host && understands(other, SUPPLY_CAPABILITY));
    for (const other of others.slice(0, ASKED_HOSTS_MAX)) {
      if (nowMs() - (askedAtMs.get(other) ?? Number.NEGATIVE_INFINITY) < ASK_AGAIN_MS) continue;
      askedAtMs.set(other, nowMs());
      this.#send(other, { action: 'give', vm, tenant, names: [...names] });
    }
  }

  #send(host: HostId, order: Order): void {
    const { nowMs, epochOf, send } = this.#options;
    const epoch = epochOf(host);
    const orderId = `${order.action}/${epoch}/${Math.round(nowMs())}/${++this.#count}`;
    send(host, { type: 'suspend', orderId, epoch, leaseMs: LEASE_MS, order });
  }
}
