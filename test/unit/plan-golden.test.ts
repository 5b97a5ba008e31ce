/** Goal: plans as text that a person has read and agreed to, for the situations that matter most. UPDATE_GOLDEN=1 writes them anew. */
import t from 'tap';
import { lintPlan } from '../../aggregator/core/lint/lint.ts';
import type { FleetSnapshot } from '../../aggregator/core/plan/plan.ts';
import { plan } from '../../aggregator/core/plan/planner.ts';
import { renderPlan } from '../../aggregator/core/plan/render.ts';
import { createPrng } from '../../shared/prng.ts';
import { AUTO_POLICY, demandOf, forecastOf, hostOf, NOW_MS, policyOf, snapshotOf, vmOf } from '../support/fleet.ts';
import { golden } from '../support/golden.ts';

const low = vmOf(1).demand;
const RISE = demandOf(0.3, forecastOf([0.3, 0.52, 0.9, 1.4, 1.4, 1.4]));
const FALL = demandOf(0.3, forecastOf([0.3, 0.28, 0.25, 0.25, 0.25, 0.25]));
const MEMORY_FALL = demandOf(300, forecastOf([300, 300, 300, 300, 300, 300]));
const MEMORY_RISE = demandOf(500, forecastOf([600, 700, 780, 800, 800, 800]));
const cpu = (capCores: number | null, weight = 100) => ({ resource: 'cpu' as const, weight, capCores });
const memory = (memoryMiB: number) => ({ resource: 'memory' as const, memoryMiB });

const SCENARIOS: Record<string, { source?: string; snapshot: FleetSnapshot }> = {
  'rise-and-fall': {
    snapshot: snapshotOf([
      vmOf(1, { name: 'web', current: { cpu: cpu(0.45), memory: memory(800) }, demand: { ...low, cpu: RISE } }),
      vmOf(2, {
        name: 'batch',
        demand: { ...low, cpu: FALL, memory: MEMORY_FALL },
        memory: { balloonMiB: 800, workingSetMiB: 300, workingSetPeakMiB: 320, rssMiB: 820, pressure: false },
      }),
      vmOf(3, { name: 'new', demand: { ...low, cpu: demandOf(0.9, null) }, current: { cpu: cpu(0.6), memory: memory(800) } }),
    ]),
  },
  'weights-by-default': {
    source: AUTO_POLICY.replace('enforcement: cap-always', 'enforcement: weight'),
    snapshot: snapshotOf([
      vmOf(1, { name: 'web', current: { cpu: cpu(null, 45), memory: memory(800) }, demand: { ...low, cpu: RISE } }),
      vmOf(2, { name: 'capped before', current: { cpu: cpu(1, 100), memory: memory(800) }, demand: { ...low, cpu: FALL } }),
    ]),
  },
  'caps-when-contended': {
    source: AUTO_POLICY.replace('enforcement: cap-always', 'enforcement: cap-when-contended'),
    snapshot: snapshotOf(
      [
        vmOf(1, { name: 'greedy', current: { cpu: cpu(null), memory: memory(800) }, demand: { ...low, cpu: FALL } }),
        vmOf(2, { name: 'elsewhere', host: hostOf({ id: 'kvm2' as never }).id, current: { cpu: cpu(1.2), memory: memory(800) } }),
      ],
      [hostOf({ cpuPressureFraction: 0.31 }), hostOf({ id: 'kvm2' as never })],
    ),
  },
  'no-room': {
    snapshot: snapshotOf(
      [
        vmOf(1, {
          name: 'grows',
          demand: { ...low, memory: MEMORY_RISE },
          current: { cpu: cpu(1), memory: memory(512) },
          memory: { ...vmOf(1).memory, balloonMiB: 512, rssMiB: 540 },
        }),
        vmOf(2, {
          name: 'also grows',
          demand: { ...low, memory: MEMORY_RISE },
          current: { cpu: cpu(1), memory: memory(512) },
          memory: { ...vmOf(1).memory, balloonMiB: 512, rssMiB: 540 },
        }),
        vmOf(3, {
          name: 'gives',
          demand: { ...low, memory: MEMORY_FALL },
          memory: { ...vmOf(1).memory, workingSetMiB: 300, workingSetPeakMiB: 320 },
        }),
        vmOf(4, { name: 'paused', state: 'paused' }),
        vmOf(5, { name: 'stopped', state: 'stopped' }),
      ],
      [hostOf({ memoryMiB: 4096, availableMiB: 900 })],
    ),
  },
  borrow: {
    source: `${AUTO_POLICY.replace('fleet:\n', 'fleet:\n  rebootTogether: 0\n  whenShort: {loanTerm: 20m, migrate: true}\n')}rules:
  - {name: important, match: {name: shop}, memory: {priority: 900}}
`,
    snapshot: snapshotOf(
      [
        vmOf(1, {
          name: 'shop',
          demand: { ...low, memory: MEMORY_RISE },
          current: { cpu: cpu(1), memory: memory(512) },
          memory: { ...vmOf(1).memory, balloonMiB: 512, rssMiB: 540 },
        }),
        vmOf(2, { name: 'batch', demand: { ...low, memory: demandOf(750, forecastOf([750, 750, 750, 750, 750, 750])) } }),
        vmOf(3, { name: 'equal', demand: { ...low, memory: demandOf(500, forecastOf([820, 820, 820, 820, 820, 820])) } }),
      ],
      [hostOf({ memoryMiB: 512 + 552 + 840 + 840, availableMiB: 900 }), hostOf({ id: 'kvm2' as never })],
    ),
  },
  'reasons-against': {
    source: `${AUTO_POLICY}rules:
  - {name: quorum, match: {class: cluster}, cpu: {growOnly: true}}
  - {name: advice, match: {name: advised}, cpu: {mode: recommend}}
`,
    snapshot: {
      ...snapshotOf(
        [
          vmOf(1, { name: 'held', holds: [{ resource: 'cpu', reason: 'someone else set a cap of 0.7 cores', forMs: 7_200_000 }] }),
          vmOf(2, { name: 'migrating', jobActive: true }),
          vmOf(3, { name: 'silent', demand: { ...low, cpu: demandOf(0.5, null, { ageMs: 300_000 }) } }),
          vmOf(4, {
            name: 'pinned',
            eligibility: { ...vmOf(4).eligibility, cpu: { allowed: false, reason: 'its vCPUs are pinned to CPUs of their own' } },
          }),
          vmOf(5, { name: 'etcd', labels: { class: 'cluster' }, demand: { ...low, cpu: FALL, memory: MEMORY_FALL } }),
          vmOf(6, { name: 'advised', demand: { ...low, cpu: FALL } }),
          vmOf(7, { name: 'under way', pending: { cpu: cpu(1.5) } }),
          vmOf(8, {
            name: 'short',
            demand: { ...low, memory: demandOf(1000, MEMORY_FALL.forecast, { suppressed: true }) },
            memory: { ...vmOf(8).memory, pressure: true },
          }),
          vmOf(9, {
            name: 'harmed',
            coolUntilMs: { memory: NOW_MS + 30_000 },
            rollback: { memory: { to: memory(950), reason: 'the guest was short of memory' } },
          }),
          vmOf(10, {
            name: 'will not give',
            demand: { ...low, memory: MEMORY_FALL },
            memory: { ...vmOf(10).memory, workingSetMiB: 300, workingSetPeakMiB: 310, rssMiB: 1020 },
          }),
          vmOf(11, {
            name: 'unsure',
            demand: { ...low, cpu: demandOf(0.3, forecastOf([0.3, 0.3, 0.3, 0.3, 0.3, 0.3], { confidence: 0.1 })) },
          }),
          vmOf(12, { name: 'claims', demand: { ...low, memory: demandOf(1000, null, { vouched: false }) } }),
          vmOf(13, { name: 'starting', state: 'launching', demand: { ...low, cpu: FALL } }),
          vmOf(14, { name: 'away', host: hostOf({ id: 'kvm2' as never }).id }),
        ],
        [hostOf(), hostOf({ id: 'kvm2' as never, connected: false })],
      ),
    },
  },
  'kill-switch': { snapshot: { ...snapshotOf([vmOf(1, { name: 'web', demand: { ...low, cpu: RISE } })]), killSwitch: true } },
  'frozen-and-few': {
    source: AUTO_POLICY.replace(
      'fleet:\n',
      'fleet:\n  freezeWindows: [{from: Tue 09:00, to: Tue 18:00, timeZone: Europe/Berlin, reason: trading hours}]\n',
    ),
    snapshot: snapshotOf([vmOf(1, { name: 'web', current: { cpu: cpu(0.45), memory: memory(800) }, demand: { ...low, cpu: RISE } })]),
  },
  'blast-radius': {
    source: AUTO_POLICY.replace('fleet:\n', 'fleet:\n  blastRadius: {vmsPerPlan: 2}\n').concat(
      'rules:\n  - {name: canary, match: {name: bird}, cpu: {canary: true}}\n  - {name: important, match: {name: shop}, cpu: {priority: 900}}\n',
    ),
    snapshot: snapshotOf(
      ['plain', 'shop', 'bird', 'other'].map((name, i) =>
        vmOf(i + 1, { name, current: { cpu: cpu(0.45), memory: memory(756) }, demand: { ...low, cpu: RISE } }),
      ),
    ),
  },
};

for (const [name, { source, snapshot }] of Object.entries(SCENARIOS)) {
  t.test(name, async (t) => {
    const policy = policyOf(source);
    const { plan: made, report } = plan(snapshot, policy, { epoch: 3 }, createPrng(1));
    const findings = lintPlan(made, snapshot, policy);
    const text = renderPlan({ plan: made, report, findings, nameOf: (id) => snapshot.vms.find((vm) => vm.id === id)?.name ?? id });
    // The digest of the inputs is part of the plan's name: it says nothing to a reader.
    const readable = text.replace(/^plan (\S+)-[0-9a-f]{8} /, 'plan $1-DIGEST ');
    t.equal(readable, golden(`plan-${name}.txt`, readable));
    t.same(findings, []);
  });
}
