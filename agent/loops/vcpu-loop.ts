/**
 * vCPUs that a guest takes offline for us: orders passed on to it, its answers noted, and all of them brought back when they
 * are needed at once, or when nobody may hold them any more (kill switch, lease, label, foreign writer). Input: orders,
 * results, looks; output: guest commands, events, and what the inventory tells.
 */
import type { VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { mayChangeVcpus } from '../core/eligibility.ts';
import { NO_HOLD, outgrown } from '../core/vcpu-hold.ts';
import { type HostContext, tell } from './host-context.ts';
import { isUp, type VmEntry } from './vm-table.ts';

type GuestCommand = FrameOf<'guest-command'>;

/** Commands that this host gives by itself. */
const OWN = 'host/';
/** A guest that did not answer is asked again. */
const RETRY_MS = 5000;
/** As long must its vCPUs be saturated: a burst of a second is what they are there for. */
const SATURATED_MS = 2000;

interface Watched {
  /** Orders of the aggregator not answered yet, and how many they mean. */
  asked: Map<string, number>;
  /** Since when its vCPUs have all been busy, by our monotonic clock; null = they are not. */
  busySinceMs: number | null;
  askedAtMs: number;
  /** Why all are being brought back; null = it is only made certain at a session's beginning. */
  why: string | null;
  /** They come back because the guest needs them, and not because nobody may hold them any more. */
  needed: boolean;
}

export class VcpuLoop {
  readonly #context: HostContext;
  readonly #send: (command: GuestCommand) => boolean;
  readonly #watched = new Map<VmId, Watched>();
  #orders = 0;

  constructor(context: HostContext, send: (command: GuestCommand) => boolean) {
    this.#context = context;
    this.#send = send;
  }

  /** A guest agent came (and says whether it can put back what it takes down) or went. */
  guest(vm: VmId, able: boolean): void {
    const entry = this.#context.table.get(vm);
    this.#watched.delete(vm);
    if (entry === undefined) return;
    entry.vcpuHold = { ...NO_HOLD, able };
    this.#context.changed();
    // It may still hold what an agent before this one had asked for.
    if (able) this.#bringBack(entry, null);
  }

  /** False: there is nobody to tell. */
  pass(command: GuestCommand): boolean {
    if (!this.#send(command)) return false;
    const { vm, commandId, action } = command;
    if (action.kind === 'cpus-online') this.#watch(vm as VmId).asked.set(commandId, action.vcpus);
    return true;
  }

  /** True: it answers an order of our own, of which the aggregator knows nothing. */
  result(result: FrameOf<'result'>): boolean {
    const entry = this.#context.table.get(result.vm as VmId);
    const own = result.commandId.startsWith(OWN);
    if (entry !== undefined && own) this.#noteOwn(entry, result);
    else if (entry !== undefined) this.#noteAsked(entry, result);
    return own;
  }

  /** With each look. */
  tick(): void {
    for (const entry of this.#context.table.values()) this.#look(entry);
  }

  #watch(vm: VmId): Watched {
    let found = this.#watched.get(vm);
    if (found === undefined) {
      found = { asked: new Map(), busySinceMs: null, askedAtMs: Number.NEGATIVE_INFINITY, why: null, needed: false };
      this.#watched.set(vm, found);
    }
    return found;
  }

  /** Whatever their number is, all come back. */
  #bringBack(entry: VmEntry, why: string | null): void {
    const { clock, host, changed } = this.#context;
    const state = this.#watch(entry.id);
    state.askedAtMs = clock.monotonicMs();
    state.busySinceMs = null;
    state.why = why ?? state.why;
    const commandId = `${OWN}${entry.id}/${++this.#orders}`;
    entry.vcpuHold = { ...entry.vcpuHold, restoring: commandId };
    changed();
    // An older answer on its way says nothing of what is true after this one.
    state.asked.clear();
    this.#send({
      type: 'guest-command',
      commandId,
      vm: entry.id,
      pair: { epoch: host.lease?.epoch ?? 0, generation: 0 },
      action: { kind: 'cpus-online', vcpus: Math.max(1, entry.facts?.vcpusOnline ?? 1), original: true },
    });
  }

  #noteOwn(entry: VmEntry, { commandId, outcome, reason }: FrameOf<'result'>): void {
    const state = this.#watch(entry.id);
    if (entry.vcpuHold.restoring !== commandId) return;
    if (outcome !== 'applied') {
      this.#context.log.warn('vCPUs are not all back yet', { vm: entry.id, reason });
      return;
    }
    const before = entry.vcpuHold.online;
    entry.vcpuHold = { ...entry.vcpuHold, online: null, restoring: null };
    this.#context.changed();
    const { why, needed } = state;
    Object.assign(state, { why: null, needed: false });
    if (why === null) return;
    const vcpus = before === null ? {} : { vcpus: { from: before, needed } };
    tell(this.#context, 'restored', `${entry.name}: all its vCPUs are online again: ${why}`, { vm: entry.id, resource: 'cpu', ...vcpus });
  }

  #noteAsked(entry: VmEntry, { commandId, outcome, vcpusOnline }: FrameOf<'result'>): void {
    const state = this.#watch(entry.id);
    const asked = state.asked.get(commandId);
    if (asked === undefined || !state.asked.delete(commandId) || outcome === 'refused') return;
    if (outcome !== 'applied') {
      this.#bringBack(entry, 'an order about them failed half-way');
      return;
    }
    const all = entry.facts?.vcpusOnline ?? 0;
    const online = Math.max(1, vcpusOnline ?? asked);
    entry.vcpuHold = { ...entry.vcpuHold, online: asked >= all || online >= all ? null : online };
    state.busySinceMs = null;
    this.#context.changed();
  }

  #look(entry: VmEntry): void {
    const { able, online, restoring } = entry.vcpuHold;
    if (!able) return;
    const state = this.#watch(entry.id);
    if (restoring !== null) {
      if (this.#context.clock.monotonicMs() - state.askedAtMs >= RETRY_MS) this.#bringBack(entry, null);
      return;
    }
    if (online === null) return;
    const must = mustEnd(this.#context, entry);
    const why = must ?? this.#needed(entry, online, state);
    state.needed = must === null && why !== null;
    if (why !== null) this.#bringBack(entry, why);
  }

  #needed(entry: VmEntry, online: number, state: Watched): string | null {
    const { cpu } = entry.current;
    const vcpus = Math.max(1, entry.facts?.vcpusOnline ?? 1);
    const use = {
      usageCores: entry.fast?.usageCores ?? Number.NaN,
      capCores: cpu?.resource === 'cpu' ? cpu.capCores : null,
      waitingCores: (entry.fast?.waitFraction ?? Number.NaN) * vcpus,
      vcpus,
      online,
    };
    const found = outgrown(use);
    if (found === null) {
      state.busySinceMs = null;
      return null;
    }
    const nowMs = this.#context.clock.monotonicMs();
    state.busySinceMs ??= nowMs;
    if (nowMs - state.busySinceMs < SATURATED_MS) return null;
    const cores = `it uses ${use.usageCores.toFixed(2)} cores`;
    if (found === 'beyond') return `${cores}, more than the ${online} it says are online`;
    const waits = use.waitingCores > 0 ? ` and waits for ${use.waitingCores.toFixed(2)}` : '';
    return `${cores}${waits} of the ${online} that were online`;
  }
}

/** Why nobody may keep vCPUs of this VM offline any more; null = it is as it should be. */
function mustEnd({ host }: HostContext, entry: VmEntry): string | null {
  const killed = host.killed.host ?? host.killed.vms.get(entry.id);
  if (killed !== undefined && killed !== null) return `kill switch: ${killed}`;
  if (host.leaseOut) return 'no aggregator renewed the lease';
  return vcpuRefusal(entry);
}

/** Why the number of its vCPUs is left alone; null = it may be changed. */
export function vcpuRefusal(entry: VmEntry): string | null {
  if (entry.facts === null || !mayChangeVcpus(entry.facts))
    return 'the number of its vCPUs is left alone: the VM is not labelled vcpus=allow';
  if (!isUp(entry)) return 'the VM is not running';
  if (!entry.eligibility.cpu.allowed) return `its CPU is never changed: ${entry.eligibility.cpu.reason}`;
  const hold = entry.record.holds.cpu;
  return hold === undefined ? null : `hands off: ${hold.reason}`;
}

/** How many are online, for the aggregator; null = nobody is to change it now. */
export function vcpusTold(entry: VmEntry): number | null {
  const { able, online, restoring } = entry.vcpuHold;
  if (!able || restoring !== null || !entry.guestAgent || entry.facts === null) return null;
  return mayChangeVcpus(entry.facts) && isUp(entry) && entry.facts.vcpusOnline > 1 ? (online ?? entry.facts.vcpusOnline) : null;
}
