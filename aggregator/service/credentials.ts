/**
 * Logins that were asked for, until they are ready: passed to the guest's agent by way of its host, repeated until it answers,
 * watched for delay and its cause. Input: requests, `credential` frames; output: commands, views, notifications, ledger
 * entries. No plain secret ever comes here: what is kept is sealed, for a few minutes, in memory alone.
 */
import type { Clock, Timer } from '../../shared/clock.ts';
import { HeadroomError } from '../../shared/errors.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { FrameOf, PublicKey } from '../../shared/protocol/frames.ts';
import type { Resource } from '../../shared/resources.ts';
import { type Cause, causesOf, type GuestWork, timesOf, type Wait, type WaitedFor } from '../core/credential/delay.ts';
import { delayWords, phaseWords } from '../core/credential/words.ts';
import type { CredentialView } from '../http/service.ts';
import type { LedgerBody } from '../store/ledger-store.ts';
import type { Told } from './notification-log.ts';

export interface CredentialsOptions {
  clock: Clock;
  /** Of this start: part of logins' names. */
  epoch: number;
  /** Of our hold on a host. */
  epochOf: (host: HostId) => number;
  nowMs: () => number;
  send: (host: HostId, frame: FrameOf<'guest-command'>) => boolean;
  /** The VM's host; why nothing can be asked of it, null = it can. */
  host: (vm: VmId) => { host: HostId; refusal: string | null };
  /** What the host saw the VM wait for of late. */
  waits: (vm: VmId) => Record<WaitedFor, Wait>;
  /** What is done about a lack of this, in words. */
  doing: (vm: VmId, resource: Resource) => string;
  tell: (told: Told) => void;
  record: (timeMs: number, body: LedgerBody) => void;
}

interface Login {
  id: string;
  vm: VmId;
  by: string;
  frame: FrameOf<'guest-command'>;
  askedAtMs: number;
  askedMonoMs: number;
  /** First handed to a host; null = to none yet. */
  sentMonoMs: number | null;
  lastSentMonoMs: number;
  /** The guest's first word. */
  heardMonoMs: number | null;
  lastHeardMonoMs: number;
  endedMonoMs: number | null;
  answer: FrameOf<'credential'> | null;
  state: 'pending' | 'ready' | 'failed';
  reason: string;
  /** Of the delay as it was last told: not repeated until it is another. */
  toldCauses: string | null;
  causes: Cause[] | null;
}

const TICK_MS = 1000;
/** A command or its answer may be lost with a connection; the guest knows a repetition by its id. */
const REPEAT_MS = 5000;
/** A guest that has not managed it by then is beyond help by waiting. */
const DEADLINE_MS = 10 * 60_000;
/** A sealed secret is kept for the user to fetch, and no longer. */
const KEPT_MS = 10 * 60_000;
/** Under way at once over the whole fleet: people ask for logins one by one. */
const OPEN_MAX = 200;

const RESOURCE_OF: Readonly<Record<WaitedFor, Resource>> = { memory: 'memory', cpu: 'cpu', io: 'disk' };

export class Credentials {
  readonly #options: CredentialsOptions;
  readonly #logins = new Map<string, Login>();
  #timer: Timer | null = null;
  #count = 0;

  constructor(options: CredentialsOptions) {
    this.#options = options;
  }

  /** Throws UNAVAILABLE where the VM cannot be asked, CONFLICT where one is under way already. `dryRun`: nothing but that. */
  request(vm: VmId, publicKey: PublicKey, by: string, dryRun = false): CredentialView {
    const { clock, nowMs, epoch, epochOf, record } = this.#options;
    const { host, refusal } = this.#options.host(vm);
    if (refusal !== null) throw new HeadroomError('UNAVAILABLE', refusal);
    const open = [...this.#logins.values()].filter(({ state }) => state === 'pending');
    const same = open.find((login) => login.vm === vm);
    if (same) throw new HeadroomError('CONFLICT', `login ${same.id} is being made for this VM; wait for it, or for ten minutes`);
    if (open.length >= OPEN_MAX)
      throw new HeadroomError('UNAVAILABLE', `${OPEN_MAX} logins are being made, which is the limit; try again later`);
    const id = `login-${epoch}-${++this.#count}`;
    const login: Login = {
      ...{ id, vm, by, askedAtMs: nowMs(), askedMonoMs: clock.monotonicMs(), state: 'pending', reason: '' },
      frame: {
        type: 'guest-command',
        commandId: id,
        vm,
        pair: { epoch: epochOf(host), generation: this.#count },
        action: { kind: 'credential', publicKey },
      },
      ...{ sentMonoMs: null, lastSentMonoMs: Number.NEGATIVE_INFINITY, heardMonoMs: null, lastHeardMonoMs: Number.NEGATIVE_INFINITY },
      ...{ endedMonoMs: null, answer: null, toldCauses: null, causes: null },
    };
    if (dryRun) return { ...this.#view(login), id: 'none' };
    this.#logins.set(id, login);
    record(login.askedAtMs, { kind: 'operator', action: 'login asked for', by, target: `vm ${vm}`, reason: id });
    this.#tell(login, null, `A login was asked for by ${by}`);
    this.#send(login);
    this.#timer ??= clock.setInterval(() => this.#tick(), TICK_MS);
    return this.#view(login);
  }

  view(vm: VmId, id: string): CredentialView | null {
    const login = this.#logins.get(id);
    return login?.vm === vm ? this.#view(login) : null;
  }

  onAnswer(answer: FrameOf<'credential'>): void {
    const login = this.#logins.get(answer.commandId);
    if (login === undefined || login.vm !== answer.vm || login.state !== 'pending') return;
    const nowMonoMs = this.#options.clock.monotonicMs();
    // What the guest had worked before its word came counts as its own time, not as the way to it; the word that was quickest to
    // come tells best when it began: a guest short of memory may say all at once, long after.
    login.heardMonoMs = Math.min(login.heardMonoMs ?? Number.POSITIVE_INFINITY, nowMonoMs - answer.elapsedMs);
    login.lastHeardMonoMs = nowMonoMs;
    login.answer = answer;
    if (answer.state === 'working') return;
    this.#end(login, answer.state === 'ready' ? 'ready' : 'failed', answer.reason);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #tick(): void {
    const nowMonoMs = this.#options.clock.monotonicMs();
    for (const login of this.#logins.values()) {
      if (login.state !== 'pending') {
        if (nowMonoMs - (login.endedMonoMs ?? 0) > KEPT_MS) this.#logins.delete(login.id);
        continue;
      }
      const silentMs = nowMonoMs - Math.max(login.lastSentMonoMs, login.lastHeardMonoMs);
      if (silentMs >= REPEAT_MS) this.#send(login);
      this.#noteDelay(login);
      if (nowMonoMs - login.askedMonoMs >= DEADLINE_MS) this.#end(login, 'failed', 'the guest gave no end of it within ten minutes');
    }
    if (this.#logins.size === 0) this.stop();
  }

  #send(login: Login): void {
    const { host, refusal } = this.#options.host(login.vm);
    const nowMonoMs = this.#options.clock.monotonicMs();
    if (refusal !== null || !this.#options.send(host, login.frame)) return;
    login.sentMonoMs ??= nowMonoMs;
    login.lastSentMonoMs = nowMonoMs;
  }

  #end(login: Login, state: 'ready' | 'failed', reason: string): void {
    const { clock, nowMs, record, host } = this.#options;
    login.state = state;
    login.reason = state === 'ready' ? '' : reason;
    login.endedMonoMs = clock.monotonicMs();
    const { vm, answer } = login;
    login.causes = causesOf(this.#times(login).totalMs, workOf(login), this.#options.waits(vm));
    const times = phaseWords(this.#times(login));
    const who = answer?.account ? ` for account ${answer.account}` : '';
    const words =
      state === 'ready' ? `The login${who} is ready (${times})${this.#lateWords(login)}` : `No login was made${who}: ${reason} (${times})`;
    record(nowMs(), {
      kind: 'event',
      event: `login ${state}`,
      vm,
      host: host(vm).host,
      resource: null,
      message: `${login.id}: ${words}`,
      after: null,
    });
    this.#tell(login, login.causes?.[0]?.resource ?? null, words);
  }

  #lateWords(login: Login): string {
    return login.causes === null ? '' : `; it was ${this.#delay(login, login.causes)}`;
  }

  /** Told when it becomes late, when the guest is heard at last, and when the cause is another. */
  #noteDelay(login: Login): void {
    login.causes = causesOf(this.#times(login).totalMs, workOf(login), this.#options.waits(login.vm));
    if (login.causes === null) return;
    const key = [login.answer === null ? 'unheard' : 'heard', ...login.causes.map(({ resource }) => resource)].join();
    if (key === login.toldCauses) return;
    login.toldCauses = key;
    this.#tell(login, login.causes[0]?.resource ?? null, `The login is ${this.#delay(login, login.causes)}`);
  }

  #delay(login: Login, causes: readonly Cause[]): string {
    const doing = causes.map(({ resource }) => this.#options.doing(login.vm, RESOURCE_OF[resource]));
    return delayWords(this.#times(login), causes, doing, login.answer !== null);
  }

  #tell(login: Login, resource: WaitedFor | null, message: string): void {
    const { id, state, phases, unaccountedMs, totalMs, delay } = this.#view(login);
    this.#options.tell({
      ...{ timeMs: this.#options.nowMs(), vm: login.vm, kind: 'credential', message },
      resource: resource === null ? null : RESOURCE_OF[resource],
      data: { credentialId: id, state, totalMs, phases, unaccountedMs, causes: delay?.causes ?? [] },
    });
  }

  #times(login: Login): ReturnType<typeof timesOf> {
    const nowMonoMs = login.endedMonoMs ?? this.#options.clock.monotonicMs();
    const sentMs = login.sentMonoMs ?? nowMonoMs;
    const own = {
      totalMs: nowMonoMs - login.askedMonoMs,
      queueMs: sentMs - login.askedMonoMs,
      deliveryMs: login.heardMonoMs === null ? null : Math.max(0, login.heardMonoMs - sentMs),
    };
    return timesOf(own, workOf(login));
  }

  #view(login: Login): CredentialView {
    const { id, vm, by, askedAtMs, answer, reason, causes } = login;
    const delay = causes === null ? null : { causes, message: this.#delay(login, causes) };
    return {
      ...{ id, vm, by, askedAtMs, reason, delay },
      state: login.state === 'pending' && delay !== null ? 'delayed' : login.state,
      account: answer?.account ?? null,
      method: answer?.method ?? null,
      expiresAtMs: answer?.expiresAtMs ?? null,
      sealed: login.state === 'ready' ? (answer?.sealed ?? null) : null,
      ...this.#times(login),
    };
  }
}

function workOf({ answer }: Login): GuestWork | null {
  return answer;
}
