/**
 * The seam to ownership: which hosts this aggregator decides about, and whether it is the one that decides what crosses
 * hosts. Adapters: sole (one aggregator, which has all), leased (several, by a table of leases). What is held counts at the
 * instant it is asked for: an owner that cannot know any more whether its lease lives holds nothing.
 */
import type { HostId } from '../../shared/ids.ts';

/** An aggregator that lives, as the others know it. */
export interface Member {
  name: string;
  /** Where agents reach it. */
  url: string;
}

/** The aggregator that decides what crosses hosts. */
export interface FleetHolder {
  name: string;
  epoch: number;
  /** By which it shows the others that it is the one; empty: it has none, and cannot ask them. */
  word: string;
}

export type Claim =
  | { kind: 'held'; epoch: number }
  /** Another has it, or should take it. */
  | { kind: 'elsewhere'; owner: Member }
  /** Nobody can tell now: the table of leases does not answer, or its entry is just ending. */
  | { kind: 'unknown'; reason: string };

export interface ClaimOptions {
  /** The agent cannot be sent elsewhere: taken unless somebody has it. */
  here?: boolean;
}

export interface Ownership {
  /** Of this aggregator. */
  readonly name: string;
  /** Takes up membership; rejects only when it can never be had. */
  start(): Promise<void>;
  /** The epoch of our hold on a host, which rises with every owner and every hold; null = it is not ours now. */
  epochOf(host: HostId): number | null;
  /** Of our hold on what crosses hosts; null = another decides it, or nobody now. */
  fleetEpoch(): number | null;
  /** Who has that hold, as the table told last; null = not known now. */
  fleetHolder(): FleetHolder | null;
  /** Those that live, ourselves included, by name. */
  members(): readonly Member[];
  claim(host: HostId, options?: ClaimOptions): Promise<Claim>;
  /** Given back, for another to take. */
  release(host: HostId): Promise<void>;
  /** Hosts that another should have, at most so many; none while members come and go. */
  misplaced(movesMax: number): readonly { host: HostId; to: Member }[];
  /** Called when hosts stop being ours without our own doing. */
  onLost(listener: (hosts: readonly HostId[], reason: string) => void): void;
  /** Called when hosts may be free to take: members came or went, or one that is wanted here has been given up. */
  onFree(listener: () => void): void;
  /** These hosts' agents are here because they do not reach their owners, who are told so. Replaces what was wanted before. */
  want(hosts: ReadonlyMap<HostId, string>): void;
  /** Agents have left: for some seconds who lives, and what others wait for, is looked at more often. */
  attend(): void;
  /** Called with hosts of ours whose agents came to others because they do not reach us; again while that lasts. */
  onWanted(listener: (hosts: readonly HostId[]) => void): void;
  /** For so long that others may have what it held, it could not renew its lease. */
  lapsed(): boolean;
  /** Called when that has come about. */
  onLapsed(listener: () => void): void;
  metrics(): Record<string, number>;
  /** Gives everything back. */
  close(): Promise<void>;
}
