/**
 * The seam to the ledger: who holds which physical resource where, and every change, hash-chained. Adapters: sqlite/
 * (embedded), later etcd/. An entry is durable when `append` resolves. The chain is SHA-256 over the previous hash and
 * the entry's canonical JSON, so that `verify` finds a changed, missing or reordered byte.
 */
import type { HostId, VmId } from '../../shared/ids.ts';
import type { Outcome, Resource, Setting } from '../../shared/resources.ts';
import type { Loan } from '../core/plan/loan.ts';
import type { SpawnPhase } from '../core/spawn/spawn-record.ts';
import type { Evidence, VerdictKind } from '../core/verdict/judge.ts';

export interface Allocation {
  vm: VmId;
  host: HostId;
  setting: Setting;
  sinceMs: number;
}

export type LedgerBody =
  | { kind: 'start'; version: string; epoch: number }
  | {
      kind: 'plan';
      planId: string;
      /** Who decided: the build (and its models'), its epoch, the policy's version; absent in entries of earlier builds. */
      by?: { version: string; epoch: number; policy: number };
      inputsDigest: string;
      steps: unknown[];
      notDone: unknown[];
      lintRejections: unknown[];
    }
  | {
      kind: 'outcome';
      planId: string;
      commandId: string;
      vm: VmId;
      host: HostId;
      resource: Resource;
      outcome: Outcome;
      reason: string;
      before: Setting;
      after: Setting | null;
    }
  | {
      kind: 'verdict';
      vm: VmId;
      host: HostId;
      resource: Resource;
      /** The change was of how many are online; absent: of the resource's setting. */
      vcpus?: { from: number; to: number };
      /** Null: the change was not of a plan. */
      planId: string | null;
      changedAtMs: number;
      verdict: VerdictKind;
      reason: string;
      before: Evidence;
      after: Evidence;
    }
  | {
      kind: 'event';
      event: string;
      vm: VmId | null;
      host: HostId;
      resource: Resource | null;
      message: string;
      after: Setting | null;
      /** Of an order about how many vCPUs are online (`vcpus-online`): `online` by the guest's word, null = it did not say. */
      vcpus?: { planId: string; from: number; to: number; of: number; online: number | null; outcome: Outcome; reason: string };
    }
  | { kind: 'loan'; loan: Loan }
  | { kind: 'policy'; version: number; by: string; digest: string }
  | { kind: 'template'; name: string; version: number; by: string; digest: string }
  | { kind: 'security'; event: string; subject: string; by: string; code: string | null; reason: string; untold: number }
  | {
      kind: 'spawn';
      group: string;
      vm: VmId;
      host: HostId;
      template: string;
      /** Into which it came; gone = nothing of it is left. */
      phase: SpawnPhase | 'gone';
      reason: string;
      failed: boolean;
    }
  | { kind: 'operator'; action: string; by: string; target: string; reason: string };

export interface LedgerEntry {
  index: number;
  timeMs: number;
  body: LedgerBody;
  previousHash: string;
  hash: string;
}

export type VerifyResult = { ok: true; entries: number; head: string } | { ok: false; index: number; problem: string };

export interface LedgerStore {
  /** Takes ownership: raises the counter and answers the new epoch (SQLite counts starts). */
  nextEpoch(): Promise<number>;
  append(timeMs: number, body: LedgerBody): Promise<LedgerEntry>;
  /** Filed under a VM are its outcomes and events and the plans with a step for it. */
  entries(query: {
    /** Where reading begins: upwards from here, or with newestFirst downwards from here; itself included. */
    fromIndex?: number;
    limit: number;
    vm?: VmId;
    kind?: LedgerBody['kind'];
    newestFirst?: boolean;
  }): Promise<LedgerEntry[]>;
  verify(): Promise<VerifyResult>;
  /** The map: one row per VM and resource. */
  putAllocation(allocation: Allocation): Promise<void>;
  removeVm(vm: VmId): Promise<void>;
  allocations(): Promise<Allocation[]>;
  /** Small named blobs: model checkpoints, policy versions. */
  putBlob(name: string, bytes: Uint8Array): Promise<void>;
  getBlob(name: string): Promise<Uint8Array | null>;
  /** One that is not there is removed already. */
  removeBlob(name: string): Promise<void>;
  /** Names that begin so, in no order. */
  blobNames(prefix: string): Promise<string[]>;
  close(): Promise<void>;
}
