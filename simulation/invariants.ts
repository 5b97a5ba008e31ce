/**
 * What must hold at every instant, whatever goes wrong: physical facts of the hosts, the fences, and what the rules of
 * safety promise. Input: hosts and what happened to them; output: broken invariants, each told once, in words.
 */
import type { SimulatedVm } from '../agent/hypervisor/simulated-vm.ts';
import type { VmId } from '../shared/ids.ts';
import { type Resource, type Setting, sameSetting } from '../shared/resources.ts';
import type { HostNode } from './host-node.ts';

export interface BrokenInvariant {
  rule: string;
  atMs: number;
  message: string;
}

/** Least CPU cap a vCPU may ever be given. */
const CAP_PER_VCPU_MIN = 0.2;
/** How long an agent may take to notice a foreign value: its pace of reading, and some for a busy queue. */
const NOTICE_MS = 90_000;
/** A balloon that the agent never sent anywhere may still be on its way from the guest's boot for so long after it starts, or is first seen. */
const BALLOON_SETTLES_MS = 240_000;
/** A guest whose host is silent puts its vCPUs back after three minutes; its link may take some time to notice. */
const VCPUS_BACK_MS = 300_000;
/** Busy on all that are online, it gets the rest: at once from its host, or at the latest when that one is found silent. */
const BUSY_SHARE = 0.95;
/** Broken invariants beyond this many say nothing new. */
const BROKEN_MAX = 50;

interface ForeignWrite {
  setting: Setting;
  atMs: number;
  untilMs: number;
  /** Set while no agent could know better, where none had written: then it is what the agent finds, like any before it came. */
  foundAtStart: boolean;
}

type ForeignWrites = Partial<Record<Resource, ForeignWrite>>;
type Truth = Readonly<SimulatedVm>;

export class Invariants {
  readonly broken: BrokenInvariant[] = [];
  readonly #seen = new Set<string>();
  readonly #foreign = new Map<VmId, ForeignWrites>();
  readonly #noLease = new Set<string>();
  readonly #targets = new Map<VmId, number>();
  readonly #vcpusDueMs = new Map<VmId, number>();
  readonly #hostOoms = new Map<string, number>();
  readonly #liars: ReadonlySet<VmId>;
  readonly #guestOoms = new Map<VmId, number>();
  #checkedAtMs = Number.NEGATIVE_INFINITY;
  readonly #startedAtMs = new Map<VmId, number>();

  constructor(liars: ReadonlySet<VmId>) {
    this.#liars = liars;
  }

  /** Somebody wrote this; until the hold ends nobody may change it. */
  foreignWritten(vm: VmId, setting: Setting, nowMs: number, holdMs: number): void {
    const written = this.#foreign.get(vm) ?? {};
    written[setting.resource] = { setting, atMs: nowMs, untilMs: nowMs + holdMs, foundAtStart: false };
    this.#foreign.set(vm, written);
  }

  /** What somebody else set last, which a restore must leave alone. */
  foreignOf(vm: VmId, resource: Resource): Setting | null {
    return this.#foreign.get(vm)?.[resource]?.setting ?? null;
  }

  /** Live values are gone, and what was known of them. */
  startedAnew(vm: VmId, nowMs: number): void {
    this.#startedAtMs.set(vm, nowMs);
    this.#foreign.delete(vm);
    this.#targets.delete(vm);
    this.#guestOoms.delete(vm);
  }

  check(hosts: readonly HostNode[], nowMs: number): void {
    const sinceMs = this.#checkedAtMs;
    this.#checkedAtMs = nowMs;
    for (const host of hosts) {
      this.#hostMemory(host, nowMs);
      this.#fences(host, nowMs);
      const noLease = !host.agentRuns || host.leaseOut;
      // A shrink just before the lease ran out is seen only now: what counts is having had none since the last look.
      const hadNone = this.#noLease.has(host.id);
      if (noLease) this.#noLease.add(host.id);
      else this.#noLease.delete(host.id);
      for (const id of host.vmIds) {
        const vm = host.hypervisor.truth(id);
        this.#guestMemory(id, vm, nowMs);
        // Leased, and dead again, between two looks.
        const leased = host.leasedWriteMs(id) > sinceMs;
        this.#nothingShrinksWithoutLease(id, vm, noLease && hadNone && !leased, nowMs);
        this.#vcpusBack(id, vm, noLease, nowMs);
        const foreign = this.#foreign.get(id);
        this.#caps(id, vm, foreign, nowMs);
        if (foreign) this.#foreignKept(host, id, vm, foreign, nowMs);
      }
    }
  }

  #hostMemory(host: HostNode, nowMs: number): void {
    const { hostOomTicks } = host.hypervisor.oracle();
    if (hostOomTicks > (this.#hostOoms.get(host.id) ?? 0)) this.#report('host-memory', nowMs, `host ${host.id} ran out of memory`, host.id);
    this.#hostOoms.set(host.id, hostOomTicks);
  }

  #fences(host: HostNode, nowMs: number): void {
    for (const regression of host.files.regressions.splice(0))
      this.#report('generations', nowMs, `on host ${host.id}, ${regression}`, host.id);
  }

  /** A guest whose OOM killer had to act, unless it lied about what it needs: then it harmed itself. */
  #guestMemory(id: VmId, { guestOoms, options }: Truth, nowMs: number): void {
    if (guestOoms === 0) return;
    const before = this.#guestOoms.get(id) ?? 0;
    this.#guestOoms.set(id, guestOoms);
    if (guestOoms > before && !this.#liars.has(id))
      this.#report('guest-memory', nowMs, `${options.name} was squeezed below its working set`, id);
  }

  #caps(id: VmId, { cpu, options }: Truth, foreign: ForeignWrites | undefined, nowMs: number): void {
    if (cpu.capCores === null || cpu.capCores >= CAP_PER_VCPU_MIN * options.vcpus - 1e-6) return;
    if (foreign?.cpu && sameSetting(foreign.cpu.setting, cpu)) return;
    this.#report('cap-minimum', nowMs, `${options.name} has a cap of ${cpu.capCores} cores over ${options.vcpus} vCPUs`, id);
  }

  /** vCPUs stay offline neither with nobody to hold them so, nor from a guest that needs them. */
  #vcpusBack(id: VmId, { vcpusOnline, usageCores, options }: Truth, noLease: boolean, nowMs: number): void {
    const needed = noLease || usageCores >= BUSY_SHARE * vcpusOnline;
    if (vcpusOnline >= options.vcpus || !needed) {
      this.#vcpusDueMs.delete(id);
      return;
    }
    const dueMs = this.#vcpusDueMs.get(id) ?? nowMs + VCPUS_BACK_MS;
    this.#vcpusDueMs.set(id, dueMs);
    const why = noLease ? 'without a lease' : `though it uses ${usageCores.toFixed(2)} cores`;
    if (nowMs > dueMs) this.#report('vcpus', nowMs, `${options.name} has ${vcpusOnline} of ${options.vcpus} vCPUs online, ${why}`, id);
  }

  #foreignKept(host: HostNode, id: VmId, vm: Truth, foreign: ForeignWrites, nowMs: number): void {
    for (const resource of ['cpu', 'memory'] as const) {
      const written = foreign[resource];
      if (!written) continue;
      // An agent whose first reading was refused cannot know what was there before its second, which the write itself may have brought about.
      const sinceMs = Math.max(host.knowsSinceMs(id, resource), this.#startedAtMs.get(id) ?? 0);
      const knows = written.atMs > sinceMs + (resource === 'cpu' ? 0 : BALLOON_SETTLES_MS);
      if (nowMs < written.atMs + NOTICE_MS) written.foundAtStart ||= !knows && !host.files.wrote(id, resource);
      if (nowMs < written.atMs + NOTICE_MS || nowMs > written.untilMs || written.foundAtStart) continue;
      const now: Setting = resource === 'cpu' ? vm.cpu : { resource: 'memory', memoryMiB: vm.balloonTargetMiB };
      if (!sameSetting(now, written.setting)) {
        const message = `${vm.options.name}: somebody set ${JSON.stringify(written.setting)}, and it was changed to ${JSON.stringify(now)}`;
        this.#report('foreign-writer', nowMs, message, `${id} ${resource}`);
      }
    }
  }

  #nothingShrinksWithoutLease(id: VmId, { balloonTargetMiB, options }: Truth, noLease: boolean, nowMs: number): void {
    const before = this.#targets.get(id);
    if (before === balloonTargetMiB) return;
    this.#targets.set(id, balloonTargetMiB);
    if (before === undefined || !noLease || balloonTargetMiB >= before - 1) return;
    const foreign = this.#foreign.get(id)?.memory;
    if (foreign && sameSetting(foreign.setting, { resource: 'memory', memoryMiB: balloonTargetMiB })) return;
    this.#report('lease', nowMs, `memory of ${options.name} was shrunk from ${before} to ${balloonTargetMiB} MiB without a lease`, id);
  }

  /** Also for checks that others make: convergence, restore, sums. */
  report(rule: string, nowMs: number, message: string): void {
    this.#report(rule, nowMs, message, message);
  }

  #report(rule: string, atMs: number, message: string, about: string): void {
    const key = `${rule} ${about}`;
    if (this.#seen.has(key) || this.broken.length >= BROKEN_MAX) return;
    this.#seen.add(key);
    this.broken.push({ rule, atMs, message });
  }
}
