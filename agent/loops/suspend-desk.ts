/**
 * Suspends VMs and brings them back as the aggregator orders, each VM's orders in its own queue with all else that is done to it.
 * Input: suspend frames; output: progress and result frames, and after each change the whole list of VMs that are suspended or on a
 * snapshot. An order repeated while it is carried out is answered with how far it is, later from memory.
 */
import type { Clock, Timer } from '../../shared/clock.ts';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { PREFETCH_PRIORITY } from '../../shared/protocol/suspend-frames.ts';
import type { Outcome } from '../../shared/resources.ts';
import { diskState, type HeldDisk } from '../core/held-disk.ts';
import type { Urgency } from '../core/prefetch-urgency.ts';
import { refusalOfSuspend, type SuspendAsked, type SuspendGround, type SuspendResult } from '../core/suspend-guard.ts';
import type { SuspendRecord } from '../core/suspend-record.ts';
import { createTouchModel, PREDICTED_CHUNKS_MAX } from '../core/touch-model.ts';
import type { ChunkAnswer, ChunkQuestion } from './chunk-questions.ts';
import { LackingToTell } from './lacking-to-tell.ts';
import { PrefetchLine, type PrefetchPlace } from './prefetch-line.ts';
import type { DiskRest } from './served-disks.ts';
import type { Done, OnProgress } from './suspend-state.ts';
import type { Suspender } from './suspender.ts';

export interface SuspendDeskOptions {
  suspender: Suspender;
  clock: Clock;
  log: Logger;
  /** What this host knows of the VM now; the VM's own queue is held meanwhile. */
  ground(vm: VmId | null, heldMiB: number): Promise<Omit<SuspendGround, 'waitedMs' | 'phase' | 'heldMiB'>>;
  about(vm: VmId): { name: string; tenant: string };
  tenants(): string[];
  storedBytes(): number;
  /** Null: there is one place, without a limit. */
  tiers(): FrameOf<'suspended'>['tiers'] | null;
  /** Where other hosts ask for snapshots; null = nowhere. */
  lendAddress(): string | null;
  /** What lies in this host's stores. */
  chunks(question: ChunkQuestion): Promise<ChunkAnswer>;
  /** After all that is under way for this VM; false when too much waits. */
  enqueue(vm: VmId, task: () => Promise<void>): boolean;
  send(frame: SuspendResult | FrameOf<'suspended'>): void;
  /** VMs came or went: the inventory is due. */
  changed(): void;
}

const ANSWERS_MAX = 256;
const REASON_MAX = 2048;
const PROGRESS_MS = 1000;
const MIB = 1024 * 1024;
/** Of the whole host: collections take turns with one another. */
const HOST_QUEUE = '00000000-0000-4000-8000-000000000000' as VmId;

type Prefetch = Extract<SuspendAsked['order'], { action: 'prefetch' }>;
type Lend = Extract<SuspendAsked['order'], { action: 'lend' }>;

interface UnderWay {
  asked: SuspendAsked;
  beganMs: number;
  toldMs: number;
  doneBytes: number;
  totalBytes: number;
  /** A release came after it. */
  cancelled: boolean;
  /** Somebody waits for the VM by now. */
  awaited: boolean;
  /** Of a prefetch, in line with the others. */
  place: PrefetchPlace | null;
}

export class SuspendDesk {
  readonly #options: SuspendDeskOptions;
  readonly #answers = new Map<string, SuspendResult>();
  readonly #underWay = new Map<string, UnderWay>();
  readonly #holds = new Map<VmId, Timer>();
  readonly #line: PrefetchLine;
  /** Of VMs lent to be made ready elsewhere; the others somebody waits for. */
  readonly #lent = new Map<VmId, Urgency>();
  #lends = 0;
  readonly #lacking: LackingToTell;

  constructor(options: SuspendDeskOptions) {
    this.#options = options;
    this.#line = new PrefetchLine(options.clock);
    this.#lacking = new LackingToTell(
      options.clock,
      (vm) => options.suspender.lacking(vm),
      () => this.tellAll(),
    );
  }

  receive(asked: SuspendAsked): void {
    const known = this.#answers.get(asked.orderId);
    if (known !== undefined) {
      this.#options.send(known);
      return;
    }
    const underWay = this.#underWay.get(asked.orderId);
    if (underWay !== undefined) {
      this.#tellProgress(underWay);
      return;
    }
    const { order } = asked;
    if (order.action === 'sample' || order.action === 'held' || order.action === 'give' || order.action === 'supply') {
      void this.#tellChunks(asked, order);
      return;
    }
    const { clock, enqueue } = this.#options;
    const receivedAtMs = clock.bootMs();
    const began: UnderWay = {
      ...{ asked, beganMs: clock.monotonicMs(), toldMs: 0, doneBytes: 0, totalBytes: 0 },
      ...{ cancelled: false, awaited: false, place: null },
    };
    this.#underWay.set(asked.orderId, began);
    const vm = vmOf(asked);
    if (asked.order.action === 'release') this.#cancelPrefetches(vm);
    if (asked.order.action === 'resume') this.#hurryPrefetches(vm);
    const queued = enqueue(vm ?? HOST_QUEUE, async () => {
      const ended = await this.#carryOut(began, receivedAtMs).catch((error: unknown) => failed(error));
      this.#answer(asked, ended);
    });
    if (!queued)
      this.#answer(asked, { outcome: 'failed', reason: 'too many instructions are waiting for this VM (is it stuck?)', measured: {} });
  }

  /** All there is: for a new connection, and after changes. */
  tellAll(): void {
    const { suspender, send, storedBytes, tiers } = this.#options;
    const records = suspender.records();
    const lacking = this.#lacking.now(records.map(({ vm }) => vm));
    const rests = (vm: VmId): Rests => ({ disk: (target) => suspender.diskRest(vm, target), lacking: lacking.get(vm) ?? [] });
    const vms = records.flatMap((record) => viewOf(record, rests(record.vm)) ?? []);
    const places = tiers() ?? null;
    send({ type: 'suspended', vms, storedBytes: storedBytes(), ...(places === null ? {} : { tiers: places }) });
  }

  /** Nothing is done for it: it waits for no VM's queue, and whoever asks again is answered anew. */
  async #tellChunks(asked: SuspendAsked, question: ChunkQuestion): Promise<void> {
    const { chunks, send } = this.#options;
    const answer = await chunks(question).then(
      (told) => ({ outcome: 'applied' as const, reason: '', ...told }),
      (error: unknown) => ({ outcome: 'failed' as const, reason: errorText(error).slice(0, REASON_MAX) }),
    );
    send({ ...this.#resultOf(asked), progress: null, measured: {}, ...answer });
    // What it lacks is less now.
    if (question.action === 'supply') this.tellAll();
  }

  stop(): void {
    this.#lacking.stop();
    for (const timer of this.#holds.values()) timer.cancel();
  }

  async #carryOut(underWay: UnderWay, receivedAtMs: number): Promise<Ended> {
    const { suspender, clock, ground } = this.#options;
    const { asked } = underWay;
    const { order } = asked;
    const vm = vmOf(asked);
    // What an agent before us left on its way comes first.
    await suspender.recover();
    const record = suspender.records().find((one) => one.vm === vm);
    const heldMiB = (record?.filledBytes ?? 0) / MIB;
    const known = await ground(vm, heldMiB);
    const refusal = refusalOfSuspend(asked, { ...known, phase: record?.phase ?? null, heldMiB, waitedMs: clock.bootMs() - receivedAtMs });
    if (refusal !== null) return { ...refusal, measured: {} };
    const onProgress = this.#progressOf(underWay);
    switch (order.action) {
      case 'suspend': {
        const { name, tenant } = this.#options.about(order.vm as VmId);
        return applied(await suspender.suspend(order.vm as VmId, name, tenant, onProgress));
      }
      case 'resume':
        this.#endHold(order.vm as VmId);
        return applied(await suspender.resume(order.vm as VmId, onProgress, order.from ?? null));
      case 'lend': {
        this.#endHold(order.vm as VmId);
        const address = this.#options.lendAddress();
        if (address === null) return { outcome: 'refused', reason: 'this host lends no snapshots (snapshotListen)', measured: {} };
        const lent = await suspender.lend(order.vm as VmId, order.to, order.key);
        this.#noteLent(order, receivedAtMs);
        return { ...applied(lent), address };
      }
      case 'prefetch':
        return this.#inLine(order, underWay, receivedAtMs, onProgress);
      case 'release':
        this.#endHold(order.vm as VmId);
        return applied(await suspender.letGo(order.vm as VmId));
      case 'verify':
        return applied(await suspender.verify(order.vm as VmId));
      case 'collect':
        return applied(await suspender.collect(this.#options.tenants()));
      case 'sample':
      case 'held':
      case 'give':
      case 'supply':
        throw new HeadroomError('INVARIANT_BROKEN', 'questions about chunks stand in no queue');
    }
  }

  /** What came before the release only: a later prefetch is wished for. */
  #cancelPrefetches(vm: VmId | null): void {
    for (const earlier of this.#underWay.values()) {
      if (earlier.asked.order.action !== 'prefetch' || vmOf(earlier.asked) !== vm) continue;
      earlier.cancelled = true;
      earlier.place?.hurry();
    }
  }

  /** The resume waits for what was begun of it: that stands in no line and keeps no pace any more. */
  #hurryPrefetches(vm: VmId | null): void {
    for (const earlier of this.#underWay.values()) {
      if (earlier.asked.order.action !== 'prefetch' || vmOf(earlier.asked) !== vm) continue;
      earlier.awaited = true;
      earlier.place?.hurry();
    }
  }

  #noteLent({ vm, priority, deadlineMs = Number.POSITIVE_INFINITY }: Lend, receivedAtMs: number): void {
    if (priority === undefined) this.#lent.delete(vm as VmId);
    else this.#lent.set(vm as VmId, { awaited: false, priority, dueMs: receivedAtMs + deadlineMs, turn: this.#lends++ });
  }

  /** Of what the VM is predicted to touch first: as the prefetch says that is under way, unless somebody waits for it by now. */
  shareOf(vm: VmId): number {
    const asked = [...this.#underWay.values()].find(({ place, awaited, asked }) => place !== null && !awaited && vmOf(asked) === vm)?.asked;
    return asked?.order.action === 'prefetch' ? (asked.order.share ?? 1) : 1;
  }

  /** How soon other hosts get what they ask of a VM that is lent to them. */
  urgencyOfLent(vm: VmId): Urgency {
    const known = this.#lent.get(vm);
    const goes = known === undefined || this.#options.suspender.phase(vm) === 'away';
    return goes ? { awaited: true, priority: 0, dueMs: 0, turn: 0 } : known;
  }

  async #inLine(order: Prefetch, underWay: UnderWay, receivedAtMs: number, onProgress: OnProgress): Promise<Ended> {
    const { clock } = this.#options;
    const { deadlineMs = Number.POSITIVE_INFINITY, priority = PREFETCH_PRIORITY, bytesPerSecondMax } = order;
    const dueMs = receivedAtMs + deadlineMs;
    const place = this.#line.enter(priority, dueMs);
    const stop = (): boolean => underWay.cancelled || clock.bootMs() >= dueMs;
    underWay.place = place;
    // A resume may have come before its turn in the VM's own queue.
    if (underWay.awaited || underWay.cancelled) place.hurry();
    try {
      // Nothing is held for one that stands in line.
      await place.turn(stop);
      return await this.#prefetch(order, underWay, dueMs, inTurn(clock, bytesPerSecondMax, place, stop, onProgress));
    } finally {
      underWay.place = null;
      place.leave();
    }
  }

  async #prefetch(
    { vm: id, holdMs, deadlineMs = Number.POSITIVE_INFINITY, from }: Prefetch,
    underWay: UnderWay,
    dueMs: number,
    onProgress: OnProgress,
  ): Promise<Ended> {
    const { suspender, clock, enqueue, log } = this.#options;
    const vm = id as VmId;
    const late = (): boolean => clock.bootMs() >= dueMs;
    const tooLate: Ended = { outcome: 'failed', reason: `it was not ready within ${deadlineMs / 1000} s, and is given up`, measured: {} };
    if (late()) return tooLate;
    // One that was made ready elsewhere and let go there is still lent: nobody brings it back there now.
    const lent = suspender.records().some((one) => one.vm === vm && one.lentTo !== null);
    if (from === undefined && lent) await suspender.letGo(vm);
    const stop = (): boolean => underWay.cancelled || late();
    const preparing = from === undefined ? suspender.prepare(vm, onProgress, stop) : suspender.prepareFrom(vm, from, onProgress, stop);
    const done = await preparing.catch((error: unknown) => {
      if (underWay.cancelled || !late()) throw error;
      return null;
    });
    if (done === null || late()) {
      await suspender.letGo(vm);
      return tooLate;
    }
    this.#endHold(vm);
    const release = (): void => {
      enqueue(vm, async () => {
        await suspender.letGo(vm);
        log.info('a VM that waited for its resume waits no more', { vm });
      });
    };
    this.#holds.set(vm, clock.setTimeout(release, holdMs));
    return applied(done);
  }

  #endHold(vm: VmId): void {
    this.#holds.get(vm)?.cancel();
    this.#holds.delete(vm);
  }

  #progressOf(underWay: UnderWay): OnProgress {
    return (doneBytes, totalBytes) => {
      Object.assign(underWay, { doneBytes, totalBytes });
      if (this.#options.clock.monotonicMs() - underWay.toldMs >= PROGRESS_MS) this.#tellProgress(underWay);
    };
  }

  #tellProgress(underWay: UnderWay): void {
    const { clock, send } = this.#options;
    const { asked, beganMs, doneBytes, totalBytes } = underWay;
    underWay.toldMs = clock.monotonicMs();
    const restMs = doneBytes === 0 ? null : ((underWay.toldMs - beganMs) * Math.max(0, totalBytes - doneBytes)) / doneBytes;
    const progress = totalBytes === 0 ? null : { doneBytes, totalBytes, restMs };
    const ahead = underWay.place?.ahead() ?? 0;
    send({ ...this.#resultOf(asked), outcome: null, reason: '', progress, measured: {}, ...(ahead === 0 ? {} : { ahead }) });
  }

  #answer(asked: SuspendAsked, { outcome, reason, measured, address }: Ended): void {
    const { log, send, changed } = this.#options;
    const told = { outcome, reason: reason.slice(0, REASON_MAX), progress: null, measured, ...(address === undefined ? {} : { address }) };
    const result: SuspendResult = { ...this.#resultOf(asked), ...told };
    this.#underWay.delete(asked.orderId);
    this.#answers.set(asked.orderId, result);
    const oldest = this.#answers.keys().next().value;
    if (this.#answers.size > ANSWERS_MAX && oldest !== undefined) this.#answers.delete(oldest);
    log.info(`${asked.order.action} ${outcome}`, { orderId: asked.orderId, vm: result.vm, reason });
    send(result);
    this.tellAll();
    changed();
  }

  #resultOf(asked: SuspendAsked): Pick<SuspendResult, 'type' | 'orderId' | 'action' | 'vm' | 'wallMs'> {
    const { orderId, order } = asked;
    return { type: 'suspend-result', orderId, action: order.action, vm: vmOf(asked), wallMs: this.#options.clock.wallMs() };
  }
}

interface Ended extends Done {
  outcome: Outcome;
  /** Where what was lent is asked for. */
  address?: string;
}

const applied = (done: Done): Ended => ({ outcome: 'applied', ...done });
const failed = (error: unknown): Ended => ({ outcome: 'failed', reason: errorText(error), measured: {} });
const vmOf = ({ order }: SuspendAsked): VmId | null => ('vm' in order ? (order.vm as VmId) : null);

/** What is still to come of a VM: of its disks, and what could not be had. */
export interface Rests {
  disk(target: string): DiskRest | null;
  /** Names of records, as many as a frame may have. */
  lacking: readonly string[];
}

export function viewOf(
  record: SuspendRecord,
  rests: Rests = { disk: () => null, lacking: [] },
): FrameOf<'suspended'>['vms'][number] | null {
  const { vm, name, phase, recipe, reason, snapshot, sinceMs, memoryBytes, filledBytes, touches, score, problems, from, lentTo, disks } =
    record;
  if (phase === null) return null;
  const model = createTouchModel(touches);
  return {
    ...{ vm, name, phase, recipe, reason: reason.slice(0, 1024), snapshot, sinceMs, memoryBytes, filledBytes, problems },
    ...{ resumes: model.resumes, predictedChunks: model.predict(PREDICTED_CHUNKS_MAX).length },
    ...{ hitRate: score?.hitRate ?? null, wasteRate: score?.wasteRate ?? null },
    ...(from === null ? {} : { from: from.host }),
    ...(lentTo === null ? {} : { lentTo: lentTo.host }),
    ...(disks.length === 0 ? {} : { disks: disks.map((disk) => ownDisk(disk, snapshot, rests.disk(disk.target))) }),
    ...(rests.lacking.length === 0 ? {} : { lacks: { tenant: record.tenant, names: [...rests.lacking] } }),
  };
}

function ownDisk(disk: HeldDisk, snapshot: string | null, rest: DiskRest | null) {
  const left = rest === null ? {} : { leftBytes: rest.leftBytes, ...(rest.restMs === null ? {} : { restMs: rest.restMs }) };
  return { target: disk.target, bytes: disk.bytes, state: diskState(disk, snapshot), ...left, ...disk.score };
}

/** After each chunk: no more bytes a second than that, and no further while a more urgent one fetches. */
function inTurn(
  clock: Clock,
  bytesPerSecondMax: number | null,
  place: PrefetchPlace,
  stop: () => boolean,
  onProgress: OnProgress,
): OnProgress {
  let beforeBytes = 0;
  let nextMs = 0;
  return async (doneBytes, totalBytes) => {
    onProgress(doneBytes, totalBytes);
    if (bytesPerSecondMax !== null) {
      // Time spent standing in line is not made up for: that would be above the cap.
      const nowMs = clock.monotonicMs();
      nextMs = Math.max(nextMs, nowMs) + (Math.max(0, doneBytes - beforeBytes) / bytesPerSecondMax) * 1000;
      beforeBytes = doneBytes;
      if (nextMs > nowMs) await place.rest(nextMs - nowMs);
    }
    await place.turn(stop);
  };
}
