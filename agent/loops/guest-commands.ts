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
import type { GuestCpus } from '../guest-cpus.ts';
import { CredentialDesk, type CredentialMaker, type Stalls } from './credential-desk.ts';

export interface GuestCommandsOptions {
  clock: Clock;
  vm: VmId;
  /** Null: this agent may change nothing about them. */
  cpus: GuestCpus | null;
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
    else this.#options.send(this.#cpusOnline(command, action.original ? null : action.vcpus));
  }

  /** `vcpus` null: all that were online before. Never too late for that, so whatever came since does not matter. */
  #cpusOnline({ commandId, vm: meant, pair }: FrameOf<'guest-command'>, vcpus: number | null): FrameOf<'result'> {
    const { clock, vm, log, cpus } = this.#options;
    const answer = (outcome: 'applied' | 'refused' | 'failed', reason: string, online?: number): FrameOf<'result'> => {
      const frame = {
        type: 'result',
        commandId,
        vm,
        resource: 'cpu',
        pair,
        outcome,
        reason,
        readBack: null,
        wallMs: clock.wallMs(),
      } as const;
      return online === undefined ? frame : { ...frame, vcpusOnline: online };
    };
    if (meant !== vm) return answer('refused', `this guest is ${vm}, not ${meant}`);
    if (cpus === null) return answer('refused', 'this agent may not take vCPUs on or offline');
    // The same pair again is a repeat, and bringing the same CPUs online again changes nothing.
    const late = this.#highest !== null && comparePairs(pair, this.#highest) < 0;
    if (late && vcpus !== null) return answer('refused', 'a newer command was accepted already');
    if (!late) this.#highest = pair;
    try {
      const online = vcpus === null ? cpus.restore() : cpus.set(vcpus);
      log.info('vCPUs online', { asked: vcpus ?? 'all', online });
      // More than there were at first means all of them.
      const done = vcpus === null || online === vcpus || (online < vcpus && !cpus.held);
      return done ? answer('applied', `${online} vCPUs online`, online) : answer('failed', `${online} vCPUs are online`, online);
    } catch (error) {
      return answer('failed', errorText(error).slice(0, 1024));
    }
  }
}
