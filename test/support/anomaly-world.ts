/**
 * A fleet for the anomaly desk, step by step: quiet VMs of which some go wrong at a known step. Input: who, under which policy, and
 * what an earlier run left; output: the desk, what was sent to hosts, what was told, live records.
 */
import type { VmIncident, VmSnapshot } from '../../aggregator/core/plan/plan.ts';
import { KeptWatch } from '../../aggregator/core/state/kept-watch.ts';
import type { ActionEnded, VmActions } from '../../aggregator/execute/vm-actions.ts';
import { AnomalyDesk } from '../../aggregator/service/anomaly-desk.ts';
import { KeptIncidents } from '../../aggregator/service/kept-incidents.ts';
import type { LedgerStore } from '../../aggregator/store/ledger-store.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';
import type { VmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { QUARANTINE_CAPABILITY, VM_ACTION_CAPABILITY } from '../../shared/protocol/vm-action-frames.ts';
import { hostOf, policyOf, testVmId, vmOf } from './fleet.ts';

export const STEP_MS = 60_000;
export const START_MS = 1_772_528_100_000;
const LEARNING = 100;
export const FAULT_AT = 160;
export const ISOLATE = 'version: 1\ndefaults:\n  anomaly: {isolate: {kinds: [runaway process, level shift, saturation], for: 10m}}\n';

export interface DeskWorld {
  /** VMs whose CPU runs away from FAULT_AT on. */
  struck: (n: number) => boolean;
  vms?: number;
  policy?: string;
  vouched?: boolean;
  labels?: Record<string, string>;
  steps?: number;
  /** The step to begin at; 0 by default. */
  from?: number;
  /** Of the host's agent. */
  capabilities?: readonly string[];
  outcome?: ActionEnded['outcome'];
  before?: (desk: AnomalyDesk, step: number) => void;
  /** What each VM's watch is brought from an earlier run, as its checkpoint keeps it. */
  watches?: (vm: VmId) => string | null;
  /** What an earlier run wrote; a new one by default. */
  ledger?: LedgerStore;
}

export async function runDesk(world: DeskWorld) {
  const {
    struck,
    vms: count = 6,
    policy: source = ISOLATE,
    vouched = true,
    labels = {},
    capabilities = [VM_ACTION_CAPABILITY, QUARANTINE_CAPABILITY],
    steps = FAULT_AT + 12,
    from = 0,
  } = world;
  const { ledger = createMemoryLedgerStore() } = world;
  const policy = policyOf(source);
  const watchOf = (vm: VmId): KeptWatch => {
    const watch = new KeptWatch();
    watch.restore(world.watches?.(vm) ?? null);
    return watch;
  };
  const records = new Map(
    Array.from({ length: count }, (_, n) => [
      testVmId(n),
      { host: 'kvm1', incident: null as VmIncident | null, watch: watchOf(testVmId(n)), matched: vmOf(n, { labels }) },
    ]),
  );
  const sent: { vm: string; action: string; forMs: number }[] = [];
  const told: string[] = [];
  let nowMs = START_MS + from * STEP_MS;
  const actions = {
    counters: {},
    onResult: () => undefined,
    stop: () => undefined,
    carryOut(_host: string, asked: { vm: string; action: string; forMs: number }, end: (ended: ActionEnded) => void) {
      sent.push(asked);
      end({ outcome: world.outcome ?? 'applied', reason: '' });
    },
  } as unknown as VmActions;
  const reporter = {
    incident: ({ change, alert }: { change: string; alert: boolean }) => (alert ? told.push(change) : 0),
    action: (_vm: string, _host: string, action: string, { outcome, reason }: ActionEnded) => told.push(`${action} ${outcome} ${reason}`),
    judged: () => told.push('judged'),
    knownEvent: () => told.push('known event'),
  };
  const desk = new AnomalyDesk({
    ...{
      stepMs: STEP_MS,
      learningSteps: LEARNING,
      actions,
      understands: (_host: string, capability: string) => capabilities.includes(capability),
    },
    time: { nowMs: () => nowMs },
    state: { policy, vm: (id: ReturnType<typeof testVmId>) => records.get(id) },
    reporter,
    kept: new KeptIncidents(ledger),
  } as unknown as ConstructorParameters<typeof AnomalyDesk>[0]);
  await desk.recall();
  const random = Array.from({ length: count }, (_, n) => createPrng(n + 1, 'desk'));
  for (let step = from; step < steps; step++) {
    nowMs = START_MS + step * STEP_MS;
    world.before?.(desk, step);
    const vms: VmSnapshot[] = Array.from({ length: count }, (_, n) => {
      const view = (usage: number | null) => ({ now: usage, usage, ageMs: 0, vouched, suppressed: false, forecast: null });
      const cpu = 0.3 + 0.05 * random[n]!.next() + (struck(n) && step >= FAULT_AT ? 1.6 : 0);
      const network = 1e5 * (0.9 + 0.2 * random[n]!.next());
      const demand = { cpu: view(cpu), memory: view(500 + 5 * random[n]!.next()), network: view(network), disk: view(null) };
      return vmOf(n, { demand, labels });
    });
    await desk.step({ nowMs, vms, hosts: [hostOf()], recentChanges: [], killSwitch: false }, async () => undefined);
    await Promise.resolve();
  }
  return { desk, sent, told, records, ledger };
}
