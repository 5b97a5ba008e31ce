/**
 * The policy in force: where it came from, its revision, what a new one would change. Input: the policy file (read again
 * from time to time) and texts from API or CLI; output: FleetPolicy. A text taken by API outlives a restart, until the file
 * itself is changed. A file that cannot be read or understood changes nothing.
 */
import { createHash } from 'node:crypto';
import { errorText } from '../../shared/errors.ts';
import { RESOURCES } from '../../shared/resources.ts';
import { FORECASTERS } from '../core/forecast/registry.ts';
import type { VmSnapshot } from '../core/plan/plan.ts';
import type { FleetPolicy } from '../core/plan/policy.ts';
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
}

const BLOB = 'policy/current';
/** Lines of differences that a person still reads. */
const CHANGES_TOLD_MAX = 200;

export type MatchedVm = Pick<VmSnapshot, 'id' | 'name' | 'host' | 'labels'>;

export class PolicyKeeper {
  readonly #ledger: LedgerStore;
  readonly #file: PolicySource;
  readonly #leaseMs: number;
  #kept: Kept = { version: 0, source: EMPTY_POLICY_SOURCE, fileDigest: null };
  #parsed: PolicyFile;
  #refusedDigest: string | null = null;

  constructor(ledger: LedgerStore, file: PolicySource, leaseMs: number) {
    this.#ledger = ledger;
    this.#file = file;
    this.#leaseMs = leaseMs;
    this.#parsed = this.#parse(EMPTY_POLICY_SOURCE, 0);
  }

  get policy(): FleetPolicy {
    return this.#parsed.policy;
  }

  view(): { version: number; source: string; parsed: unknown } {
    return { version: this.#kept.version, source: this.#kept.source, parsed: this.#parsed.document };
  }

  /** At start: what was kept, or the file where it is newer. Throws POLICY_INVALID for a file that never was in force. */
  async load(nowMs: number): Promise<void> {
    const kept = await this.#ledger.getBlob(BLOB);
    if (kept !== null) {
      this.#kept = JSON.parse(new TextDecoder().decode(kept)) as Kept;
      this.#parsed = this.#parse(this.#kept.source, this.#kept.version);
    }
    const source = await this.#file.read();
    if (source !== null && digestOf(source) !== this.#kept.fileDigest) await this.#take(source, 'the policy file', digestOf(source), nowMs);
  }

  /** Reads the file again. Answers what changed, or the problem, once for each version of the file; null = nothing new. */
  async reload(vms: readonly MatchedVm[], nowMs: number): Promise<{ changes: string[] } | { problem: string } | null> {
    let source: string | null;
    try {
      source = await this.#file.read();
    } catch (error) {
      return this.#refused(`unreadable: ${errorText(error)}`, errorText(error));
    }
    if (source === null) return null;
    const digest = digestOf(source);
    if (digest === this.#kept.fileDigest || digest === this.#refusedDigest) return null;
    try {
      return { changes: await this.apply(source, 'the policy file', false, vms, nowMs, digest) };
    } catch (error) {
      return this.#refused(digest, errorText(error));
    }
  }

  #refused(digest: string, problem: string): { problem: string } | null {
    if (digest === this.#refusedDigest) return null;
    this.#refusedDigest = digest;
    return { problem };
  }

  /** Throws POLICY_INVALID. The differences for these VMs come back; with `dryRun` nothing else happens. */
  async apply(
    source: string,
    by: string,
    dryRun: boolean,
    vms: readonly MatchedVm[],
    nowMs: number,
    fileDigest = this.#kept.fileDigest,
  ): Promise<string[]> {
    const next = this.#parse(source, this.#kept.version + 1);
    const changes = differences(this.policy, next.policy, vms);
    if (!dryRun) await this.#take(source, by, fileDigest, nowMs);
    return changes;
  }

  async #take(source: string, by: string, fileDigest: string | null, nowMs: number): Promise<void> {
    const kept: Kept = { version: this.#kept.version + 1, source, fileDigest };
    const parsed = this.#parse(source, kept.version);
    await this.#ledger.putBlob(BLOB, new TextEncoder().encode(JSON.stringify(kept)));
    await this.#ledger.append(nowMs, { kind: 'policy', version: kept.version, by, digest: digestOf(parsed.canonical) });
    this.#kept = kept;
    this.#parsed = parsed;
    this.#refusedDigest = null;
  }

  #parse(source: string, version: number): PolicyFile {
    return parsePolicyFile(source, { version, forecasters: FORECASTERS, leaseMs: this.#leaseMs });
  }
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** In words: `web-1 cpu: mode observe → auto`; the fleet's own values first. */
function differences(before: FleetPolicy, after: FleetPolicy, vms: readonly MatchedVm[]): string[] {
  const { version: _v, resolve: resolveBefore, ...fleetBefore } = before;
  const { version: _w, resolve: resolveAfter, ...fleetAfter } = after;
  const lines = fieldDifferences(fleetBefore, fleetAfter).map((change) => `fleet: ${change}`);
  for (const vm of vms) {
    for (const resource of RESOURCES) {
      const changes = fieldDifferences(resolveBefore(vm, resource), resolveAfter(vm, resource));
      if (changes.length > 0) lines.push(`${vm.name} ${resource}: ${changes.join(', ')}`);
    }
  }
  if (lines.length <= CHANGES_TOLD_MAX) return lines;
  return [...lines.slice(0, CHANGES_TOLD_MAX), `… and ${lines.length - CHANGES_TOLD_MAX} more`];
}

function fieldDifferences(before: object, after: object): string[] {
  const old = before as Record<string, unknown>;
  return Object.entries(after).flatMap(([name, value]) => {
    const was = JSON.stringify(old[name]);
    const is = JSON.stringify(value);
    return was === is ? [] : [`${name} ${unquoted(was)} → ${unquoted(is)}`];
  });
}

function unquoted(json: string): string {
  return json.startsWith('"') ? json.slice(1, -1) : json;
}
