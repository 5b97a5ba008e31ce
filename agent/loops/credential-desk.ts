/**
 * A login for the guest's user, made in the guest: secret, sealed to the user's key, account, in this order, so that an account
 * is touched only once the secret is safely wrapped. Input: `credential` actions; output: `credential` frames, one a second
 * while it works, with what each phase took and what the guest waited for meanwhile. The plain secret stays in here.
 */
import type { Clock, Timer } from '../../shared/clock.ts';
import { errorText } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import type { CREDENTIAL_METHODS, CREDENTIAL_PHASES, FrameOf, PublicKey } from '../../shared/protocol/frames.ts';

export type CredentialMethod = (typeof CREDENTIAL_METHODS)[number];
type Phase = (typeof CREDENTIAL_PHASES)[number];
type Answer = FrameOf<'credential'>;

/** A secret that opens nothing yet. */
export interface NewSecret {
  text: string;
  /** UTC ms by the guest's clock; null = until it is changed. */
  expiresAtMs: number | null;
  /** Makes it a way in. Rejects with ENVIRONMENT, and then it opens nothing. */
  install(): Promise<void>;
}

/** What the guest's administrator allowed: one account, one method. */
export interface CredentialMaker {
  readonly account: string;
  readonly method: CredentialMethod;
  newSecret(): Promise<NewSecret>;
  /** Encrypts to the key: JWE, compact. */
  seal(secret: string, to: PublicKey): Promise<string>;
}

/** Running totals of PSI "some", ms; null = the kernel does not tell. */
export type Stalls = () => Answer['stalledMs'];

export interface CredentialDeskOptions {
  clock: Clock;
  vm: VmId;
  /** Null: nobody allowed it in this guest. */
  maker: CredentialMaker | null;
  stalls: Stalls;
  send: (answer: Answer) => void;
  log: Logger;
}

/** Whoever waits wants to know why within moments. */
const PROGRESS_MS = 1000;
/** Ends remembered for commands that come again; each holds a sealed secret of about a kilobyte. */
const ENDS_MAX = 4;
/** Shown where the secret would help whoever is at the console: what to do, and nothing else. */
const NOT_ALLOWED =
  'logins are not switched on in this guest: its administrator starts the guest agent with --credential-account NAME to allow them';

export class CredentialDesk {
  readonly #options: CredentialDeskOptions;
  readonly #ends = new Map<string, Answer>();
  #working: string | null = null;

  constructor(options: CredentialDeskOptions) {
    this.#options = options;
  }

  /** A command that comes again is answered with its end, or goes on. */
  async receive(command: { commandId: string; vm: string }, publicKey: PublicKey): Promise<void> {
    const { maker, send, vm } = this.#options;
    const { commandId } = command;
    const known = this.#ends.get(commandId);
    if (known !== undefined) return send(known);
    if (this.#working === commandId) return;
    const refuse = (reason: string): void => send({ ...this.#blank(commandId), state: 'refused', reason });
    if (command.vm !== vm) return refuse(`this guest is ${vm}, not ${command.vm}`);
    if (maker === null) return refuse(NOT_ALLOWED);
    if (this.#working !== null) return refuse('another login is being made; ask again when it has ended');
    this.#working = commandId;
    try {
      this.#end(await this.#make(commandId, publicKey, maker));
    } finally {
      this.#working = null;
    }
  }

  async #make(commandId: string, publicKey: PublicKey, maker: CredentialMaker): Promise<Answer> {
    const { clock, stalls, send, log } = this.#options;
    const beganMs = clock.monotonicMs();
    const before = stalls();
    const phases: { name: Phase; ms: number }[] = [];
    let expiresAtMs: number | null = null;
    const so = (state: Answer['state'], reason: string, sealed: string | null): Answer => ({
      ...this.#blank(commandId),
      ...{ state, reason: reason.slice(0, 1024), sealed, expiresAtMs, account: maker.account, method: maker.method },
      elapsedMs: clock.monotonicMs() - beganMs,
      phases: [...phases],
      stalledMs: stalledSince(before, stalls()),
    });
    const timed = async <T>(name: Phase, work: () => Promise<T>): Promise<T> => {
      const phase = { name, ms: 0 };
      phases.push(phase);
      const fromMs = clock.monotonicMs();
      try {
        return await work();
      } finally {
        phase.ms = clock.monotonicMs() - fromMs;
      }
    };
    send(so('working', 'begun', null));
    const progress: Timer = clock.setInterval(
      () => send(so('working', `at phase "${phases.at(-1)?.name ?? 'secret'}"`, null)),
      PROGRESS_MS,
    );
    try {
      const secret = await timed('secret', () => maker.newSecret());
      expiresAtMs = secret.expiresAtMs;
      const sealed = await timed('encrypt', () => maker.seal(secret.text, publicKey));
      await timed('account', () => secret.install());
      log.info('a login was made', { commandId, account: maker.account, method: maker.method });
      return so('ready', 'made', sealed);
    } catch (error) {
      log.warn('no login was made', { commandId, account: maker.account, error: errorText(error) });
      return so('failed', errorText(error), null);
    } finally {
      progress.cancel();
    }
  }

  #end(answer: Answer): void {
    this.#ends.set(answer.commandId, answer);
    for (const oldest of this.#ends.keys()) {
      if (this.#ends.size <= ENDS_MAX) break;
      this.#ends.delete(oldest);
    }
    this.#options.send(answer);
  }

  #blank(commandId: string): Answer {
    const { vm, maker } = this.#options;
    return {
      ...{ type: 'credential', commandId, vm, state: 'working', reason: '' },
      ...{ account: maker?.account ?? null, method: maker?.method ?? null, expiresAtMs: null, sealed: null },
      ...{ elapsedMs: 0, phases: [], stalledMs: { cpu: null, memory: null, io: null } },
    };
  }
}

function stalledSince(before: Answer['stalledMs'], now: Answer['stalledMs']): Answer['stalledMs'] {
  const since = (from: number | null, to: number | null): number | null => (from === null || to === null ? null : Math.max(0, to - from));
  return { cpu: since(before.cpu, now.cpu), memory: since(before.memory, now.memory), io: since(before.io, now.io) };
}
