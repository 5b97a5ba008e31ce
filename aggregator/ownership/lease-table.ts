/**
 * The seam to a table of leases that several aggregators share. A lease lives as long as it is renewed; keys taken under it
 * end with it. Adapters: etcd, memory (simulation and tests). Calls reject with UNAVAILABLE when the table does not answer,
 * which says nothing about whether they took effect: all of them may be made again.
 */
export type LeaseId = string;

export interface TableEntry {
  key: string;
  value: string;
  /** Of its taking: rises over the whole table. Keys taken at the same time may share it, no two takings of one key do. */
  revision: number;
}

export interface Taken {
  /** It is held under our lease now. */
  mine: boolean;
  entry: TableEntry;
}

export interface LeaseTable {
  /** A new lease that ends `ttlMs`, whole seconds and two at least, after its last renewal, or later. */
  grant(ttlMs: number): Promise<LeaseId>;
  /** False: it has ended, and everything taken under it is free. */
  renew(lease: LeaseId): Promise<boolean>;
  /** Ends it, and everything taken under it, at once. */
  revoke(lease: LeaseId): Promise<void>;
  /** Takes a key unless it is taken; answers who has it. Rejects with LEASE_EXPIRED when the lease has ended. */
  take(lease: LeaseId, key: string, value: string): Promise<Taken>;
  /** Frees a key as it was taken at this revision; one that was taken since stays, however late this arrives. */
  free(key: string, revision: number): Promise<void>;
  /** Writes a key that nobody else takes or writes, under the lease; one that was there keeps its revision. Rejects with LEASE_EXPIRED when that has ended. */
  put(lease: LeaseId, key: string, value: string): Promise<void>;
  get(key: string): Promise<TableEntry | null>;
  /** Entries whose keys begin so, by key. */
  list(prefix: string): Promise<TableEntry[]>;
}
