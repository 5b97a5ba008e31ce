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
import type { ResumePrediction } from '../core/resume/resume-times.ts';
import { type SuspendSubject, suspendWish } from '../core/resume/suspend-policy.ts';
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

  /** How likely it is wanted within the lead, as the rule has it or as it was tuned; of the latter null where nothing is to be made ready. */
  #prediction(vm: VmId, rule: SuspendRule, { phase }: Watched, nowMs: number): { prediction: ResumePrediction | null; share: number } {
    if (rule.prefetch === null) return { prediction: null, share: 0 };
    const asSaid = this.#calendar.predict(vm, nowMs, rule.prefetch.leadMs);
    if (phase !== 'suspended' && phase !== 'prepared') return { prediction: asSaid, share: 1 };
    const { share, leadMs } = this.#tuner.way(vm, rule);
    if ((asSaid?.probability ?? 0) >= rule.prefetch.probability) this.#tuner.noteExpected(vm);
    if (share === 0) return { prediction: null, share };
    return { prediction: leadMs === rule.prefetch.leadMs ? asSaid : this.#calendar.predict(vm, nowMs, leadMs), share };
  }

  #order(vm: VmSnapshot, rule: SuspendRule, watched: Watched, nowMs: number): void {
    const { prediction, share } = this.#prediction(vm.id, rule, watched, nowMs);
    const idleMs = watched.idleSinceMs === null ? null : nowMs - watched.idleSinceMs;
    const wish = suspendWish(rule, { phase: watched.phase, idleMs, settledMs: nowMs - watched.phaseSinceMs, prediction }, nowMs);
    if (wish === null || this.#desk.busy(vm.id)) return;
    watched.restUntilMs = nowMs + REST_MS;
    try {
      if (wish.action === 'suspend') this.#desk.suspend(vm.id, wish.reason);
      else if (wish.action === 'resume') this.#desk.resume(vm.id, wish.reason);
      else {
        const { holdMs = 0, bytesPerSecondMax = null, priority = null } = rule.prefetch ?? {};
        this.#desk.prefetch(vm.id, { holdMs, bytesPerSecondMax, priority, share }, wish.reason);
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
