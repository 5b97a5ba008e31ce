/**
 * The seam to what the host agent keeps on disk: journals, kill switches, requests of the command line to the service.
 * Adapters: state-dir.ts (a directory), and in-memory ones in simulation and tests. Calls are synchronous on purpose: what
 * must be durable before a write is durable when the call returns.
 */
import type { VmId } from '../../shared/ids.ts';
import type { Resource } from '../../shared/resources.ts';
import type { VmRecord } from '../core/journal.ts';

export interface KillSwitches {
  /** Why the whole host is stopped, null = it is not. */
  host: string | null;
  vms: ReadonlyMap<VmId, string>;
}

export interface LiftRequest {
  vm: VmId;
  /** null = every resource. */
  resource: Resource | null;
}

export interface StateFiles {
  /** All records; files that cannot be understood are set aside and named in `problems`. */
  load(): { records: VmRecord[]; problems: string[] };
  /** Durable when it returns; throws ENVIRONMENT when it could not be kept. */
  save(record: VmRecord): void;
  remove(vm: VmId): void;
  kills(): KillSwitches;
  /** `reason` null takes the switch off again. `vm` null = the whole host. */
  setKill(vm: VmId | null, reason: string | null): void;
  requestLift(request: LiftRequest): void;
  /** Requests since the last call, which removes them. */
  takeLifts(): LiftRequest[];
}
