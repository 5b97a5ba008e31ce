/**
 * What aggregators tell each other so that one of them can decide what crosses hosts: the seam, apart from how it is carried. Whoever holds
 * the fleet asks; the others answer for their own hosts, and pass its orders on to them.
 */
import type { HostId, VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { SightPart } from '../core/spawn/group-sight.ts';

export interface HostAnswer {
  host: HostId;
  result: FrameOf<'build-result'>;
}

/** How far the answers of one aggregator's process have been read. */
export interface AnswersMark {
  /** Of that process: another one counts anew. */
  run: number;
  count: number;
}

export interface FleetAsked {
  vms: readonly VmId[];
  /** Null: whatever is kept. */
  since: AnswersMark | null;
}

export interface FleetTold {
  sight: SightPart;
  /** What its hosts said of builds since then: at least once each. */
  answers: readonly HostAnswer[];
  mark: AnswersMark;
}

/** Another aggregator. Rejects with UNAVAILABLE where it does not answer, or does not take us for who holds the fleet. */
export interface FleetPeer {
  readonly name: string;
  look(asked: FleetAsked): Promise<FleetTold>;
  build(host: HostId, frame: FrameOf<'build'>): Promise<void>;
}

/** Those that live; none where there is one aggregator alone. */
export type FleetPeers = () => readonly FleetPeer[];

/** What another aggregator may ask of us while it holds the fleet. */
export interface FleetDesk {
  tell(asked: FleetAsked): FleetTold;
  /** False: the host is not ours, or not connected. */
  pass(host: HostId, frame: FrameOf<'build'>): boolean;
}
