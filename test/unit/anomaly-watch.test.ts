/**
 * Goal: the live watch sees what it should in snapshots of the fleet and tells it once: a leak with its contributors, silence of one
 * VM but not of a host that is gone, our own shrinking explained away; ordinary life tells nothing.
 */
import t from 'tap';
import type { FleetChange } from '../../aggregator/core/anomaly/fleet-incidents.ts';
import type { FleetSnapshot, PlanStep, VmSnapshot } from '../../aggregator/core/plan/plan.ts';
import type { IncidentView } from '../../aggregator/http/service.ts';
import { AnomalyWatch } from '../../aggregator/service/anomaly-watch.ts';
import type { VmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { RESOURCES } from '../../shared/resources.ts';

const STEP_MS = 60_000;
const START_MS = 1_400_000_000_000;
const STEPS = 600;
const FAULT_AT = 500;

interface Usage {
  cpu: number;
  memory: number;
  ageMs?: number;
}

const size = (memoryMiB: number) => ({ resource: 'memory', memoryMiB });
const SHRINK = { vm: 'vm-1', resource: 'memory', direction: 'shrink', from: size(4096), to: size(2048) } as unknown as PlanStep;

/** Usage a step of the one VM; whether its host is connected; what became of a shrink at the time of the fault. */
async function run(
  usageAt: (step: number, usual: Usage) => Usage,
  options: { connected?: (step: number) => boolean; shrunk?: 'applied' | 'refused' | 'unanswered' | 'under way' } = {},
) {
  const told: { change: FleetChange; incident: IncidentView }[] = [];
  const rows: Record<string, number>[] = [];
  const watch = new AnomalyWatch(STEP_MS, (change, incident) => told.push({ change, incident }));
  const random = createPrng(4, 'watch');
  for (let step = 0; step < STEPS; step++) {
    const usual = { cpu: 1 + 0.2 * random.next(), memory: 1500 + 20 * random.next() };
    const { cpu, memory, ageMs = 0 } = usageAt(step, usual);
    const view = (usage: number | null) => ({ now: usage, usage, ageMs, vouched: true, suppressed: false, forecast: null });
    const demand = { cpu: view(cpu), memory: view(memory), network: view(null), disk: view(null) };
    // Goes on when the samples it rests on have stopped.
    const strain = { steal: 0.01 * random.next(), stealClaimed: false };
    const sizes = { vcpus: 4, bootMemoryMiB: 4096 };
    const vm = { id: 'vm-1', name: 'web', host: 'h', state: 'ready', ...sizes, demand, strain } as unknown as VmSnapshot;
    const hosts = [{ id: 'h', connected: options.connected?.(step) ?? true }];
    const nowMs = START_MS + step * STEP_MS;
    if (options.shrunk && step === FAULT_AT) watch.noteSent(SHRINK, nowMs);
    if (options.shrunk && options.shrunk !== 'under way' && step === FAULT_AT + 1) {
      watch.noteOutcome(SHRINK, { applied: true, refused: false, unanswered: null }[options.shrunk], nowMs);
    }
    for (const { fields, values } of await watch.step({ nowMs, vms: [vm], hosts } as unknown as FleetSnapshot, async () => undefined)) {
      rows.push(Object.fromEntries(fields.map((field, i) => [field.replace('vm_anomaly.', ''), values[i]!])));
    }
  }
  return { told, watch, rows };
}

const leak = (step: number, usual: Usage): Usage => ({ ...usual, memory: usual.memory + 20 * Math.max(0, step - FAULT_AT) });

t.test('ordinary life tells nothing', async (t) => {
  const { told, watch } = await run((_, usual) => usual);
  t.same(told, []);
  t.same(watch.incidents(), []);
});

t.test('a leak: told as one, memory first, in the list with the name of its VM', async (t) => {
  const { told, watch } = await run(leak);
  t.equal(told.filter(({ change }) => change.change === 'opened' && change.alert).length, 1);
  const [incident] = watch.incidents();
  t.match(incident, { vmName: 'web', host: 'h', kind: 'leak', explainedBy: null });
  t.match(incident?.contributors[0]?.name ?? '', /^memory: /);
  t.ok((incident?.startMs ?? Number.NaN) <= START_MS + (FAULT_AT + 30) * STEP_MS, 'within half an hour');
});

t.test('what it sees is a row a step: how unusual, what is open, what began and how long it lasted', async (t) => {
  const outage = (step: number, usual: Usage): Usage =>
    step > FAULT_AT && step <= FAULT_AT + 20 ? { ...usual, ageMs: 10 * STEP_MS } : usual;
  const { rows, watch } = await run(outage);
  t.equal(rows.length, STEPS);
  t.ok(rows.every(({ likelihood }) => likelihood! >= 0 && likelihood! <= 1));
  t.match(rows[FAULT_AT], { open: 0, explained: 0, severity: 0 });
  t.match(rows[FAULT_AT + 10], { likelihood: 1, open: 1, explained: 0, severity: 3 });
  t.same(
    rows.filter((row) => 'began' in row).map(({ began, alerted }) => [began, alerted]),
    [[1, 1]],
  );
  const [incident] = watch.incidents();
  const [over, ...more] = rows.filter((row) => 'lastedSeconds' in row);
  t.same(more, []);
  t.match(over, { lastedSeconds: (incident!.endMs! - incident!.startMs) / 1000, open: 0 });
});

t.test('a VM whose samples are old is silent; one whose host is gone is not', async (t) => {
  const stale = (step: number, usual: Usage): Usage => (step > FAULT_AT ? { ...usual, ageMs: 10 * STEP_MS } : usual);
  t.match((await run(stale)).watch.incidents(), [{ kind: 'silence', severity: 'page' }]);
  t.same((await run(stale, { connected: (step) => step <= FAULT_AT })).watch.incidents(), []);
});

t.test('what our own shrinking shows, from when it is asked for, is kept and explained, and alerts nobody', async (t) => {
  const drop = (step: number, usual: Usage): Usage => (step >= FAULT_AT ? { ...usual, memory: 0.6 * usual.memory } : usual);
  for (const shrunk of ['applied', 'unanswered', 'under way'] as const) {
    const { told, watch } = await run(drop, { shrunk });
    t.match(watch.incidents(), [{ explainedBy: 'our own resize of memory from 4096 to 2048', severity: 'info' }], shrunk);
    t.notOk(told.some(({ change }) => change.alert));
  }
  const { watch } = await run((step, usual) => drop(step - 3, usual), { shrunk: 'refused' });
  t.match(watch.incidents(), [{ explainedBy: null }], 'what was not taken excuses nothing');
});

t.test('a VM that goes while the others have their turn is not looked at again', async (t) => {
  const watch = new AnomalyWatch(STEP_MS, () => undefined, 1);
  const demand = Object.fromEntries(RESOURCES.map((resource) => [resource, { usage: 1, ageMs: 0, vouched: true }]));
  const vms = Array.from({ length: 600 }, (_, i) => ({
    id: `vm-${i}`,
    name: 'n',
    host: 'h',
    state: 'ready',
    vcpus: 1,
    bootMemoryMiB: 1,
    demand,
  }));
  const snapshot = { nowMs: START_MS, vms, hosts: [{ id: 'h', connected: true }] } as unknown as FleetSnapshot;
  let turns = 0;
  const rows = await watch.step(snapshot, async () => {
    turns++;
    watch.remove('vm-599' as VmId, START_MS);
    watch.remove('vm-0' as VmId, START_MS);
  });
  t.equal(turns, 1);
  t.ok(
    rows.some(({ subject }) => subject.id === 'vm-0'),
    'looked at before it went',
  );
  t.notOk(rows.some(({ subject }) => subject.id === 'vm-599'));
  t.equal(rows.length, 599);
});
