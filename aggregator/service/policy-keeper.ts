/**
 * The policy in force: where it came from, its version, what a new one would change, and every version there was. Input: the
 * policy file (read again from time to time) and texts from API or CLI; output: FleetPolicy. A text taken by API outlives a
 * restart, until the file itself is changed. A file that cannot be read or understood changes nothing.
 */
import { createHash } from 'node:crypto';
import { errorText, HeadroomError, isHeadroomError } from '../../shared/errors.ts';
import { FORECASTERS } from '../core/forecast/registry.ts';
import type { VmSnapshot } from '../core/plan/plan.ts';
import type { FleetPolicy } from '../core/plan/policy.ts';
import { type PolicyDifferences, policyDifferences } from '../core/plan/policy-diff.ts';
import { EMPTY_POLICY_SOURCE, type PolicyFile, parsePolicyFile } from '../core/plan/policy-file.ts';
import type { LedgerStore } from '../store/ledger-store.ts';

/** Where policies come from besides API and CLI; null = there is none. */
export interface PolicySource {
  read(): Promise<string | null>;
}

interface Kept {
  version: number;
  source: string;
  /** The file as it was when this policy was taken: a later change of the file wins. */
  fileDigest: string | null;
  /** When it took force; absent in what older programs kept. */
  takenAtMs?: number;
}

/** One version as the ledger tells of it, `source` null where it is no longer kept. */
export interface PolicyVersion {
  version: number;
  atMs: number;
  by: string;
  /** SHA-256 of the canonical text, as the hash-chained entry has it. */
  digest: string;
  source: string | null;
}

const BLOB = 'policy/current';
const versionBlob = (version: number): string => `policy/version/${version}`;
/** Entries of the ledger read for a list of versions. */
const VERSIONS_READ_MAX = 1000;
/** Each loss means that somebody else has taken theirs. */
const LOADS_MAX = 16;

export class PolicyKeeper {
  readonly #ledger: LedgerStore;
  readonly #file: PolicySource;
  readonly #leaseMs: number;
  #kept: Kept = { version: 0, source: EMPTY_POLICY_SOURCE, fileDigest: null };
  #parsed: PolicyFile;
  #refusedDigest: string | null = null;
  /** The file as it was when it was last read: another aggregator's policy is not undone by a file that has not changed. */
  #seenDigest: string | null = null;
  /** Policies are taken one at a time: two writers must not both become version N. */
  #taking: Promise<unknown> = Promise.resolve();

  constructor(ledger: LedgerStore, file: PolicySource, leaseMs: number) {
    this.#ledger = ledger;
    this.#file = file;
    this.#leaseMs = leaseMs;
    this.#parsed = this.#parse(EMPTY_POLICY_SOURCE, 0, 0);
  }

  get policy(): FleetPolicy {
    return this.#parsed.policy;
  }

  view(): { version: number; source: string; parsed: unknown } {
    return { version: this.#kept.version, source: this.#kept.source, parsed: this.#parsed.document };
  }

  /** At start: what was kept, or the file where it is newer. Throws POLICY_INVALID for a file that never was in force. */
  async load(nowMs: number): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#load(nowMs);
      } catch (error) {
        // Several aggregators that start for the first time all bring the same file: one is first, the others find it there.
        if (!isHeadroomError(error, 'VERSION_CHANGED') || tries >= LOADS_MAX) throw error;
      }
    }
  }

  async #load(nowMs: number): Promise<void> {
    const kept = await this.#ledger.getBlob(BLOB);
    if (kept !== null) {
      this.#kept = JSON.parse(new TextDecoder().decode(kept)) as Kept;
      this.#parsed = this.#parse(this.#kept.source, this.#kept.version, this.#kept.takenAtMs ?? 0);
    }
    const source = await this.#file.read();
    if (source === null) return;
    this.#seenDigest = digestOf(source);
    if (this.#seenDigest !== this.#kept.fileDigest) await this.#take(source, 'the policy file', this.#seenDigest, nowMs);
  }

  /** What another aggregator has taken into force since; null = nothing. Rejects when the ledger does not answer. */
  refresh(vms: () => readonly VmSnapshot[]): Promise<PolicyDifferences | null> {
    const next = this.#taking.then(async () => {
      const bytes = await this.#ledger.getBlob(BLOB);
      if (bytes === null) return null;
      const kept = JSON.parse(new TextDecoder().decode(bytes)) as Kept;
      if (kept.version <= this.#kept.version) return null;
      const before = this.policy;
      this.#parsed = this.#parse(kept.source, kept.version, kept.takenAtMs ?? 0);
      this.#kept = kept;
      return policyDifferences(before, this.policy, vms());
    });
    this.#taking = next.catch(() => undefined);
    return next;
  }

  /** Reads the file again. Answers what changed, or the problem, once for each version of the file; null = nothing new. */
  async reload(vms: () => readonly VmSnapshot[], nowMs: number): Promise<{ changes: PolicyDifferences } | { problem: string } | null> {
    let source: string | null;
    try {
      source = await this.#file.read();
    } catch (error) {
      return this.#refused('unreadable', errorText(error));
    }
    if (source === null) return null;
    const digest = digestOf(source);
    if (digest === this.#kept.fileDigest || digest === this.#refusedDigest || digest === this.#seenDigest) return null;
    this.#seenDigest = digest;
    try {
      return { changes: await this.apply(source, { by: 'the policy file', ifVersion: null, fileDigest: digest }, vms(), nowMs) };
    } catch (error) {
      return this.#refused(digest, errorText(error));
    }
  }

  #refused(digest: string, problem: string): { problem: string } | null {
    if (digest === this.#refusedDigest) return null;
    this.#refusedDigest = digest;
    return { problem };
  }

  /** The policy that a text would become, and what it would change for these VMs; nothing happens. Throws POLICY_INVALID. */
  preview(source: string, vms: readonly VmSnapshot[], nowMs: number): { policy: FleetPolicy; changes: PolicyDifferences } {
    const { policy } = this.#parse(source, this.#kept.version + 1, nowMs);
    return { policy, changes: policyDifferences(this.policy, policy, vms) };
  }

  /** Throws VERSION_CHANGED unless the policy in force is the one the caller looked at. */
  checkVersion(ifVersion: number | null): void {
    const { version } = this.#kept;
    if (ifVersion === null || ifVersion === version) return;
    throw new HeadroomError(
      'VERSION_CHANGED',
      `policy version ${version} is in force, not ${ifVersion}: someone changed it meanwhile; read it again and apply your change to it`,
    );
  }

  /** Takes a text into force; the differences for these VMs come back. Throws POLICY_INVALID, VERSION_CHANGED. */
  async apply(
    source: string,
    taken: { by: string; ifVersion: number | null; fileDigest?: string },
    vms: readonly VmSnapshot[],
    nowMs: number,
  ): Promise<PolicyDifferences> {
    const next = this.#taking.then(async () => {
      this.checkVersion(taken.ifVersion);
      const { changes } = this.preview(source, vms, nowMs);
      await this.#take(source, taken.by, taken.fileDigest ?? this.#kept.fileDigest, nowMs);
      return changes;
    });
    this.#taking = next.catch(() => undefined);
    return next;
  }

  /** Newest first. */
  async versions(limit: number, before: number | null = null): Promise<PolicyVersion[]> {
    const entries = await this.#ledger.entries({
      ...{ kind: 'policy', newestFirst: true },
      limit: before === null ? Math.min(limit, VERSIONS_READ_MAX) : VERSIONS_READ_MAX,
    });
    return entries
      .flatMap(({ timeMs, body }) =>
        body.kind === 'policy' ? [{ version: body.version, atMs: timeMs, by: body.by, digest: body.digest, source: null }] : [],
      )
      .filter(({ version }) => before === null || version < before)
      .slice(0, limit);
  }

  /** Null: there was no such version. Throws LEDGER_BROKEN when the kept text is not the one the chain speaks of. */
  async version(version: number): Promise<PolicyVersion | null> {
    const found = (await this.versions(VERSIONS_READ_MAX)).find((each) => each.version === version);
    if (found === undefined) return null;
    const blob = await this.#ledger.getBlob(versionBlob(version));
    const source = blob === null ? (version === this.#kept.version ? this.#kept.source : null) : new TextDecoder().decode(blob);
    if (source !== null && digestOf(this.#parse(source, version, 0).canonical) !== found.digest) {
      throw new HeadroomError('LEDGER_BROKEN', `the kept text of policy version ${version} is not the one in the ledger's chain`);
    }
    return { ...found, source };
  }

  async #take(source: string, by: string, fileDigest: string | null, nowMs: number): Promise<void> {
    const kept: Kept = { version: this.#kept.version + 1, source, fileDigest, takenAtMs: nowMs };
    const parsed = this.#parse(source, kept.version, nowMs);
    const bytes = new TextEncoder();
    await this.#ledger.putBlob(versionBlob(kept.version), bytes.encode(source));
    await this.#ledger.putBlob(BLOB, bytes.encode(JSON.stringify(kept)));
    await this.#ledger.append(nowMs, { kind: 'policy', version: kept.version, by, digest: digestOf(parsed.canonical) });
    this.#kept = kept;
    this.#parsed = parsed;
    this.#refusedDigest = null;
  }

  #parse(source: string, version: number, takenAtMs: number): PolicyFile {
    return parsePolicyFile(source, { version, takenAtMs, forecasters: FORECASTERS, leaseMs: this.#leaseMs });
  }
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
