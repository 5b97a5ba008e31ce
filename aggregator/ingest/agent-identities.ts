/** What ingest needs to know of agents' keys: who must prove itself, and whether a proof is good. */
import type { Occasion } from '../../shared/identity.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';

export interface AgentIdentities {
  /** `local`: the peer is on this machine. */
  required(hello: FrameOf<'hello'>, local: boolean): boolean;
  /** The agent should bring a new key along. */
  wantsRotation(hello: FrameOf<'hello'>): boolean;
  /** Resolves to the id of the key in force once that is written down; rejects with HANDSHAKE_REFUSED. */
  prove(occasion: Occasion, proof: FrameOf<'proof'>): Promise<string>;
}
