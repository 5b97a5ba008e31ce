/**
 * What the HTTP API, the event stream and the metrics read: implemented by the aggregator's composition root over live
 * state, stores and loops. Plain data in the API's own words; nothing here decides.
 */

import type { HostId, VmId } from '../../shared/ids.ts';
import type { PublicKey, VmDevice } from '../../shared/protocol/frames.ts';
import type { VmAction } from '../../shared/protocol/vm-action-frames.ts';
import type { EligibilityMap, Mode, Resource, Setting, VmState } from '../../shared/resources.ts';
import type { Feedback } from '../core/anomaly/feedback.ts';
import type { Incident } from '../core/anomaly/incident.ts';
import type { KnownEvent } from '../core/anomaly/known-events.ts';
import type { CapacityView } from '../core/capacity/host-capacity.ts';
import type { Classification } from '../core/classify/workload-class.ts';
import type { Cause, LoginTimes } from '../core/credential/delay.ts';
import type { Loan } from '../core/plan/loan.ts';
import type { FleetSnapshot, ForecastView, HostSnapshot, LintFinding, Plan, PlanStep } from '../core/plan/plan.ts';
import type { VmPolicyChange } from '../core/plan/policy-diff.ts';
import type { Shortage } from '../core/plan/shortage.ts';
import type { SlaState } from '../core/plan/sla.ts';
import type { Contention } from '../core/state/contention-score.ts';
import type { VerdictKind } from '../core/verdict/judge.ts';
import type { Notification } from '../notify/notifier.ts';
import type { LedgerEntry, LedgerStore } from '../store/ledger-store.ts';
import type { SeriesStore } from '../store/series-store.ts';
import type { SpawnService } from './spawn-service.ts';
import type { SuspendService } from './suspend-service.ts';

export interface GuestHint {
  /** In the resource's unit. */
  amount: number;
  fromMs: number;
  untilMs: number;
  /** Up to which it counts: the share that the policy guarantees. */
  countsTo: number | null;
}

export interface ResourceView {
  mode: Mode;
  rule: string;
  eligible: EligibilityMap[Resource];
  /** Headline unit: cores, MiB, bytes/s. `null` = unknown; `uncapped` = no limit is set. */
  unit: 'cores' | 'MiB' | 'bytes/s';
  allocation: number | null;
  uncapped: boolean;
  setting: Setting | null;
  baseline: Setting | null;
  usage: number | null;
  demand: number | null;
  suppressed: boolean;
  ageMs: number;
  floor: number | null;
  ceiling: number | null;
  forecast: ForecastView | null;
  holds: { reason: string; forMs: number | null }[];
  /** What its guest says that it will need; absent = it has said nothing that still counts. Its own word: it never is a command. */
  hints?: GuestHint[];
  /** What became of the last change that was judged, null = none was. */
  lastVerdict: {
    changedAtMs: number;
    judgedAtMs: number;
    direction: 'grow' | 'shrink';
    verdict: VerdictKind;
    reason: string;
    planId: string | null;
  } | null;
  /** No shrink before then, after one that did harm; null = no such rest. */
  coolUntilMs: number | null;
  /** A target that was tried and not reached, null = none. */
  infeasible: { direction: 'grow' | 'shrink'; target: number; reason: string; untilMs: number } | null;
  lastDecision: { atMs: number; planId: string; done: boolean; reason: string; constraint: string; outcome: string | null } | null;
}

/** How many vCPUs a guest has online, and what became of changes of that; what is absent there is not, or is not told. */
export interface VcpuView {
  defined: number;
  /** In the guest, as far as Headroom changes that, by the guest's word; null = it does not. */
  online: number | null;
  lastChange: { atMs: number; reason: string } | null;
  lastVerdict?: NonNullable<ResourceView['lastVerdict']> & { from: number; to: number };
  coolUntilMs?: number;
  infeasible?: { target: number; reason: string; untilMs: number };
}

export interface VmView {
  id: VmId;
  name: string;
  host: HostId;
  state: VmState;
  labels: Record<string, string>;
  guestAgent: boolean;
  /** Absent: another aggregator did not tell. */
  vcpus?: VcpuView;
  missingSignals: string[];
  /** What of its host stands behind its resources; absent = not told. */
  devices?: VmDevice[];
  /** How much it suffers from neighbours and limits, null = unknown. */
  contention: Contention | null;
  /** Which kind of work it does. */
  workload: Classification;
  resources: Record<Resource, ResourceView>;
}

/** A login that was asked for. */
export interface CredentialView extends LoginTimes {
  id: string;
  vm: VmId;
  by: string;
  askedAtMs: number;
  state: 'pending' | 'delayed' | 'ready' | 'failed';
  /** Why it failed, else empty. */
  reason: string;
  /** In the guest; null = the guest has not said yet. */
  account: string | null;
  method: 'ssh-key' | 'password' | null;
  /** By the guest's clock; null = it does not end by itself, or is not made yet. */
  expiresAtMs: number | null;
  /** The secret, as a JWE that the user's private key opens; only when ready, for ten minutes. */
  sealed: string | null;
  /** Null: it is not, and was not, late. */
  delay: { causes: Cause[]; message: string } | null;
}

export interface HostView extends HostSnapshot {
  vms: number;
  allocatedCores: number;
  allocatedMiB: number;
}

export interface PlanView extends Plan {
  lint: LintFinding[];
  outcomes: { step: number; outcome: string; reason: string }[];
  /** On steps that were applied, once their window is over. */
  verdicts: { step: number; verdict: VerdictKind; reason: string }[];
  /** Of steps about vCPUs; absent = none yet. */
  vcpuOutcomes?: { vcpuStep: number; outcome: string; reason: string }[];
  vcpuVerdicts?: { vcpuStep: number; verdict: VerdictKind; reason: string }[];
}

export type FleetEvent = {
  id: number;
  timeMs: number;
  kind: 'plan' | 'outcome' | 'agent' | 'notification' | 'vm-state' | 'policy' | 'operator';
  vm: VmId | null;
  host: HostId | null;
  /** For people. */
  message: string;
  data: Record<string, unknown>;
};

/** What is or was wrong with a VM. */
export interface IncidentView extends Incident {
  id: string;
  vmName: string;
  /** What was done about it beside telling, or why not; oldest first. */
  actions: { action: VmAction; outcome: string; reason: string; atMs: number }[];
  /** A person's word on it. */
  feedback: Feedback | null;
}

/** How many vCPUs are online in a guest, as a change of its own. */
export interface VcpuNumber {
  resource: 'vcpus';
  online: number;
}

/** A change that the policy only recommends. */
export interface RecommendationView {
  /** UUID and resource of the VM. */
  id: string;
  vm: VmId;
  vmName: string;
  host: HostId;
  resource: Resource | 'vcpus';
  direction: 'grow' | 'shrink';
  from: Setting | VcpuNumber;
  to: Setting | VcpuNumber;
  reason: string;
  planId: string;
  atMs: number;
  /** Leave that was given and not used yet; null = none. */
  approval: { by: string; atMs: number; untilMs: number; to: Setting | VcpuNumber } | null;
}

/** What the last shrink took and is given back. */
export interface TakenBack {
  vm: VmId;
  vmName: string;
  resource: Resource | 'vcpus';
  from: Setting | VcpuNumber;
  to: Setting | VcpuNumber;
  changedAtMs: number;
  dryRun: boolean;
}

/** A shortage that goes on. */
export interface ShortageView extends Shortage {
  sinceMs: number;
  /** The administrator was told. */
  alerted: boolean;
}

/** The next plan as another policy would make it. */
export interface PlanPreview {
  steps: PlanStep[];
  stepsAll: number;
  /** Things not done, by what bound them. */
  notDone: Record<string, number>;
}

export interface PolicyApplied {
  /** In force now. */
  version: number;
  /** For people. */
  changes: string[];
  vms: VmPolicyChange[];
  /** Only of a dry run. */
  nextPlan: PlanPreview | null;
}

export interface PolicyVersionView {
  version: number;
  atMs: number;
  by: string;
  digest: string;
  source: string | null;
}

export interface AggregatorService {
  readonly version: string;
  readonly startedAtMs: number;
  readonly epoch: number;
  nowMs(): number;
  /** Ready to decide: the store has answered since the start, a plan was made. The reason when not; when it is, what is amiss. */
  ready(): { ready: boolean; reason: string };
  hosts(): HostView[];
  vms(): VmView[];
  vm(id: VmId): VmView | null;
  snapshot(): FleetSnapshot;
  plans(limit: number): PlanView[];
  plan(id: string): PlanView | null;
  /** The policy file in force, as its source text and parsed form. */
  policies(): { version: number; source: string; parsed: unknown };
  /** Validates and (unless dryRun) takes into force; throws POLICY_INVALID naming line and field, VERSION_CHANGED. */
  applyPolicies(source: string, by: string, options: { dryRun: boolean; ifVersion: number | null }): Promise<PolicyApplied>;
  /** Newest first, without their texts. */
  /** `before`: only versions older than that one; null = from the newest. */
  policyVersions(limit: number, before: number | null): Promise<PolicyVersionView[]>;
  /** What waits for somebody's leave. */
  recommendations(): RecommendationView[];
  /** `to`: as far as this, null = as recommended now. Throws NOT_FOUND, CONFLICT when the other way round is recommended by now. */
  approve(id: string, to: Setting | VcpuNumber | null, by: string, dryRun: boolean): Promise<RecommendationView>;
  /** Gives back what the last shrink took. Throws CONFLICT when the last change was none. */
  takeBack(vm: VmId, resource: Resource | 'vcpus', by: string, dryRun: boolean): Promise<TakenBack>;
  /** What is or was wrong with VMs, newest first. */
  incidents(): IncidentView[];
  /** A person's word on an incident tunes the VM's detectors; throws NOT_FOUND. */
  judgeIncident(id: string, feedback: Feedback, by: string, dryRun?: boolean): IncidentView;
  /** A deployment, a load test: what begins while it lasts is explained. */
  addKnownEvent(event: KnownEvent, by: string): void;
  /** Ends an isolation before its time; resolves with how that ended. */
  releaseVm(vm: VmId, by: string, dryRun?: boolean): Promise<{ outcome: string; reason: string }>;
  /** The policy's agreements on service, and how well they were kept. */
  slas(): SlaState[];
  /** What each host can be sold beyond what its VMs will want together, the roomiest first. */
  capacity(): CapacityView[];
  /** What VMs lend each other: open loans first, then those that ended, newest first. */
  loans(): Loan[];
  /** VMs that find no room on their host now, and what is done about it. */
  shortages(): ShortageView[];
  /** Null: there was no such version. */
  policyVersion(version: number): Promise<PolicyVersionView | null>;
  setKillSwitch(
    scope: { kind: 'fleet' } | { kind: 'host'; host: HostId } | { kind: 'vm'; vm: VmId },
    engaged: boolean,
    by: string,
    reason: string,
  ): Promise<void>;
  events: { recent(limit: number): FleetEvent[]; subscribe(listener: (event: FleetEvent) => void): () => void };
  /** What the owners of VMs are told; newest last. */
  notifications: {
    recent(vm: VmId, limit: number): Notification[];
    subscribe(vm: VmId, listener: (notification: Notification) => void): () => void;
  };
  /** A login for a VM's user, sealed to that key. Throws UNAVAILABLE where it cannot be asked for, CONFLICT while one is made. */
  askForLogin(vm: VmId, publicKey: PublicKey, by: string, dryRun?: boolean): CredentialView;
  /** Null: there is no such login, or no longer. */
  login(vm: VmId, id: string): CredentialView | null;
  /** Templates, and groups of VMs made from them. */
  readonly spawning: SpawnService;
  /** VMs that are suspended and brought back. */
  readonly suspending: SuspendService;
  readonly series: SeriesStore;
  readonly ledger: LedgerStore;
  ledgerEntries(query: Parameters<LedgerStore['entries']>[0]): Promise<LedgerEntry[]>;
  /** Counters and gauges of ingest, loops and queues, for /metrics. */
  metrics(): Record<string, number>;
}
