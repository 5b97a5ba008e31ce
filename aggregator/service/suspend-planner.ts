/**
 * Carries out what policies ask about suspending VMs: once a step each VM that a rule means is looked at, and ordered for as a person
 * would. Input: the fleet as it is, the policy; output: orders. What failed is left alone for a while; maintenance, freeze windows and
 * kill switches hold here as elsewhere.
 */
import { errorText } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import { freezeAt } from '../core/plan/freeze.ts';
import type { FleetSnapshot, VmSnapshot } from '../core/plan/plan.ts';
import type { FleetPolicy } from '../core/plan/policy.ts';
import type { SuspendRule } from '../core/plan/suspend-rule.ts';
import { suspensionOf } from '../core/plan/suspension.ts';
import { type SuspendSubject, type SuspendWish, suspendWish } from '../core/resume/suspend-policy.ts';
import type { PrefetchTuner } from './prefetch-tuner.ts';
import type { ResumeCalendar } from './resume-calendar.ts';
import type { SuspendDesk } from './suspend-desk.ts';

/** What was ordered and did not come about is not ordered again before. */
const REST_MS = 30 * 60_000;

interface Watched {
  /** Below what its rule calls idle since then; null = it is not, or nobody knows. */
  idleSinceMs: number | null;
  /** Up, suspended or between since then, as far as this aggregator has seen. */
  phase: SuspendSubject['phase'];
  phaseSinceMs: number;
  restUntilMs: number;
}

export class SuspendPlanner {
  readonly #desk: SuspendDesk;
  readonly #calendar: ResumeCalendar;
  readonly #tuner: PrefetchTuner;
  readonly #log: Logger;
  readonly #watched = new Map<VmId, Watched>();

  constructor(desk: SuspendDesk, calendar: ResumeCalendar, tuner: PrefetchTuner, log: Logger) {
    this.#desk = desk;
    this.#tuner = tuner;
    this.#calendar = calendar;
    this.#log = log;
  }

  turn({ vms, nowMs, killSwitch }: FleetSnapshot, policy: FleetPolicy): void {
    const rules = policy.suspendRules ?? [];
    if (rules.length === 0 || killSwitch || policy.killSwitch) return;
    const byRule = Map.groupBy(vms, (vm) => rules.find(({ matches }) => matches(vm)));
    for (const [rule, those] of byRule) if (rule?.prefetch != null) this.#calendar.together(those.map(({ id }) => id));
    const frozen = freezeAt(nowMs, policy.freezeWindows) !== null;
    for (const vm of vms) {
      const rule = rules.find(({ matches }) => matches(vm));
      if (rule === undefined) continue;
      const watched = this.#look(vm, rule, nowMs);
      if (frozen || nowMs < watched.restUntilMs || suspensionOf(vm, policy, nowMs) !== null) continue;
      this.#order(vm, rule, watched, nowMs);
    }
    for (const id of this.#watched.keys()) if (!vms.some((vm) => vm.id === id)) this.#watched.delete(id);
  }

  #look(vm: VmSnapshot, rule: SuspendRule, nowMs: number): Watched {
    const phase = this.#phaseOf(vm);
    const watched = this.#watched.get(vm.id) ?? { idleSinceMs: null, phase, phaseSinceMs: nowMs, restUntilMs: 0 };
    if (watched.phase !== phase) Object.assign(watched, { phase, phaseSinceMs: nowMs });
    watched.idleSinceMs = phase === 'up' && isIdle(vm, rule) ? (watched.idleSinceMs ?? nowMs) : null;
    this.#watched.set(vm.id, watched);
    return watched;
  }

  #phaseOf(vm: VmSnapshot): SuspendSubject['phase'] {
    const phase = this.#desk.suspension(vm.id)?.phase ?? 'running';
    if (phase === 'suspended' || phase === 'prepared') return phase;
    return phase === 'running' && vm.state === 'ready' ? 'up' : 'between';
  }

  /** The rule as it was tuned for this VM: never earlier than it says itself; `share` 0 = nothing is to be made ready. */
  #tuned(vm: VmId, rule: SuspendRule, { phase }: Watched): { rule: SuspendRule; share: number } {
    if (rule.prefetch === null || (phase !== 'suspended' && phase !== 'prepared')) return { rule, share: 1 };
    const { share, leadMs } = this.#tuner.way(vm, rule);
    return { rule: { ...rule, prefetch: share === 0 ? null : { ...rule.prefetch, leadMs } }, share };
  }

  #order(vm: VmSnapshot, rule: SuspendRule, watched: Watched, nowMs: number): void {
    const tuned = this.#tuned(vm.id, rule, watched);
    const idleMs = watched.idleSinceMs === null ? null : nowMs - watched.idleSinceMs;
    const wishBy = (by: SuspendRule): SuspendWish | null => {
      const prediction = by.prefetch === null ? null : this.#calendar.predict(vm.id, nowMs, by.prefetch.leadMs);
      return suspendWish(by, { phase: watched.phase, idleMs, settledMs: nowMs - watched.phaseSinceMs, prediction }, nowMs);
    };
    const asSaid = wishBy(rule);
    if (asSaid?.action === 'prefetch') this.#tuner.noteExpected(vm.id);
    const wish = tuned.rule === rule ? asSaid : wishBy(tuned.rule);
    if (wish === null || this.#desk.busy(vm.id)) return;
    watched.restUntilMs = nowMs + REST_MS;
    // One that waits ready stays where it does.
    const to = rule.anyHost && watched.phase !== 'prepared' ? 'any' : null;
    try {
      if (wish.action === 'suspend') this.#desk.suspend(vm.id, wish.reason);
      else if (wish.action === 'resume') this.#desk.resume(vm.id, wish.reason, to);
      else {
        const { holdMs = 0, bytesPerSecondMax = null, priority = null } = rule.prefetch ?? {};
        this.#desk.prefetch(vm.id, { holdMs, bytesPerSecondMax, priority, share: tuned.share, to }, wish.reason);
      }
    } catch (error) {
      this.#log.info(`what a policy asks about suspending ${vm.name} is not done`, { vm: vm.id, wish, problem: errorText(error) });
    }
  }
}

/** What nobody knows is not idle. */
function isIdle({ demand }: VmSnapshot, { idle }: SuspendRule): boolean {
  if (idle === null || demand.cpu.usage === null || demand.network.usage === null || demand.disk.usage === null) return false;
  return demand.cpu.usage <= idle.cpuCores && demand.network.usage + demand.disk.usage <= idle.bytesPerSecond;
}
