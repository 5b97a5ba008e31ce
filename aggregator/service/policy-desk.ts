/**
 * Policies as people change them: by API, by CLI, by the file. Input: texts; output: what changed, for the one who asked, for
 * the event log and for live state, which plans by the new policy from then on.
 */
import type { FleetPolicy } from '../core/plan/policy.ts';
import { differenceLines, type PolicyDifferences } from '../core/plan/policy-diff.ts';
import type { AggregatorService, PolicyApplied } from '../http/service.ts';
import type { Parts } from './parts.ts';
import { previewPlan } from './policy-preview.ts';

/** Lines of differences that a person still reads, in an answer and in an event; VMs whose changes are told as data. */
const CHANGES_TOLD_MAX = 200;
const CHANGES_IN_EVENT_MAX = 20;
const VMS_TOLD_MAX = 1000;

type Applying = Parameters<AggregatorService['applyPolicies']>[2];
type DeskParts = Pick<Parts, 'policies' | 'state' | 'reporter' | 'snapshot' | 'epoch' | 'prng' | 'time'>;

export class PolicyDesk {
  readonly #parts: DeskParts;

  constructor(parts: DeskParts) {
    this.#parts = parts;
  }

  /** Throws POLICY_INVALID, VERSION_CHANGED; a dry run changes nothing. */
  async apply(source: string, by: string, { dryRun, ifVersion }: Applying): Promise<PolicyApplied> {
    const { policies, epoch, prng } = this.#parts;
    const snapshot = this.#parts.snapshot();
    if (dryRun) {
      policies.checkVersion(ifVersion);
      const { policy, changes } = policies.preview(source, snapshot.vms, snapshot.nowMs);
      return { ...told(policies.policy, changes), nextPlan: previewPlan(snapshot, policy, epoch, prng) };
    }
    const changes = await policies.apply(source, { by, ifVersion }, snapshot.vms, snapshot.nowMs);
    this.#changed(by, changes);
    return { ...told(policies.policy, changes), nextPlan: null };
  }

  /** Reads the policy file again and takes what is new in it; one that is not understood is told of once. */
  async reload(): Promise<void> {
    const { policies, reporter, snapshot, time } = this.#parts;
    const reloaded = await policies.reload(() => snapshot().vms, time.nowMs());
    if (reloaded === null) return;
    if ('changes' in reloaded) this.#changed('the policy file', reloaded.changes);
    else reporter.operator(null, null, `the policy file is not taken, the one in force stays: ${reloaded.problem}`, 'policy', {});
  }

  /** Takes what another aggregator has taken into force. Rejects when the ledger does not answer. */
  async refresh(): Promise<void> {
    const { policies, snapshot } = this.#parts;
    const changes = await policies.refresh(() => snapshot().vms);
    if (changes !== null) this.#changed('another aggregator', changes);
  }

  #changed(by: string, differences: PolicyDifferences): void {
    const { policies, state, reporter } = this.#parts;
    state.setPolicy(policies.policy);
    const { version } = policies.policy;
    const changes = differences.fleet.length + differences.vms.length;
    const lines = differenceLines(differences, CHANGES_IN_EVENT_MAX);
    reporter.operator(null, null, `policy ${version} by ${by}: ${changes} changes`, 'policy', { version, by, changes: lines });
  }
}

function told({ version }: FleetPolicy, changes: PolicyDifferences): Pick<PolicyApplied, 'version' | 'changes' | 'vms'> {
  return { version, changes: differenceLines(changes, CHANGES_TOLD_MAX), vms: changes.vms.slice(0, VMS_TOLD_MAX) };
}
