/** What a borrower serves a VM: a disk of which all or a part lies with a lender that comes and goes. */
import type { Copy, RemoteCopy } from './mirror.ts';

export interface ServedDisk extends Copy {
  /** `sameBytes`: bytes that are read from the lender; `writtenBytes`: those that the guest may want again. */
  readonly view: { lender: boolean; writtenBytes: number; sameBytes: number };
  attach(remote: RemoteCopy): void;
  /** The lender's connection is known to be over. */
  lost(remote: RemoteCopy, reason: string): void;
  /** True: the lender answered in time. */
  ask(): Promise<boolean>;
  /** Gives the lender what it lacks. */
  refill(): Promise<void>;
}
