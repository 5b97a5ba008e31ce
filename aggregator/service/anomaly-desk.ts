/**
 * What is done about VMs that went wrong: people are told, live state learns of it (the planner takes nothing, models learn
 * nothing of it), and what policy asks beyond that is linted, carried out by the VM's host and written down. Input: the watch's
 * incidents, snapshots, results, people's words; output: frames, ledger entries, events, notifications.
 */
import { HeadroomError } from '../../shared/errors.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { IsolationMeans, VmAction } from '../../shared/protocol/vm-action-frames.ts';
import { RESOURCES, type Resource } from '../../shared/resources.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import type { Feedback } from '../core/anomaly/feedback.ts';
import type { FleetChange } from '../core/anomaly/fleet-incidents.ts';
import type { Incident } from '../core/anomaly/incident.ts';
import { type ActionTaken, askedActions } from '../core/anomaly/incident-actions.ts';
import type { KnownEvent } from '../core/anomaly/known-events.ts';
import type { Peers } from '../core/anomaly/peers.ts';
import { capabilityFor, lintAction } from '../core/lint/action-rules.ts';
import { anomalyPolicyOf } from '../core/plan/anomaly-policy.ts';
import type { FleetSnapshot, PlanStep, VmIncident, VmSnapshot } from '../core/plan/plan.ts';
import { suspensionOf } from '../core/plan/suspension.ts';
import type { FleetState } from '../core/state/fleet-state.ts';
import type { ActionEnded, VmActions } from '../execute/vm-actions.ts';
import type { IncidentView } from '../http/service.ts';
import { AnomalyWatch } from './anomaly-watch.ts';
import type { IncidentReporter } from './incident-reporter.ts';
import type { KeptIncidents } from './kept-incidents.ts';
import type { SteadyTime } from './steady-time.ts';

export interface AnomalyDeskOptions {
  stepMs: number;
  /** Absent = as built in. */
  learningSteps?: number | undefined;
  time: SteadyTime;
  state: FleetState;
  reporter: IncidentReporter;
  actions: VmActions;
  kept: KeptIncidents;
  understands: (host: HostId, capability: string) => boolean;
  /** Finds VMs that stand apart from their class; absent = nobody compares. */
  peers?: Peers | undefined;
}

const HOUR_MS = 3_600_000;
/** What an isolation or a restart does to the metrics is felt for so long after it. */
const FELT_MS = 10 * 60_000;

export class AnomalyDesk {
  readonly #options: AnomalyDeskOptions;
  readonly #watch: AnomalyWatch;
  /** Within the last hour. */
  #taken: ActionTaken[] = [];
  /** Incident and action: each is asked for once. */
  readonly #tried = new Set<string>();
  #changed: { change: FleetChange; incident: IncidentView }[] = [];
  readonly counters = { opened: 0, alerted: 0, explained: 0, refusedActions: 0 };

  constructor(options: AnomalyDeskOptions) {
    this.#options = options;
    this.#watch = new AnomalyWatch(options.stepMs, (change, incident) => this.#changed.push({ change, incident }), options.learningSteps);
  }

  /** Once a step, after it has ended. Answers what was seen, as rows of the VMs' series. `giveWay` lets others have their turn. */
  async step(snapshot: FleetSnapshot, giveWay: () => Promise<void>): Promise<TelemetryBlock[]> {
    this.#rememberWatches(snapshot);
    this.#comparePeers(snapshot);
    const blocks = await this.#watch.step(snapshot, giveWay);
    for (const { change, incident } of this.#changed.splice(0)) this.#changedNow(change, incident, snapshot);
    return blocks;
  }

  noteSent(step: PlanStep, atMs: number): void {
    this.#watch.noteSent(step, atMs);
  }

  noteOutcome(step: PlanStep, done: boolean | null, atMs: number): void {
    this.#watch.noteOutcome(step, done, atMs);
  }

  remove(vm: VmId): void {
    this.#options.peers?.remove(vm);
    this.#watch.remove(vm, this.#options.time.nowMs());
  }

  /**
   * What an earlier run knew. What it did counts against the limits as if we had done it, and is not done again for the same
   * incident. Rejects when the ledger fails.
   */
  async recall(): Promise<void> {
    const memory = await this.#options.kept.load();
    if (memory === null) return;
    const nowMs = this.#options.time.nowMs();
    this.#watch.recall(memory, nowMs);
    for (const { id, host, actions } of memory.incidents) {
      for (const { action, outcome, atMs } of actions) {
        if (outcome === 'refused') continue;
        this.#tried.add(`${id}/${action}`);
        if (nowMs - atMs < HOUR_MS) this.#taken.push({ host, atMs });
      }
    }
  }

  /** There is more to keep than was kept last. */
  get changed(): boolean {
    return this.#watch.changed;
  }

  /** For the next run. Rejects when the ledger fails; then there is still something to keep. */
  async keep(): Promise<void> {
    const memory = this.#watch.takeMemory();
    try {
      await this.#options.kept.save(memory);
    } catch (error) {
      this.#watch.changed = true;
      throw error;
    }
  }

  /** Newest first. */
  incidents(): IncidentView[] {
    return this.#watch.incidents();
  }

  metrics(): Record<string, number> {
    const { time, actions } = this.#options;
    const open = this.incidents().filter(({ endMs, explainedBy }) => endMs === null && explainedBy === null).length;
    const ended = Object.entries(actions.counters).map(([outcome, count]) => [`vm_actions_${outcome}_total`, count]);
    return {
      incidents_open: open,
      incidents_total: this.counters.opened,
      incidents_alerted_total: this.counters.alerted,
      incidents_explained_total: this.counters.explained,
      anomaly_storm: this.#watch.storms(time.nowMs()) ? 1 : 0,
      vm_actions_held_back_total: this.counters.refusedActions,
      ...Object.fromEntries(ended),
    };
  }

  /** A deployment, a load test: what begins while it lasts needs nobody. Written down. */
  addKnownEvent(event: KnownEvent, by: string): void {
    this.#watch.addKnownEvent(event);
    this.#options.reporter.knownEvent(event, by);
  }

  /** Throws NOT_FOUND for an incident that is not remembered. */
  judge(id: string, feedback: Feedback, by: string, dryRun = false): IncidentView {
    const { time, reporter, state } = this.#options;
    const known = this.#watch.incident(id);
    if (known === null) throw new HeadroomError('NOT_FOUND', `no incident "${id}" is remembered; GET /v1/anomalies lists them`);
    if (dryRun) return { ...known, feedback };
    const judged = this.#watch.judge(known, feedback, time.nowMs());
    reporter.judged(judged, feedback, by);
    const record = state.vm(judged.vm as VmId);
    if (record) record.incident = this.#incidentOf(judged.vm as VmId);
    return judged;
  }

  /** Ends an isolation before its time. */
  async release(vm: VmId, by: string, dryRun = false): Promise<ActionEnded> {
    const record = this.#options.state.vm(vm);
    if (record === undefined) throw new HeadroomError('NOT_FOUND', `no VM ${vm} is known`);
    if (dryRun) return { outcome: 'skipped', reason: `only tried: host ${record.host} would be asked` };
    return this.#carryOut(record.host, vm, { action: 'release', means: 'link', forMs: 0, reason: `asked by ${by}` });
  }

  stop(): void {
    this.#options.actions.stop();
  }

  onResult(result: FrameOf<'vm-action-result'>): void {
    this.#options.actions.onResult(result);
  }

  /** What is known of each VM goes with its models, and comes back with them. */
  #rememberWatches({ vms }: FleetSnapshot): void {
    for (const vm of vms) {
      const record = this.#options.state.vm(vm.id);
      if (record && record.watch.live === null) record.watch.take(this.#watch.memoryOf(vm));
    }
  }

  /** By the class, else the template, that its administrator named. */
  #comparePeers({ vms }: FleetSnapshot): void {
    const { peers } = this.#options;
    if (peers === undefined) return;
    const classes = new Map<string, VmSnapshot[]>();
    const due = new Set<string>();
    for (const vm of vms) {
      const name = vm.labels.class ?? vm.labels.template;
      const { usage } = vm.demand.cpu;
      if (name === undefined || usage === null || vm.state !== 'ready') continue;
      classes.set(name, [...(classes.get(name) ?? []), vm]);
      if (peers.note(vm.id, usage / Math.max(1, vm.vcpus))) due.add(name);
    }
    for (const name of due) {
      const members = classes.get(name) ?? [];
      const apart = new Set(peers.look(members.map(({ id }) => id)));
      for (const vm of members) if (apart.has(vm.id)) this.#watch.memoryOf(vm).standsApart();
    }
  }

  #changedNow(change: FleetChange, incident: IncidentView, snapshot: FleetSnapshot): void {
    const { state, reporter } = this.#options;
    const { policy } = state;
    const vm = incident.vm as VmId;
    const record = state.vm(vm);
    const suspended = record && suspensionOf(record.matched, policy, snapshot.nowMs);
    if (record) record.incident = this.#incidentOf(vm);
    const asked = record && anomalyPolicyOf(policy, record.matched);
    if (change.change === 'opened') this.counters[incident.explainedBy === null ? 'opened' : 'explained']++;
    const alert = change.alert && asked?.alert === true && !suspended;
    if (alert && change.change === 'opened') this.counters.alerted++;
    reporter.incident({ ...change, alert }, incident);
    if (change.change !== 'closed' && asked) for (const action of askedActions(incident, asked)) this.#ask(action, incident, snapshot);
  }

  #ask(asked: ReturnType<typeof askedActions>[number], incident: IncidentView, snapshot: FleetSnapshot): void {
    const { state, understands, reporter } = this.#options;
    const { nowMs } = snapshot;
    const key = `${incident.id}/${asked.action}`;
    if (this.#tried.has(key)) return;
    this.#taken = this.#taken.filter(({ atMs }) => nowMs - atMs < HOUR_MS);
    const host = asked.host as HostId;
    const ground = { incident, storm: this.#watch.storms(nowMs), snapshot, policy: state.policy, taken: this.#taken };
    const problem = lintAction(asked, { ...ground, understands: understands(host, capabilityFor(asked)) });
    if (problem !== null) {
      // What holds it back may pass while the incident goes on: it is told once, and looked at again.
      if (incident.actions.some(({ action, reason }) => action === asked.action && reason === problem)) return;
      this.counters.refusedActions++;
      this.#watch.noteAction(incident.id, { action: asked.action, outcome: 'refused', reason: problem, atMs: nowMs });
      reporter.action(asked.vm as VmId, host, asked.action, { outcome: 'refused', reason: problem });
      return;
    }
    if (this.#tried.size > 10_000) this.#tried.clear();
    this.#tried.add(key);
    this.#taken.push({ host: asked.host, atMs: nowMs });
    void this.#carryOut(host, asked.vm as VmId, asked).then(({ outcome, reason }) => {
      this.#watch.noteAction(incident.id, { action: asked.action, outcome, reason, atMs: this.#options.time.nowMs() });
    });
  }

  #carryOut(
    host: HostId,
    vm: VmId,
    asked: { action: VmAction; means: IsolationMeans; forMs: number; reason: string },
  ): Promise<ActionEnded> {
    const { actions, reporter, time } = this.#options;
    const fromMs = time.nowMs();
    const why = { isolate: 'its network is cut off by us', release: 'its network is given back by us', restart: 'it is restarted by us' };
    this.#watch.addKnownEvent({ vm, fromMs, toMs: fromMs + asked.forMs + FELT_MS, why: why[asked.action] });
    reporter.action(vm, host, asked.action, { outcome: 'asked', reason: asked.reason });
    return new Promise((resolve) => {
      actions.carryOut(host, { ...asked, vm }, (ended) => {
        reporter.action(vm, host, asked.action, ended);
        resolve(ended);
      });
    });
  }

  #incidentOf(vm: VmId): VmIncident | null {
    const incident = this.#watch.open(vm);
    if (incident === null) return null;
    const { kind, startMs: sinceMs, vouched } = incident;
    return { kind, sinceMs, resource: resourceOf(incident), vouched };
  }
}

/** What of that is allocated it shows in most. */
function resourceOf({ contributors }: Incident): Resource | null {
  const metric = contributors[0]?.name.split(': ')[0];
  if (metric === 'steal') return 'cpu';
  return RESOURCES.find((resource) => resource === metric) ?? null;
}
