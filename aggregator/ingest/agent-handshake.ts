/**
 * Who an agent is, and whether it belongs here. Input: its hello, and the proof it is asked for. Output: its admission, with the version
 * to speak, or word that another aggregator has its host; what refuses it ends its session.
 */
import { randomBytes } from 'node:crypto';
import { errorText, HeadroomError, isHeadroomError } from '../../shared/errors.ts';
import type { Occasion } from '../../shared/identity.ts';
import type { HostId } from '../../shared/ids.ts';
import type { Session } from '../../shared/net/session.ts';
import { type FrameOf, GUEST_FRAME_BYTES_MAX, REDIRECT_CAPABILITY } from '../../shared/protocol/frames.ts';
import { chooseVersion } from '../../shared/protocol/versions.ts';
import type { AgentIdentities } from './agent-identities.ts';
import { type Admit, agentOf, type Elsewhere, type IngestCounters, type PeerKey } from './peer-state.ts';

export interface Admitted {
  hello: FrameOf<'hello'>;
  version: number;
  /** Who it says it is, is proven or needs no proof. */
  known: boolean;
  /** Of the key it proved itself with. */
  keyId: string | null;
  epoch: number;
}

export interface HandshakeMeans {
  session: Session;
  counters: IngestCounters;
  options: { identities?: AgentIdentities; admit?: Admit };
  /** Of who looks after all hosts alone. */
  epoch(): number;
  admitted(admitted: Admitted): void;
  elsewhere(place: Elsewhere): void;
}

interface Challenge {
  version: number;
  occasion: Occasion;
}

const NONCE_BYTES = 32;

export class AgentHandshake {
  readonly #means: HandshakeMeans;
  /** Asked for, not yet given. */
  #challenge: Challenge | undefined;
  /** Where it belongs is being found out. */
  #placing = false;
  /** Who it said it is, when it was refused. */
  refused: PeerKey | null = null;

  constructor(means: HandshakeMeans) {
    this.#means = means;
  }

  /** Throws HANDSHAKE_REFUSED, FRAME_OUT_OF_ORDER. */
  hello(hello: FrameOf<'hello'>): void {
    const { counters, options, session } = this.#means;
    try {
      const version = chooseVersion(hello.versions);
      if (hello.role === 'guest') session.narrow('aggregator-from-guest', GUEST_FRAME_BYTES_MAX);
      const { local } = session.transport;
      if (options.identities?.required(hello, local)) this.#ask(hello, version, options.identities);
      else this.#place({ hello, version, known: local, keyId: null });
    } catch (error) {
      counters.handshakesRefused++;
      throw error;
    }
  }

  async proven(proof: FrameOf<'proof'>): Promise<void> {
    const { options, session } = this.#means;
    const challenge = this.#challenge;
    // Good for one answer, be it right or wrong.
    this.#challenge = undefined;
    try {
      if (!challenge) throw new HeadroomError('FRAME_OUT_OF_ORDER', 'a proof that was not asked for');
      const keyId = await options.identities!.prove(challenge.occasion, proof);
      if (!session.closed) this.#place({ hello: challenge.occasion.hello, version: challenge.version, known: true, keyId });
    } catch (error) {
      this.#refuse(error, 'UNAVAILABLE', challenge?.occasion.hello);
    }
  }

  #ask(hello: FrameOf<'hello'>, version: number, identities: AgentIdentities): void {
    const { session } = this.#means;
    if (this.#challenge) throw new HeadroomError('FRAME_OUT_OF_ORDER', 'a second hello');
    const { binding = '', local, peer } = session.transport;
    if (binding === '' && !local) throw new HeadroomError('HANDSHAKE_REFUSED', `${peer} comes from beyond this machine without TLS`);
    const nonce = randomBytes(NONCE_BYTES).toString('base64url');
    this.#challenge = { version, occasion: { hello, nonce, binding } };
    session.send({ type: 'challenge', nonce, rotate: identities.wantsRotation(hello) });
  }

  /** Here, or with another aggregator. */
  #place(who: Omit<Admitted, 'epoch'>): void {
    const { admitted, elsewhere, epoch, options, session } = this.#means;
    const { hello, known } = who;
    if (options.admit === undefined || hello.role !== 'host' || hello.host === null || !known) {
      admitted({ ...who, epoch: epoch() });
      return;
    }
    if (this.#placing) throw new HeadroomError('FRAME_OUT_OF_ORDER', 'a second hello');
    this.#placing = true;
    options
      .admit(hello.host as HostId, hello)
      .then((admission) => {
        if (session.closed) return;
        if (admission.here) admitted({ ...who, epoch: admission.epoch });
        else if (hello.capabilities.includes(REDIRECT_CAPABILITY)) elsewhere(admission);
        else throw new HeadroomError('HANDSHAKE_REFUSED', `${admission.reason}; its agent must connect to ${admission.url ?? 'another'}`);
      })
      .catch((error: unknown) => this.#refuse(error, 'INVARIANT_BROKEN', hello));
  }

  /** `unforeseen`: what an error that is none of ours stands for. */
  #refuse(error: unknown, unforeseen: 'UNAVAILABLE' | 'INVARIANT_BROKEN', hello: FrameOf<'hello'> | undefined): void {
    const { counters, session } = this.#means;
    counters.handshakesRefused++;
    this.refused = hello === undefined ? null : agentOf(hello);
    session.fail(isHeadroomError(error) ? error : new HeadroomError(unforeseen, errorText(error), { cause: error }));
  }
}
