/**
 * What must hold at every instant, whatever goes wrong: physical facts of the hosts, the fences, and what the rules of
 * safety promise. Input: hosts and what happened to them; output: broken invariants, each told once, in words.
 */
import type { VmId } from '../shared/ids.ts';
import { RESOURCES, type Resource, type Setting, sameSetting } from '../shared/resources.ts';
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
/** Broken invariants beyond this many say nothing new. */
const BROKEN_MAX = 50;

interface ForeignWrite {
  setting: Setting;
  atMs: number;
  untilMs: number;
  /** Set while no agent could know better, where none had written: then it is what the agent finds, like any before it came. */
  foundAtStart: boolean;
}

export class Invariants {
  readonly broken: BrokenInvariant[] = [];
  readonly #seen = new Set<string>();
  readonly #foreign = new Map<string, ForeignWrite>();
  readonly #noLease = new Set<string>();
  readonly #targets = new Map<string, number>();
  readonly #oracles = new Map<string, { hostOom: number }>();
  readonly #liars: ReadonlySet<VmId>;
  readonly #guestOoms = new Map<VmId, number>();
  readonly #startedAtMs = new Map<VmId, number>();

  constructor(liars: ReadonlySet<VmId>) {
    this.#liars = liars;
  }

  /** Somebody wrote this; until the hold ends nobody may change it. */
  foreignWritten(vm: VmId, setting: Setting, nowMs: number, holdMs: number): void {
    this.#foreign.set(`${vm} ${setting.resource}`, { setting, atMs: nowMs, untilMs: nowMs + holdMs, foundAtStart: false });
  }

  /** What somebody else set last, which a restore must leave alone. */
  foreignOf(vm: VmId, resource: Resource): Setting | null {
    return this.#foreign.get(`${vm} ${resource}`)?.setting ?? null;
  }

  /** Live values are gone, and what was known of them. */
  startedAnew(vm: VmId, nowMs: number): void {
    this.#startedAtMs.set(vm, nowMs);
    for (const resource of RESOURCES) this.#foreign.delete(`${vm} ${resource}`);
    this.#targets.delete(vm);
    this.#guestOoms.delete(vm);
  }

  check(hosts: readonly HostNode[], nowMs: number): void {
    for (const host of hosts) {
      this.#hostMemory(host, nowMs);
      this.#fences(host, nowMs);
      const noLease = !host.agentRuns || host.agentMetrics?.agent_lease_out === 1;
      // A shrink just before the lease ran out is seen only now: what counts is having had none since the last look.
      const hadNone = this.#noLease.has(host.id);
      if (noLease) this.#noLease.add(host.id);
      else this.#noLease.delete(host.id);
      for (const vm of host.vmIds) {
        this.#guestMemory(host, vm, nowMs);
        this.#caps(host, vm, nowMs);
        this.#foreignKept(host, vm, nowMs);
        this.#nothingShrinksWithoutLease(host, vm, noLease && hadNone, nowMs);
      }
    }
  }

  #hostMemory(host: HostNode, nowMs: number): void {
    const { hostOomTicks } = host.hypervisor.oracle();
    const before = this.#oracles.get(host.id)?.hostOom ?? 0;
    if (hostOomTicks > before) this.#report('host-memory', nowMs, `host ${host.id} ran out of memory`, host.id);
    this.#oracles.set(host.id, { hostOom: hostOomTicks });
  }

  #fences(host: HostNode, nowMs: number): void {
    for (const regression of host.files.regressions.splice(0))
      this.#report('generations', nowMs, `on host ${host.id}, ${regression}`, host.id);
  }

  /** A guest whose OOM killer had to act, unless it lied about what it needs: then it harmed itself. */
  #guestMemory(host: HostNode, vm: VmId, nowMs: number): void {
    const { guestOoms, options } = host.hypervisor.truth(vm);
    const before = this.#guestOoms.get(vm) ?? 0;
    this.#guestOoms.set(vm, guestOoms);
    if (guestOoms > before && !this.#liars.has(vm))
      this.#report('guest-memory', nowMs, `${options.name} was squeezed below its working set`, vm);
  }

  #caps(host: HostNode, vm: VmId, nowMs: number): void {
    const { cpu, options } = host.hypervisor.truth(vm);
    const foreign = this.#foreign.get(`${vm} cpu`);
    if (cpu.capCores === null || (foreign && sameSetting(foreign.setting, cpu))) return;
    if (cpu.capCores < CAP_PER_VCPU_MIN * options.vcpus - 1e-6) {
      this.#report('cap-minimum', nowMs, `${options.name} has a cap of ${cpu.capCores} cores over ${options.vcpus} vCPUs`, vm);
    }
  }

  #foreignKept(host: HostNode, vm: VmId, nowMs: number): void {
    for (const resource of ['cpu', 'memory'] as const) {
      const written = this.#foreign.get(`${vm} ${resource}`);
      if (!written) continue;
      const beganMs = Math.max(host.agentStartedAtMs, this.#startedAtMs.get(vm) ?? 0);
      const knows = host.agentRuns && (resource === 'cpu' || written.atMs >= beganMs + BALLOON_SETTLES_MS);
      if (nowMs < written.atMs + NOTICE_MS) written.foundAtStart ||= !knows && !host.files.wrote(vm, resource);
      if (nowMs < written.atMs + NOTICE_MS || nowMs > written.untilMs || written.foundAtStart) continue;
      const truth = host.hypervisor.truth(vm);
      const now: Setting = resource === 'cpu' ? truth.cpu : { resource: 'memory', memoryMiB: truth.balloonTargetMiB };
      if (!sameSetting(now, written.setting)) {
        const message = `${truth.options.name}: somebody set ${JSON.stringify(written.setting)}, and it was changed to ${JSON.stringify(now)}`;
        this.#report('foreign-writer', nowMs, message, `${vm} ${resource}`);
      }
    }
  }

  #nothingShrinksWithoutLease(host: HostNode, vm: VmId, noLease: boolean, nowMs: number): void {
    const { balloonTargetMiB, options } = host.hypervisor.truth(vm);
    const before = this.#targets.get(vm);
    this.#targets.set(vm, balloonTargetMiB);
    if (before === undefined || !noLease || balloonTargetMiB >= before - 1) return;
    const foreign = this.#foreign.get(`${vm} memory`);
    if (foreign && sameSetting(foreign.setting, { resource: 'memory', memoryMiB: balloonTargetMiB })) return;
    this.#report('lease', nowMs, `memory of ${options.name} was shrunk from ${before} to ${balloonTargetMiB} MiB without a lease`, vm);
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
