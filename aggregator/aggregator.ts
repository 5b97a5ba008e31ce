/**
 * The aggregator, put together: ingest, live state, forecasts, plans, lint, executor, loops, and the service that people and
 * programs read. Input: a clock, a generator, stores, a policy source, configuration; output: something that takes
 * connections and answers. No process, socket or file is touched here, so simulation and tests build the very same.
 */
import { fairTurns, sleep } from '../shared/clock.ts';
import { errorText } from '../shared/errors.ts';
import type { HostId, VmId } from '../shared/ids.ts';
import type { Transport } from '../shared/net/transport.ts';
import { POOL_CAPABILITY } from '../shared/protocol/frames.ts';
import { RESOURCES } from '../shared/resources.ts';
import type { AggregatorOptions } from './aggregator-options.ts';
import type { CapacityView } from './core/capacity/host-capacity.ts';
import type { Fitting } from './core/forecast/fitted/fit.ts';
import { forecasterFactory } from './core/forecast/registry.ts';
import { budgetShare } from './core/ownership/budget-share.ts';
import { FleetState } from './core/state/fleet-state.ts';
import { VCPU_RESTS } from './core/state/vcpu-watch.ts';
import { RESTS_MAX } from './core/state/verdicts.ts';
import { Executor } from './execute/executor.ts';
import { VcpuOrders } from './execute/vcpu-orders.ts';
import type { FleetDesk, FleetPeers } from './http/fleet-service.ts';
import type { AggregatorService } from './http/service.ts';
import { createIngest, type DownFrame, type Ingest, type IngestOptions } from './ingest/ingest.ts';
import { ExtraPlan } from './loops/extra-plan.ts';
import { runFits } from './loops/fit-loop.ts';
import { Loops } from './loops/loops.ts';
import { OwnRows, storeOwnRows } from './loops/own-rows.ts';
import { DECIDERS, type PlanMade, runPlan } from './loops/plan-loop.ts';
import { runStep } from './loops/step-loop.ts';
import type { Ownership } from './ownership/ownership.ts';
import { soleOwnership } from './ownership/sole-ownership.ts';
import { CapacityWatch } from './service/capacity-watch.ts';
import { createAnomalies } from './service/create-anomalies.ts';
import { createCredentials } from './service/create-credentials.ts';
import { createSpawning, spawnPeriodMs } from './service/create-spawning.ts';
import { createSuspending } from './service/create-suspending.ts';
import { DecisionLog } from './service/decision-log.ts';
import { demandHistories } from './service/demand-history.ts';
import { EventLog } from './service/event-log.ts';
import { FromHosts } from './service/from-hosts.ts';
import { HostOwnership } from './service/host-ownership.ts';
import { KillSwitchDesk } from './service/kill-switch-desk.ts';
import { KillSwitches } from './service/kill-switches.ts';
import { LedgerQueue } from './service/ledger-queue.ts';
import { ModelKeeper } from './service/model-keeper.ts';
import { type KnownVm, NotificationLog } from './service/notification-log.ts';
import { type AggregatorCounters, ownMetrics } from './service/own-metrics.ts';
import type { Parts } from './service/parts.ts';
import { planEntry } from './service/plan-entry.ts';
import { PolicyDesk } from './service/policy-desk.ts';
import { PolicyKeeper } from './service/policy-keeper.ts';
import { Pools } from './service/pools.ts';
import { newestLoans } from './service/recalled-loans.ts';
import { recalledNotifications } from './service/recalled-notifications.ts';
import { RecommendationDesk } from './service/recommendation-desk.ts';
import { Reporter } from './service/reporter.ts';
import { RestKeeper } from './service/rest-keeper.ts';
import { createService } from './service/service.ts';
import { ShortageWatch } from './service/shortage-watch.ts';
import { SteadyTime } from './service/steady-time.ts';
import { mayMove } from './service/vm-moves.ts';

/** Nothing sent this long ago can still arrive: sessions end after three silent heartbeats of 5 s. */
const SETTLE_MS = 20_000;
/** A VM that was seen to start is planned for after this long: its first samples are there by then. */
const LAUNCH_PLAN_MS = 1500;
/** Hosts whose agents have just begun, their guards without a reserve, are planned for together after this long. */
const UNGUARDED_PLAN_MS = 2000;
/** Of the time in which a successor asks the series and learns, so many times as much goes to what cannot wait. */
const RELEARN_RESTS = 4;
/** Hosts that were just taken over, planned for together. */
const TAKEN_PLAN_MS = 150;
/** Changes of before a restart that still count against the blast radius are looked for in so many entries. */
const OUTCOMES_READ_MAX = 2000;
/** A ledger that several share and that is away is asked again after this long. */
const LEDGER_RETRY_MS = 1000;
/** An agent restarts within seconds; one that is away for longer has lost its way to us, or its host is down. */
const AWAY_MS_MAX = 15_000;
/** Each loan has four or five entries in its life. */
const LOANS_READ_MAX = 2000;

/** Who sees some of the hosts only cannot count a group's members: where others cannot be asked, groups are decided while there are none. */
function groupEpoch(ownership: Ownership, peers: FleetPeers | undefined): number | null {
  return peers !== undefined || ownership.members().length === 1 ? ownership.fleetEpoch() : null;
}

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
  readonly #parts: Parts;
  readonly #fromHosts: FromHosts;
  readonly #policyDesk: PolicyDesk;
  readonly #killSwitches: KillSwitchDesk;
  readonly #recommendations: RecommendationDesk;
  readonly #pools: Pools;
  readonly #loops: Loops;
  readonly #planRows: OwnRows;
  readonly #counters: AggregatorCounters = { lintFindings: 0, rowsNotStored: 0, fits: 0 };
  #stopping = false;
  #stopped: () => void = () => undefined;
  readonly #whenStopped = new Promise<void>((resolve) => {
    this.#stopped = resolve;
  });
  readonly #extraPlan: ExtraPlan;

  constructor(options: AggregatorOptions, { time, epoch, policies, kills }: Recovered) {
    const { clock, prng, version, config, series, ledger, log } = options;
    this.#options = options;
    this.#extraPlan = new ExtraPlan(clock, () => {
      if (!this.#stopping && this.latest !== null) void this.planNow();
    });
    const nowMs = (): number => time.nowMs();
    const [events, decisions] = [new EventLog(), new DecisionLog()];
    const queue = this.#ledgerQueue();
    const notifications = new NotificationLog(nowMs(), options.notifiers ?? [], (vm) => this.#known(vm));
    const reporter = new Reporter({ events, queue, notifications, log, nowMs });
    const ownership = options.ownership ?? soleOwnership(epoch);
    const epochOf = (host: HostId): number => ownership.epochOf(host) ?? epoch;
    const state = new FleetState({ ...config, epoch, epochOf, factory: forecasterFactory }, policies.policy);
    state.killSwitch = kills.fleetEngaged;
    const models = this.#modelKeeper(state, nowMs);
    const rests = new RestKeeper({ ledger, state, log, nowMs, restMsMax: VCPU_RESTS * 2 ** RESTS_MAX * config.verdictCooldownMs });
    const line = { ...this.#line(), epochOf };
    const anomalies = createAnomalies({ ...{ config, clock, epochOf, time, state, events, queue, notifications, ledger, log }, ...line });
    const executor = this.#createExecutor({ state, anomalies, decisions, reporter }, nowMs);
    const vcpus = this.#createVcpuOrders({ state, decisions, reporter }, nowMs);
    this.#killSwitches = new KillSwitchDesk({
      ...{ kills, state, executor, reporter, time },
      hosts: () => this.ingest.hosts(),
      send: (host, frame) => this.ingest.send(host, frame),
    });
    const credentials = createCredentials({
      ...{ clock, epoch, epochOf, time, state, notifications, queue, view: (vm: VmId) => this.service.vm(vm) },
      ...line,
    });
    const spawning = createSpawning({
      ...{ clock, epoch, holdOf: epochOf, time, state, queue, config, prng, log, ledger, events, notifications },
      ...{ ...line, fleetEpoch: options.fleetEpoch ?? (() => groupEpoch(ownership, options.fleetPeers)) },
      ...{ owns: (host: HostId) => ownership.epochOf(host) !== null, peers: options.fleetPeers ?? (() => []) },
      ...{ snapshot: () => this.#parts.snapshot(), peaks: (snapshot) => this.#parts.capacity.peaks(snapshot) },
    });
    const launched = (vm: VmId): void => this.#launched(vm);
    const capacity = (): CapacityView[] => this.#parts.capacity.views(this.#parts.snapshot());
    const suspending = createSuspending(
      { clock, time, state, events, queue, notifications, log, config, ledger, kills, line, capacity },
      launched,
    );
    this.#fromHosts = new FromHosts(
      { clock, time, state, executor, vcpus, reporter, decisions, anomalies, queue, models, rests, credentials, spawning, suspending },
      this.#killSwitches,
      { launch: launched, unguarded: () => this.#extraPlan.in(UNGUARDED_PLAN_MS), left: (host) => hosts.left(host) },
    );
    const hosts = this.#owners(ownership, state, executor, decisions);
    const ingest = createIngest({
      clock,
      store: series,
      sink: this.#fromHosts,
      epoch,
      ownsVm: (vm) => state.vm(vm)?.host ?? null,
      ...this.#door(state),
      ...(options.ownership ? hosts.door() : {}),
    });
    this.#parts = {
      ...{ clock, prng, log, version, epoch, time, series, ledger, state, executor, vcpus, ingest, policies, kills, ownership, hosts },
      ...{ events, decisions, notifications, anomalies, queue, models, rests, reporter, credentials },
      ...{ spawning, suspending, shortages: new ShortageWatch() },
      capacity: new CapacityWatch({ state, ledger, log, ...config }),
      snapshot: () => state.snapshot(nowMs(), clock.monotonicMs()),
      latestPlan: () => this.latest,
    };
    this.state = state;
    this.executor = executor;
    this.ingest = ingest;
    this.#pools = this.#createPools();
    this.#planRows = new OwnRows(series, this.#notStored);
    this.#policyDesk = new PolicyDesk(this.#parts);
    this.#recommendations = new RecommendationDesk(this.#parts, () => void this.planNow());
    this.#loops = this.#turning();
    this.service = this.#face();
  }

  /** What is decided is sent, and what comes of it is noted wherever it matters. */
  #createExecutor(
    { state, anomalies, decisions, reporter }: Pick<Parts, 'state' | 'anomalies' | 'decisions' | 'reporter'>,
    nowMs: () => number,
  ): Executor {
    const { clock, config } = this.#options;
    return new Executor({
      clock,
      retryMs: config.commandRetryMs,
      deadlineMs: config.commandDeadlineMs,
      settleMs: SETTLE_MS,
      send: (host, frame) => this.ingest.send(host, frame),
      onPending: (vm, resource, target) => state.setPending(vm, resource, target),
      onSent: (step) => {
        state.noteChange(step.vm, step.host, nowMs());
        anomalies.noteSent(step, nowMs());
      },
      onOutcome: (outcome) => {
        decisions.addOutcome(outcome);
        this.#recommendations.ended(outcome.step);
        if (outcome.step.loan !== undefined) state.loans.outcome(outcome.step.loan, outcome.outcome, outcome.reason);
        anomalies.noteOutcome(outcome.step, outcome.result === null ? null : outcome.outcome === 'applied', nowMs());
        reporter.outcome(outcome);
      },
    });
  }

  #createVcpuOrders(
    { state, decisions, reporter }: { state: FleetState; decisions: DecisionLog; reporter: Reporter },
    nowMs: () => number,
  ): VcpuOrders {
    const { clock, config } = this.#options;
    return new VcpuOrders({
      clock,
      deadlineMs: config.commandDeadlineMs,
      send: (host, frame) => this.ingest.send(host, frame),
      onSent: ({ vm, host }) => state.noteChange(vm, host, nowMs()),
      onOutcome: (ended) => {
        const { vm, from, to } = ended.step;
        state.applyVcpus(vm, { ...ended, from, to }, nowMs(), clock.monotonicMs());
        this.#recommendations.endedVcpus(ended.step);
        decisions.addVcpuOutcome(ended, nowMs());
        reporter.vcpus(ended);
      },
    });
  }

  /** As people and programs see and steer it. */
  #face(): AggregatorService {
    const metrics = (): Record<string, number> => ownMetrics(this.#parts, this.#counters, this.#loops.all, this.#options.notifiers ?? []);
    const desks = { policies: this.#policyDesk, killSwitches: this.#killSwitches, recommendations: this.#recommendations };
    return createService(this.#parts, { ...desks, metrics });
  }

  /** Of several aggregators a successor has no checkpoint, or an old one: what its predecessor wrote to the series makes up for it. */
  #modelKeeper(state: FleetState, nowMs: () => number): ModelKeeper {
    const { ledger, log, clock, series, ownership, config } = this.#options;
    const { stepMs, modelsKeptMs: keptMs } = config;
    const successor = {
      histories: (vms: Parameters<typeof demandHistories>[1]) => demandHistories(series, vms, { stepMs, nowMs: nowMs() }),
      rest: (workedMs: number) => sleep(clock, RELEARN_RESTS * workedMs),
      monotonicMs: () => clock.monotonicMs(),
    };
    const onForgotten = (vm: VmId): void => this.#parts.suspending.forget(vm);
    return new ModelKeeper({ ...{ ledger, state, log, nowMs, keptMs, onForgotten }, ...(ownership === undefined ? {} : successor) });
  }

  #createPools(): Pools {
    return new Pools({
      send: (host, frame) => this.ingest.send(host, frame),
      takes: (host, vm) => this.#fromHosts.understands(host, POOL_CAPABILITY) && this.state.vm(vm)?.inventory.guestAgent === true,
    });
  }

  #ledgerQueue(): LedgerQueue {
    const { ledger, clock, log } = this.#options;
    return new LedgerQueue(
      ledger,
      (error) => log.error('an entry could not be written to the ledger', { problem: errorText(error) }),
      () => sleep(clock, LEDGER_RETRY_MS),
    );
  }

  #owners(ownership: Ownership, state: FleetState, executor: Executor, decisions: DecisionLog): HostOwnership {
    return new HostOwnership({
      ...{ ownership, clock: this.#options.clock, log: this.#options.log, awayMsMax: AWAY_MS_MAX },
      connected: () => this.ingest.hosts(),
      redirect: (host, to) => this.ingest.redirect(host, to),
      taken: () => this.#extraPlan.in(TAKEN_PLAN_MS),
      withdraw: (withdrawn, reason) => executor.abort((step) => withdrawn.has(step.host), reason),
      forget: (host) => {
        for (const vm of state.forgetHost(host)) decisions.forget(vm, RESOURCES);
      },
    });
  }

  #turning(): Loops {
    const { clock, config, log } = this.#options;
    const { time } = this.#parts;
    return new Loops({
      ...{ clock, config, nowMs: () => time.nowMs(), waitMs: (steadyMs: number) => time.waitMs(steadyMs) },
      step: () => this.#step(),
      plan: () => this.#plan(),
      spawnPeriodMs: spawnPeriodMs(config),
      planned: () => this.latest !== null,
      maintain: () => this.#maintain(),
      checkpoint: () => this.#checkpoint(),
      fit: () => this.#fit(),
      spawn: () => this.#parts.spawning.turn(),
      onError: (name, error) => log.error(`the ${name} loop failed`, { problem: errorText(error) }),
    });
  }

  /** To host agents, what they understand, and who finds VMs that stand apart. */
  #line() {
    return {
      send: (host: HostId, frame: DownFrame): boolean => this.ingest.send(host, frame),
      understands: (host: HostId, capability: string): boolean => this.#fromHosts.understands(host, capability),
      outliers: this.#options.outliers,
    };
  }

  /** Who may come in, and speak of which VMs. */
  #door(state: FleetState): Pick<IngestOptions, 'mayMove' | 'identities' | 'onProblem' | 'limits'> {
    const { identity, ingestLimits, log } = this.#options;
    return {
      mayMove: (vm, to) => mayMove(state.vm(vm), to, (host) => this.ingest.connected(host)),
      onProblem: (peer, error, agent) => {
        log.warn('connection problem', { peer, code: error.code, problem: error.message });
        identity?.security.refuseAgent(peer, error, agent);
      },
      ...(identity ? { identities: identity.agents } : {}),
      ...(ingestLimits ? { limits: ingestLimits } : {}),
    };
  }

  /** What earlier runs changed within the sliding window: a restart is no fresh budget. */
  async recall(): Promise<void> {
    const { ledger, time, state, notifications, anomalies } = this.#parts;
    const entries = await ledger.entries({ limit: OUTCOMES_READ_MAX, kind: 'outcome', newestFirst: true });
    const sinceMs = time.nowMs() - state.policy.blastRadius.windowMs;
    const changes = entries.flatMap(({ timeMs, body }) =>
      body.kind === 'outcome' && body.outcome === 'applied' && timeMs > sinceMs ? [{ vm: body.vm, host: body.host, atMs: timeMs }] : [],
    );
    state.restoreChanges(changes.reverse());
    notifications.recall(recalledNotifications(entries), time.nowMs());
    await anomalies.recall();
    await this.#parts.rests.tidy();
    await this.#parts.spawning.recall();
    await this.#parts.suspending.load();
    state.loans.restore(newestLoans(await ledger.entries({ limit: LOANS_READ_MAX, kind: 'loan', newestFirst: true })));
  }

  #known(vm: VmId): KnownVm | null {
    const matched = this.state.vm(vm)?.matched;
    return matched ? { name: matched.name, host: matched.host, labels: matched.labels } : null;
  }

  /** Begins the loops; connections may be taken before. */
  start(): void {
    this.#loops.start();
    if (this.#options.ownership) this.#parts.hosts.start(() => this.#killSwitches.refresh());
    this.#parts.log.info('aggregator started', { epoch: this.#parts.epoch, policy: this.state.policy.version });
  }

  /** For the aggregator that holds the fleet, where that is another. */
  get fleetDesk(): FleetDesk {
    return this.#parts.spawning.fleet;
  }

  accept(transport: Transport): void {
    this.ingest.accept(transport);
  }

  /** For tests and for what must not wait: a plan, now. */
  planNow(): Promise<void> {
    return this.#loops.plan.runNow();
  }

  /** A boot is short: where the policy has something for it, the plan does not wait for its turn. */
  #launched(vm: VmId): void {
    const record = this.state.vm(vm);
    if (record === undefined) return;
    const { startup, startupBoostFraction } = this.state.policy.resolve(record.matched, 'cpu');
    if (startup === 'fixed' && startupBoostFraction === 0) return;
    this.#extraPlan.in(LAUNCH_PLAN_MS);
  }

  /** Drains: no new plan, what has arrived is committed and acknowledged, models are kept. Stores stay the owner's to close. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#stopped();
    this.#parts.models.end();
    this.#extraPlan.cancel();
    await this.#loops.stop();
    await this.#planRows.end();
    this.#parts.hosts.stop();
    this.executor.stop();
    this.#parts.vcpus.stop();
    this.#parts.anomalies.stop();
    this.#parts.credentials.stop();
    this.#parts.spawning.stop();
    this.#parts.suspending.desk.stop();
    await this.ingest.stop();
    await this.#parts.rests.turn();
    await this.#parts.models.checkpoint(() => Promise.resolve(), true);
    await this.#parts.capacity.checkpoint();
    await this.#parts.spawning.checkpoint();
    await this.#parts.anomalies.keep();
    await this.#parts.queue.end();
  }

  async #step(): Promise<void> {
    const { clock, time, state, series, anomalies, capacity, snapshot } = this.#parts;
    const { stepMs, graceMs, forecastBudgetMs: budgetMs } = this.#options.config;
    await runStep({ clock, nowMs: () => time.nowMs(), state, series, stepMs, graceMs, budgetMs, onStoreError: this.#notStored });
    this.#fromHosts.takeNews();
    const giveWay = fairTurns(clock);
    const now = snapshot();
    const seen = await anomalies.step(now, giveWay);
    await storeOwnRows(series, seen).catch((error: unknown) => this.#notStored(error, seen.length));
    const rows = await capacity.step(now, giveWay);
    await storeOwnRows(series, rows).catch((error: unknown) => this.#notStored(error, rows.length));
    await this.#parts.spawning.step();
    void this.#parts.rests.turn();
    if (anomalies.changed) await anomalies.keep();
    // Of thousands of VMs a snapshot takes tenths of a second: it is made anew only for those who act on it.
    if (state.policy.suspendRules?.length) this.#parts.suspending.planner.turn(snapshot(), state.policy);
  }

  /** What was learnt, written down; others have their turn in between. */
  async #checkpoint(): Promise<void> {
    const { clock, models, capacity } = this.#parts;
    await models.checkpoint(fairTurns(clock));
    await capacity.checkpoint();
    await this.#parts.spawning.checkpoint();
  }

  async #plan(): Promise<void> {
    const { clock, prng, ledger, time, epoch, version, state, executor, vcpus, ingest, decisions, reporter, ownership } = this.#parts;
    await runPlan({
      ...(this.#options.deciders ?? DECIDERS),
      ...{ prng, epoch, state, executor, vcpus, ledger },
      epochOf: (host) => ownership.epochOf(host),
      share: (policy) => budgetShare(policy, ownership.members().length),
      nowMs: () => time.nowMs(),
      nowMonoMs: () => clock.monotonicMs(),
      giveWay: fairTurns(clock),
      send: (host, frame) => ingest.send(host, frame),
      entryOf: (plan, findings, snapshot) => planEntry(plan, findings, snapshot, { version, epoch, policy: state.policy.version }),
      onPlan: (made, snapshot) => {
        this.latest = made;
        this.#counters.lintFindings += made.findings.length;
        decisions.addPlan(made.plan, made.findings);
        reporter.plan(made.plan, made.findings);
        state.loans.opened(made.plan);
        for (const change of this.#parts.shortages.plan(made.plan.shortages ?? [], snapshot.nowMs)) reporter.shortage(change);
        this.#fromHosts.takeNews();
        this.#pools.tell(snapshot, state.policy);
      },
      onRows: (blocks) => this.#planRows.hand(blocks),
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
    this.#parts.log.warn('rows of ours could not be stored', { rows, problem: errorText(error) });
  };

  async #maintain(): Promise<void> {
    if (this.#options.ownership) await this.#policyDesk.refresh();
    await this.#policyDesk.reload();
    const { series, time } = this.#parts;
    // Whose end is wanted does not wait for statistics: hosts do. The store leaves them when it is closed.
    await Promise.race([series.maintain(time.nowMs()), this.#whenStopped]);
  }
}
