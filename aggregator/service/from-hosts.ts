/**
 * What host agents tell, brought to where it belongs: telemetry, inventories, events and results into live state and
 * executor, what follows from them into events, ledger and models. Input: the sink's calls; output: none but these effects.
 */
import type { HeadroomError } from '../../shared/errors.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { RESOURCES } from '../../shared/resources.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import type { IngestSink } from '../ingest/peer-state.ts';
import type { KillSwitchDesk } from './kill-switch-desk.ts';
import type { Parts } from './parts.ts';

type SinkParts = Pick<
  Parts,
  | 'clock'
  | 'time'
  | 'state'
  | 'executor'
  | 'vcpus'
  | 'reporter'
  | 'decisions'
  | 'anomalies'
  | 'queue'
  | 'models'
  | 'rests'
  | 'credentials'
  | 'spawning'
  | 'suspending'
>;

/** What is told on at once. */
interface Noticed {
  /** A VM was seen to start. */
  launch(vm: VmId): void;
  /** A host whose guard has nothing to hand out has told how it does. */
  unguarded(): void;
  /** A host's agent is not connected any more. */
  left(host: HostId): void;
}

export class FromHosts implements IngestSink {
  readonly #parts: SinkParts;
  readonly #killSwitches: KillSwitchDesk;
  /** What each host's agent said it understands. */
  readonly #capabilities = new Map<HostId, readonly string[]>();
  /** Hosts that came with a guard that has nothing to hand out, until they tell how they do. */
  readonly #unguarded = new Set<HostId>();
  readonly #on: Noticed;

  constructor(parts: SinkParts, killSwitches: KillSwitchDesk, on: Noticed) {
    this.#parts = parts;
    this.#killSwitches = killSwitches;
    this.#on = on;
  }

  understands(host: HostId, capability: string): boolean {
    return this.#capabilities.get(host)?.includes(capability) === true;
  }

  onHello(host: HostId, hello: FrameOf<'hello'>): void {
    this.#capabilities.set(host, hello.capabilities);
    this.#parts.state.applyHello(host, hello);
  }

  onConnected(host: HostId): void {
    const { state, reporter, executor, clock } = this.#parts;
    state.setConnected(host, true, clock.monotonicMs());
    if (state.host(host)?.unguarded === true) this.#unguarded.add(host);
    reporter.agent(host, `host ${host} is connected`);
    this.#killSwitches.tell(host);
    executor.hostConnected(host);
  }

  onDisconnected(host: HostId, error: HeadroomError | null): void {
    const { state, reporter, clock } = this.#parts;
    state.setConnected(host, false, clock.monotonicMs());
    this.#on.left(host);
    this.#unguarded.delete(host);
    reporter.agent(host, `host ${host} is disconnected${error ? `: ${error.message}` : ''}`);
  }

  onInventory(host: HostId, inventory: FrameOf<'inventory'>): void {
    this.#parts.state.applyInventory(host, inventory, this.#parts.clock.monotonicMs());
    this.takeNews();
    const vms = inventory.vms.map(({ vm }) => vm as VmId);
    this.#noteAllocations(host, vms);
  }

  onBlocks(host: HostId, blocks: readonly TelemetryBlock[], receivedMonotonicMs: number): void {
    this.#parts.state.applyBlocks(host, blocks, this.#parts.time.nowMs(), receivedMonotonicMs);
    if (this.#unguarded.has(host) && blocks.some(({ subject }) => subject.kind === 'host')) {
      this.#unguarded.delete(host);
      this.#on.unguarded();
    }
    this.takeNews();
  }

  onEvent(host: HostId, event: FrameOf<'event'>): void {
    const { state, time, clock } = this.#parts;
    state.applyEvent(host, event, time.nowMs(), clock.monotonicMs());
    this.takeNews();
    if (event.vm !== null) this.#noteAllocations(host, [event.vm as VmId]);
  }

  onResult(_host: HostId, result: FrameOf<'result'>): void {
    const { state, time, executor, vcpus } = this.#parts;
    if (vcpus.onResult(result)) return;
    const known = executor.onResult(result);
    const change = known ? { from: known.step.from, to: known.step.to, direction: known.step.direction, planId: known.planId } : null;
    // A loan is no guess at what a VM needs: whether it did harm is not asked, only that it was a change.
    const loan = known?.step.loan !== undefined && result.outcome === 'applied' ? state.vm(known.step.vm) : undefined;
    if (loan) loan.lastChange[result.resource] = { atMs: time.nowMs(), direction: 'shrink' };
    state.applyResult(result, known?.step.loan === undefined ? change : null, time.nowMs());
  }

  onVmActionResult(_host: HostId, result: FrameOf<'vm-action-result'>): void {
    this.#parts.anomalies.onResult(result);
  }

  onBuildResult(host: HostId, result: FrameOf<'build-result'>): void {
    this.#parts.spawning.onBuildResult(host, result);
  }

  onSuspendResult(host: HostId, result: FrameOf<'suspend-result'>): void {
    const { desk, supply } = this.#parts.suspending;
    if (result.action === 'give' || result.action === 'supply') supply.onResult(host, result);
    else desk.onResult(host, result);
  }

  onSuspended(host: HostId, suspended: FrameOf<'suspended'>): void {
    this.#parts.suspending.desk.onSuspended(host, suspended);
    this.#parts.suspending.supply.onSuspended(host, suspended.vms);
  }

  onHint(_host: HostId, hint: FrameOf<'hint'>): void {
    this.#parts.state.applyHint(hint, this.#parts.time.nowMs());
  }

  onCredential(_host: HostId, answer: FrameOf<'credential'>): void {
    this.#parts.credentials.onAnswer(answer);
  }

  /** What live state noticed since it was last asked. */
  takeNews(): void {
    const { state, reporter, models, rests, executor, decisions, anomalies, queue } = this.#parts;
    for (const loan of state.loans.takeChanged()) reporter.loan(loan);
    let rest = false;
    for (const verdict of state.takeVerdicts()) {
      rest ||= verdict.verdict === 'harmed';
      decisions.addVerdict(verdict);
      reporter.verdict(verdict);
    }
    for (const news of state.takeNews()) {
      reporter.news(news);
      rest ||= news.kind === 'infeasible';
      if (news.vm === null) continue;
      const vm = news.vm;
      if (news.kind === 'vm-new') {
        rests.seen(vm);
        models.seen(vm);
      }
      if (/^vm-(new|state)$/.test(news.kind) && state.vm(vm)?.inventory.state === 'launching') this.#on.launch(vm);
      if (news.kind === 'vm-gone') {
        executor.abort((step) => step.vm === vm, 'the VM is gone');
        decisions.forget(vm, RESOURCES);
        anomalies.remove(vm);
        queue.remove(vm);
      }
    }
    // What did harm must not be forgotten with whoever saw it.
    if (rest) void rests.turn();
  }

  #noteAllocations(host: HostId, vms: readonly VmId[]): void {
    const { state, queue, time } = this.#parts;
    const nowMs = time.nowMs();
    for (const vm of vms) {
      for (const setting of Object.values(state.vm(vm)?.current ?? {})) queue.allocate(vm, host, setting, nowMs);
    }
  }
}
