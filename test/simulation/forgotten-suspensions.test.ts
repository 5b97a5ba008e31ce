/**
 * Goal: what an aggregator learnt of a VM's suspensions, when it is wanted and how it is best made ready, goes with the VM's models: not a
 * moment before, and not of VMs that are still there.
 */
import t from 'tap';
import { decisionConfig } from '../../aggregator/config.ts';
import { AggregatorWorld } from '../support/aggregator-world.ts';
import { fakeVm } from '../support/fake-host.ts';
import { testVmId } from '../support/fleet.ts';

const KEPT_MS = 300_000;
const POLICY = `version: 1
fleet:
  lease: 25s
  staleAfter: 15s
defaults:
  cpu: {mode: observe}
  memory: {mode: observe}
`;
const [STAYS, GOES] = [testVmId(1), testVmId(2)];
const load = () => ({ cores: 0.5, memoryMiB: 300 });
const learnt = JSON.stringify({ rule: 'desktops', leadMs: 60_000, window: [], open: null });
const SUSPENDED = {
  ...{ phase: 'suspended' as const, recipe: 'memory-file' as const, reason: '', snapshot: null, memoryBytes: 1, filledBytes: 1 },
  ...{ resumes: 0, predictedChunks: 0, hitRate: null, wasteRate: null, problems: [] },
};

t.test('with a VM that is gone for good goes what was learnt of its suspensions', async (t) => {
  const world = new AggregatorWorld([fakeVm(STAYS, 'stays', load), fakeVm(GOES, 'goes', load)], POLICY);
  world.more = { config: decisionConfig({ stepMs: 5000, planPeriodMs: 5000, checkpointPeriodMs: 60_000, modelsKeptMs: KEPT_MS }) };
  for (const vm of [STAYS, GOES]) await world.ledger.putBlob(`prefetch-tuning/${vm}`, Buffer.from(learnt));
  await world.start();
  world.host.capabilities = ['suspend'];
  world.host.live();
  await world.run(90_000);
  const sinceMs = world.time.wallMs;
  const vms = [STAYS, GOES].map((vm, n) => ({ ...SUSPENDED, vm, name: `vm-${n}`, sinceMs }));
  world.host.send({ type: 'suspended', vms, storedBytes: 0 });
  await world.run(60_000);
  const kept = async (): Promise<string[]> => {
    const names = await Promise.all(['resume-times/', 'prefetch-tuning/', 'model/'].map((prefix) => world.ledger.blobNames(prefix)));
    return names.flat().toSorted();
  };
  const all = (vm: string): string[] => ['model/', 'prefetch-tuning/', 'resume-times/'].map((prefix) => `${prefix}${vm}`);
  t.same(await kept(), [...all(STAYS), ...all(GOES)].toSorted());
  world.host.vms.splice(1, 1);
  world.host.sendInventory();
  world.host.send({ type: 'suspended', vms: vms.slice(0, 1), storedBytes: 0 });
  await world.run(KEPT_MS / 2);
  t.same(await kept(), [...all(STAYS), ...all(GOES)].toSorted(), 'it may be back');
  await world.run(KEPT_MS);
  t.same(await kept(), all(STAYS));
});
