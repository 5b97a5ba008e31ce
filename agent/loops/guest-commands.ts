/**
 * The commands a guest accepts: so many vCPUs online, and a login for its user. Input: guest commands; output: their results,
 * and how far a login is.
 */
import type { Clock } from '../../shared/clock.ts';
import { errorText } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { comparePairs, type Pair } from '../../shared/resources.ts';
import { CredentialDesk, type CredentialMaker, type Stalls } from './credential-desk.ts';

export interface GuestCommandsOptions {
  clock: Clock;
  vm: VmId;
  /** Brings so many vCPUs online and says how many are; throws when the kernel refuses. */
  setCpusOnline: (vcpus: number) => number;
  /** How logins may be made, null or absent = not at all. */
  credentials?: CredentialMaker | null;
  /** What the guest waited for; absent = its kernel does not tell. */
  stalls?: Stalls;
  send: (frame: FrameOf<'result'> | FrameOf<'credential'>) => unknown;
  log: Logger;
}

const UNKNOWN_STALLS: Stalls = () => ({ cpu: null, memory: null, io: null });

export class GuestCommands {
  readonly #options: GuestCommandsOptions;
  readonly #desk: CredentialDesk;
  #highest: Pair | null = null;

  constructor(options: GuestCommandsOptions) {
    this.#options = options;
    const { credentials = null, stalls = UNKNOWN_STALLS, send } = options;
    this.#desk = new CredentialDesk({ ...options, maker: credentials, stalls, send: (answer) => void send(answer) });
  }

  receive(command: FrameOf<'guest-command'>): void {
    const { action } = command;
    if (action.kind === 'credential') void this.#desk.receive(command, action.publicKey);
    else this.#options.send(this.#cpusOnline(command, action.vcpus));
  }

  #cpusOnline({ commandId, vm: meant, pair }: FrameOf<'guest-command'>, vcpus: number): FrameOf<'result'> {
    const { clock, vm, log, setCpusOnline } = this.#options;
    const answer = (outcome: 'applied' | 'refused' | 'failed', reason: string): FrameOf<'result'> => {
      return { type: 'result', commandId, vm, resource: 'cpu', pair, outcome, reason, readBack: null, wallMs: clock.wallMs() };
    };
    if (meant !== vm) return answer('refused', `this guest is ${vm}, not ${meant}`);
    // The same pair again is a repeat, and bringing the same CPUs online again changes nothing.
    if (this.#highest !== null && comparePairs(pair, this.#highest) < 0) return answer('refused', 'a newer command was accepted already');
    this.#highest = pair;
    try {
      const online = setCpusOnline(vcpus);
      log.info('vCPUs online', { asked: vcpus, online });
      return online === vcpus ? answer('applied', `${online} vCPUs online`) : answer('failed', `${online} vCPUs are online`);
    } catch (error) {
      return answer('failed', errorText(error).slice(0, 1024));
    }
  }
}
