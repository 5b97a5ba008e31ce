/**
 * The aggregator, put together: ingest, live state, forecasts, plans, lint, executor, loops, and the service that people and
 * programs read. Input: a clock, a generator, stores, a policy source, configuration; output: something that takes
 * connections and answers. No process, socket or file is touched here, so simulation and tests build the very same.
 */
import type { Clock } from '../shared/clock.ts';
import { sleep } from '../shared/clock.ts';
import { errorText } from '../shared/errors.ts';
import type { HostId, VmId } from '../shared/ids.ts';
import type { Logger } from '../shared/log.ts';
import type { Transport } from '../shared/net/transport.ts';
import type { Prng } from '../shared/prng.ts';
import { POOL_CAPABILITY } from '../shared/protocol/frames.ts';
import { RESOURCES } from '../shared/resources.ts';
import type { DecisionConfig } from './config.ts';
import type { FitService, Fitting } from './core/forecast/fitted/fit.ts';
import { forecasterFactory } from './core/forecast/registry.ts';
import type { FleetSnapshot } from './core/plan/plan.ts';
import { differenceLines, type PolicyDifferences } from './core/plan/policy-diff.ts';
import { FleetState } from './core/state/fleet-state.ts';
import { Executor } from './execute/executor.ts';
import type { AggregatorService, PolicyApplied } from './http/service.ts';
import { createIngest, type Ingest } from './ingest/ingest.ts';
import type { IngestLimits, IngestSink } from './ingest/peer-state.ts';
import { runFits } from './loops/fit-loop.ts';
import { Loop, loopMetrics } from './loops/loop.ts';
import { type PlanMade, runPlan } from './loops/plan-loop.ts';
import { runStep, untilAfterEnd } from './loops/step-loop.ts';
import type { Notifier } from './notify/notifier.ts';
import { AnomalyWatch } from './service/anomaly-watch.ts';
import { DecisionLog } from './service/decision-log.ts';
import { EventLog } from './service/event-log.ts';
import { type KillScope, KillSwitches, scopeName } from './service/kill-switches.ts';
import { LedgerQueue } from './service/ledger-queue.ts';
import { ModelKeeper } from './service/model-keeper.ts';
import { type KnownVm, NotificationLog } from './service/notification-log.ts';
import { PolicyKeeper, type PolicySource } from './service/policy-keeper.ts';
import { previewPlan } from './service/policy-preview.ts';
import { Pools } from './service/pools.ts';
import { recalledNotifications } from './service/recalled-notifications.ts';
import { planEntry, Reporter } from './service/reporter.ts';
import { SteadyTime } from './service/steady-time.ts';
import { hostViews, vmView } from './service/views.ts';
import type { LedgerStore } from './store/ledger-store.ts';
import type { SeriesStore } from './store/series-store.ts';

export interface AggregatorOptions {
  clock: Clock;
  prng: Prng;
  series: SeriesStore;
  ledger: LedgerStore;
  policySource: PolicySource;
  config: DecisionConfig;
  log: Logger;
  version: string;
  ingestLimits?: Partial<IngestLimits>;
  /** Who else is told of what happens to VMs. */
  notifiers?: readonly Notifier[];
  /** Fits of heavy models; absent: models that want any are served without. */
  fits?: FitService;
}

/** Nothing sent this long ago can still arrive: sessions end after three silent heartbeats of 5 s. */
const SETTLE_MS = 20_000;
/** Changes of before a restart that still count against the blast radius are looked for in so many entries. */
const OUTCOMES_READ_MAX = 2000;

/** Heavy models that are due are looked for this often: they are fitted once a season. */
const FIT_PERIOD_MS = 10_000;
/** A plan begins this long after the step's end and grace: its forecasts take some time. */
const PLAN_AFTER_STEP_MS_MAX = 500;
/** The first plan need not wait for its turn: leases are renewed by it, and people wait for a first answer. */
const FIRST_PLAN_MS_MAX = 5000;

/** Lines of differences that a person still reads, in an answer and in an event; VMs whose changes are told as data. */
const POLICY_CHANGES_TOLD_MAX = 200;
const POLICY_CHANGES_IN_EVENT_MAX = 20;
const POLICY_VMS_TOLD_MAX = 1000;

type ApplyOptions = Parameters<AggregatorService['applyPolicies']>[2];

/** Takes ownership (a new epoch) and the policy into force. Rejects when a store fails or the policy file is invalid. */
export async function createAggregator(options: AggregatorOptions): Promise<Aggregator> {
  const { ledger, clock, config, version } = options;
  const time = new SteadyTime(clock);
  const epoch = await ledger.nextEpoch();
  await ledger.append(time.nowMs(), { kind: 'start', version, epoch });
  const policies = new PolicyKeeper(ledger, options.policySource, config.leaseMs);
  await policies.load(time.nowMs());
  const kills = new KillSwitches(ledger);
  await kills.load();
  const aggregator = new Aggregator(options, { time, epoch, policies, kills });
  await aggregator.recall();
  return aggregator;
}

interface Loops {
  step: Loop;
  plan: Loop;
  maintain: Loop;
  checkpoint: Loop;
  fit: Loop;
}

interface Recovered {
  time: SteadyTime;
  epoch: number;
  policies: PolicyKeeper;
  kills: KillSwitches;
}

export class Aggregator {
  readonly service: AggregatorService;
  readonly ingest: Ingest;
  readonly state: FleetState;
  readonly executor: Executor;
  /** The newest plan, as carried out; null before the first. */
  latest: PlanMade | null = null;
  readonly #options: AggregatorOptions;
  readonly #time: SteadyTime;
  readonly #epoch: number;
  readonly #policies: PolicyKeeper;
  readonly #kills: KillSwitches;
  readonly #events = new EventLog();
  readonly #decisions = new DecisionLog();
  readonly #notifications: NotificationLog;
  readonly #anomalies: AnomalyWatch;
  /** Hosts whose agent passes pools on to guests. */
  readonly #poolHosts = new Set<HostId>();
  readonly #pools = new Pools({
    send: (host, frame) => this.ingest.send(host, frame),
    takes: (host, vm) => this.#poolHosts.has(host) && this.state.vm(vm)?.inventory.guestAgent === true,
  });
  readonly #queue: LedgerQueue;
  readonly #models: ModelKeeper;
  readonly #reporter: Reporter;
  readonly #loops: Loops;
  readonly #counters = { lintFindings: 0, rowsNotStored: 0, fits: 0 };
  #stopping = false;

  constructor(options: AggregatorOptions, { time, epoch, policies, kills }: Recovered) {
    const { clock, config, ledger, log } = options;
    this.#options = options;
    this.#time = time;
    this.#epoch = epoch;
    this.#policies = policies;
    this.#kills = kills;
    this.#queue = new LedgerQueue(ledger, (error) =>
      log.error('an entry could not be written to the ledger', { problem: errorText(error) }),
    );
    this.#notifications = new NotificationLog(time.nowMs(), options.notifiers ?? [], (vm) => this.#known(vm));
    this.#reporter = new Reporter(this.#events, this.#queue, this.#notifications, log, () => time.nowMs());
    this.#anomalies = new AnomalyWatch(config.stepMs, (change, incident) => this.#reporter.incident(change, incident));
    this.state = new FleetState({ ...config, epoch, factory: forecasterFactory }, policies.policy);
    this.state.killSwitch = kills.fleetEngaged;
    this.#models = new ModelKeeper(ledger, this.state, log);
    this.executor = this.#createExecutor();
    this.ingest = createIngest({
      clock,
      store: options.series,
      sink: this.#sink(),
      epoch,
      ownsVm: (vm) => this.state.vm(vm)?.host ?? null,
      onProblem: (peer, error) => log.warn('connection problem', { peer, code: error.code, problem: error.message }),
      ...(options.ingestLimits ? { limits: options.ingestLimits } : {}),
    });
    this.#loops = this.#createLoops();
    this.service = this.#createService(time.nowMs());
  }

  /** What earlier runs changed within the sliding window: a restart is no fresh budget. */
  async recall(): Promise<void> {
    const entries = await this.#options.ledger.entries({ limit: OUTCOMES_READ_MAX, kind: 'outcome', newestFirst: true });
    const sinceMs = this.#time.nowMs() - this.state.policy.blastRadius.windowMs;
    const changes = entries.flatMap(({ timeMs, body }) =>
      body.kind === 'outcome' && body.outcome === 'applied' && timeMs > sinceMs ? [{ vm: body.vm, host: body.host, atMs: timeMs }] : [],
    );
    this.state.restoreChanges(changes.reverse());
    this.#notifications.recall(recalledNotifications(entries), this.#time.nowMs());
  }

  #known(vm: VmId): KnownVm | null {
    const matched = this.state.vm(vm)?.matched;
    return matched ? { name: matched.name, host: matched.host, labels: matched.labels } : null;
  }

  /** Begins the loops; connections may be taken before. */
  start(): void {
    for (const loop of Object.values(this.#loops)) loop.start();
    this.#options.log.info('aggregator started', { epoch: this.#epoch, policy: this.state.policy.version });
  }

  accept(transport: Transport): void {
    this.ingest.accept(transport);
  }

  /** For tests and for what must not wait: a plan, now. */
  planNow(): Promise<void> {
    return this.#loops.plan.runNow();
  }

  /** Drains: no new plan, what has arrived is committed and acknowledged, models are kept. Stores stay the owner's to close. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const { plan, step, maintain, checkpoint, fit } = this.#loops;
    await Promise.all([plan.stop(), maintain.stop(), step.stop(), checkpoint.stop(), fit.stop()]);
    this.executor.stop();
    await this.ingest.stop();
    await this.#models.checkpoint(() => Promise.resolve());
    await this.#queue.flush();
  }

  #createExecutor(): Executor {
    const { clock, config } = this.#options;
    return new Executor({
      clock,
      retryMs: config.commandRetryMs,
      deadlineMs: config.commandDeadlineMs,
      settleMs: SETTLE_MS,
      send: (host, frame) => this.ingest.send(host, frame),
      onPending: (vm, resource, target) => this.state.setPending(vm, resource, target),
      onSent: (step) => this.state.noteChange(step.vm, step.host, this.#time.nowMs()),
      onOutcome: (outcome) => {
        this.#decisions.addOutcome(outcome);
        if (outcome.outcome === 'applied') this.#anomalies.noteChange(outcome.step, this.#time.nowMs());
        this.#reporter.outcome(outcome);
      },
    });
  }

  #sink(): IngestSink {
    const { clock } = this.#options;
    return {
      onHello: (host, hello) => {
        if (hello.capabilities.includes(POOL_CAPABILITY)) this.#poolHosts.add(host);
        else this.#poolHosts.delete(host);
        this.state.applyHello(host, hello);
      },
      onHint: (_host, hint) => this.state.applyHint(hint, this.#time.nowMs()),
      onConnected: (host) => {
        this.state.setConnected(host, true);
        this.#reporter.agent(host, `host ${host} is connected`);
        this.#tellKillSwitches(host);
        this.executor.hostConnected(host);
      },
      onDisconnected: (host, error) => {
        this.state.setConnected(host, false);
        this.#reporter.agent(host, `host ${host} is disconnected${error ? `: ${error.message}` : ''}`);
      },
      onInventory: (host, inventory) => {
        this.state.applyInventory(host, inventory, clock.monotonicMs());
        this.#takeNews();
        this.#noteAllocations(
          host,
          inventory.vms.map(({ vm }) => vm as VmId),
        );
      },
      onBlocks: (host, blocks, receivedMonotonicMs) => {
        this.state.applyBlocks(host, blocks, this.#time.nowMs(), receivedMonotonicMs);
        this.#takeNews();
      },
      onEvent: (host, event) => {
        this.state.applyEvent(host, event, this.#time.nowMs(), clock.monotonicMs());
        this.#takeNews();
        if (event.vm !== null) this.#noteAllocations(host, [event.vm as VmId]);
      },
      onResult: (_host, result) => {
        const known = this.executor.onResult(result);
        const change = known ? { before: known.step.from, direction: known.step.direction } : null;
        this.state.applyResult(result, change, this.#time.nowMs());
      },
    };
  }

  #takeNews(): void {
    for (const news of this.state.takeNews()) {
      this.#reporter.news(news);
      if (news.vm === null) continue;
      const vm = news.vm;
      if (news.kind === 'vm-new') this.#models.seen(vm);
      if (news.kind === 'vm-gone') {
        this.executor.abort((step) => step.vm === vm, 'the VM is gone');
        this.#decisions.forget(vm, RESOURCES);
        this.#anomalies.remove(vm);
        this.#queue.remove(vm);
      }
    }
  }

  #noteAllocations(host: HostId, vms: readonly VmId[]): void {
    const nowMs = this.#time.nowMs();
    for (const vm of vms) {
      for (const setting of Object.values(this.state.vm(vm)?.current ?? {})) this.#queue.allocate(vm, host, setting, nowMs);
    }
  }

  #tellKillSwitches(host: HostId): void {
    const here = (): VmId[] => this.state.vmIds().filter((vm) => this.state.vm(vm)?.host === host);
    for (const frame of this.#kills.framesFor(host, here)) this.ingest.send(host, frame);
  }

  #createLoops(): Loops {
    const { clock, config, log } = this.#options;
    const onError = (name: string, error: unknown): void => log.error(`the ${name} loop failed`, { problem: errorText(error) });
    const { stepMs, planPeriodMs, graceMs } = config;
    const nowMs = (): number => this.#time.nowMs();
    // Right after the step's forecasts, where plan periods and steps fit: what was just learnt is acted on at once.
    const planAfterMs = graceMs + Math.min(PLAN_AFTER_STEP_MS_MAX, planPeriodMs / 20);
    const planDelayMs = (): number => {
      const delayMs = untilAfterEnd(nowMs(), planPeriodMs, planAfterMs);
      return this.latest === null ? Math.min(delayMs, FIRST_PLAN_MS_MAX) : delayMs;
    };
    const make = (name: string, periodMs: number, run: () => Promise<void>, nextDelayMs?: () => number): Loop =>
      new Loop({ name, clock, periodMs, run, onError, ...(nextDelayMs ? { nextDelayMs } : {}) });
    return {
      step: make(
        'step',
        stepMs,
        () => this.#step(),
        () => untilAfterEnd(nowMs(), stepMs, graceMs),
      ),
      plan: make('plan', planPeriodMs, () => this.#plan(), planDelayMs),
      maintain: make('maintain', config.maintainPeriodMs, () => this.#maintain()),
      checkpoint: make('checkpoint', config.checkpointPeriodMs, () => this.#models.checkpoint(() => sleep(clock, 0))),
      fit: make('fit', FIT_PERIOD_MS, () => this.#fit()),
    };
  }

  async #step(): Promise<void> {
    const { clock, config, series } = this.#options;
    const { stepMs, graceMs, forecastBudgetMs: budgetMs } = config;
    const nowMs = (): number => this.#time.nowMs();
    await runStep({ clock, nowMs, state: this.state, series, stepMs, graceMs, budgetMs, onStoreError: this.#notStored });
    this.#takeNews();
    this.#anomalies.step(this.#snapshot());
  }

  async #plan(): Promise<void> {
    const { clock, prng, ledger, series } = this.#options;
    await runPlan({
      nowMs: () => this.#time.nowMs(),
      nowMonoMs: () => clock.monotonicMs(),
      prng,
      epoch: this.#epoch,
      state: this.state,
      executor: this.executor,
      ledger,
      series,
      send: (host, frame) => this.ingest.send(host, frame),
      entryOf: planEntry,
      onPlan: (made, snapshot) => {
        this.latest = made;
        this.#counters.lintFindings += made.findings.length;
        this.#decisions.addPlan(made.plan, made.findings);
        this.#reporter.plan(made.plan, made.findings);
        this.#pools.tell(snapshot, this.state.policy);
      },
      onStoreError: this.#notStored,
    });
  }

  async #fit(): Promise<void> {
    const { fits: service, log } = this.#options;
    if (!service) return;
    const onFailure = (error: unknown): void => log.warn('a model could not be fitted', { problem: errorText(error) });
    this.#counters.fits += await runFits({ due: this.#fitsDue(), service, stopped: () => this.#stopping, onFailure });
  }

  *#fitsDue(): Iterable<Fitting> {
    for (const vm of this.state.vmIds()) yield* this.state.vm(vm)?.models.fitsDue() ?? [];
  }

  readonly #notStored = (error: unknown, rows: number): void => {
    this.#counters.rowsNotStored += rows;
    this.#options.log.warn('rows of ours could not be stored', { rows, problem: errorText(error) });
  };

  async #maintain(): Promise<void> {
    const nowMs = this.#time.nowMs();
    const reloaded = await this.#policies.reload(() => this.#snapshot().vms, nowMs);
    if (reloaded !== null) {
      if ('changes' in reloaded) this.#policyChanged('the policy file', reloaded.changes);
      else this.#reporter.operator(null, null, `the policy file is not taken, the one in force stays: ${reloaded.problem}`, 'policy', {});
    }
    await this.#options.series.maintain(nowMs);
  }

  #snapshot(): FleetSnapshot {
    return this.state.snapshot(this.#time.nowMs(), this.#options.clock.monotonicMs());
  }

  #policyChanged(by: string, differences: PolicyDifferences): void {
    this.state.setPolicy(this.#policies.policy);
    const { version } = this.#policies.policy;
    const changes = differences.fleet.length + differences.vms.length;
    this.#reporter.operator(null, null, `policy ${version} by ${by}: ${changes} changes`, 'policy', {
      version,
      by,
      changes: differenceLines(differences, POLICY_CHANGES_IN_EVENT_MAX),
    });
  }

  async #applyPolicies(source: string, by: string, { dryRun, ifVersion }: ApplyOptions): Promise<PolicyApplied> {
    const snapshot = this.#snapshot();
    const told = (changes: PolicyDifferences): Pick<PolicyApplied, 'version' | 'changes' | 'vms'> => ({
      version: this.#policies.policy.version,
      changes: differenceLines(changes, POLICY_CHANGES_TOLD_MAX),
      vms: changes.vms.slice(0, POLICY_VMS_TOLD_MAX),
    });
    if (dryRun) {
      this.#policies.checkVersion(ifVersion);
      const { policy, changes } = this.#policies.preview(source, snapshot.vms, snapshot.nowMs);
      return { ...told(changes), nextPlan: previewPlan(snapshot, policy, this.#epoch, this.#options.prng) };
    }
    const changes = await this.#policies.apply(source, { by, ifVersion }, snapshot.vms, snapshot.nowMs);
    this.#policyChanged(by, changes);
    return { ...told(changes), nextPlan: null };
  }

  async #setKillSwitch(scope: KillScope, engaged: boolean, by: string, reason: string): Promise<void> {
    if (scope.kind === 'fleet') this.state.killSwitch = engaged;
    // Told first, written down after: a switch must not wait for a disk.
    const saved = this.#kills.set(scope, engaged, by, reason, this.#time.nowMs());
    const hosts = scope.kind === 'fleet' ? this.ingest.hosts() : [scope.kind === 'host' ? scope.host : this.state.vm(scope.vm)?.host];
    if (engaged) {
      const concerned = (step: { vm: VmId; host: HostId }): boolean =>
        scope.kind === 'vm' ? step.vm === scope.vm : hosts.includes(step.host);
      this.executor.abort((step) => scope.kind === 'fleet' || concerned(step), `kill switch: ${reason}`);
    }
    for (const host of hosts) if (host !== undefined) this.#tellKillSwitches(host);
    const message = `kill switch of ${scopeName(scope)} ${engaged ? 'engaged' : 'released'} by ${by}: ${reason}`;
    this.#reporter.operator(scope.kind === 'vm' ? scope.vm : null, scope.kind === 'host' ? scope.host : null, message, 'operator', {
      by,
      engaged,
    });
    await saved;
  }

  #createService(startedAtMs: number): AggregatorService {
    const { clock, series, ledger, version } = this.#options;
    const snapshot = () => this.#snapshot();
    const view = (id: VmId) => {
      const record = this.state.vm(id);
      const nowMs = this.#time.nowMs();
      const vm = record?.snapshot(this.state.policy, nowMs, clock.monotonicMs());
      return record && vm ? vmView(vm, record, this.state.policy, this.#decisions, nowMs) : null;
    };
    return {
      version,
      startedAtMs,
      epoch: this.#epoch,
      series,
      ledger,
      snapshot,
      nowMs: () => this.#time.nowMs(),
      ready: () => (this.latest === null ? { ready: false, reason: 'no plan was made yet' } : { ready: true, reason: '' }),
      hosts: () => hostViews(snapshot()),
      vms: () => this.state.vmIds().flatMap((id) => view(id) ?? []),
      vm: view,
      plans: (limit) => this.#decisions.plans(limit),
      plan: (id) => this.#decisions.plan(id),
      policies: () => this.#policies.view(),
      applyPolicies: (source, by, applying) => this.#applyPolicies(source, by, applying),
      policyVersions: (limit) => this.#policies.versions(limit),
      incidents: () => this.#anomalies.incidents(),
      slas: () => this.state.slas(this.#time.nowMs()),
      policyVersion: (version) => this.#policies.version(version),
      setKillSwitch: (scope, engaged, by, reason) => this.#setKillSwitch(scope, engaged, by, reason),
      notifications: {
        recent: (vm, limit) => this.#notifications.recent(vm, limit),
        subscribe: (vm, listener) => this.#notifications.subscribe(vm, listener),
      },
      events: { recent: (limit) => this.#events.recent(limit), subscribe: (listener) => this.#events.subscribe(listener) },
      ledgerEntries: (query) => ledger.entries(query),
      metrics: () => this.#metrics(),
    };
  }

  #metrics(): Record<string, number> {
    const { state, executor } = this;
    const metrics: Record<string, number> = {
      epoch: this.#epoch,
      hosts: state.hostIds().length,
      vms: state.vmIds().length,
      clock_aside_ms: this.#time.asideMs(),
      plan_steps: this.latest?.plan.steps.length ?? 0,
      plan_not_done: this.latest?.plan.notDone.length ?? 0,
      lint_findings_total: this.#counters.lintFindings,
      rows_not_stored_total: this.#counters.rowsNotStored,
      news_dropped_total: state.newsDropped,
      events_forgotten_total: this.#events.forgotten,
      ledger_waiting: this.#queue.waiting,
      ledger_dropped_total: this.#queue.dropped,
      ledger_failed_total: this.#queue.failed,
      model_fits_total: this.#counters.fits,
      models_restored_total: this.#models.restored,
      models_refused_total: this.#models.refused,
      models_written_total: this.#models.written,
      models_restores_dropped_total: this.#models.dropped,
      commands_waiting: executor.waiting,
    };
    for (const [name, count] of Object.entries(executor.counters)) metrics[`commands_${snake(name)}_total`] = count;
    for (const loop of Object.values(this.#loops)) Object.assign(metrics, loopMetrics(loop));
    for (const notifier of this.#options.notifiers ?? []) Object.assign(metrics, notifier.metrics());
    return Object.assign(metrics, this.ingest.metrics());
  }
}

function snake(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
