/** A fleet's suspended VMs as the API tells them: one on disk, one order under way, one that ended. Input: now; output: the service. */
import type { SnapshotStoreView, SuspendOrderView, SuspendService, SuspensionView } from '../../aggregator/http/suspend-service.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { hostId, type VmId, vmId } from '../../shared/ids.ts';
import type { SuspendAction } from '../../shared/protocol/suspend-frames.ts';

const HOST = hostId('host-1');
const VM = vmId('6f1b0000-0000-4000-8000-0000000000ff');
const MIB = 1024 * 1024;

const SUSPENDED: SuspensionView = {
  ...{
    vm: VM,
    name: 'desktop-9',
    host: HOST,
    phase: 'suspended',
    recipe: 'memory-file',
    reason: '',
    snapshot: 'ab'.repeat(32),
    sinceMs: 0,
  },
  ...{ memoryBytes: 2048 * MIB, filledBytes: 1536 * MIB, resumes: 3, predictedChunks: 512, hitRate: 0.97, wasteRate: 0.04, problems: [] },
  prediction: { resumes: 12, probability: 0.8, withinMs: 3_600_000, likeliestAtMs: 3_600_000, text: 'usually on Mon at about 08:00' },
  tuning: null,
};

const UNUSED = { readBytesPerSecond: null, writeBytesPerSecond: null, problem: null };
const STORE: SnapshotStoreView = {
  ...{ host: HOST, storedBytes: 900 * MIB },
  tiers: [
    { ...UNUSED, name: 'ram', kind: 'ram', capacityBytes: 512 * MIB, usedBytes: 96 * MIB },
    {
      ...UNUSED,
      name: '/mnt/nvme/headroom',
      kind: 'disk',
      capacityBytes: 1024 * MIB,
      usedBytes: 900 * MIB,
      readBytesPerSecond: 1800 * MIB,
    },
    { ...UNUSED, name: 'not there', kind: 'away', capacityBytes: null, usedBytes: 0, problem: 'tier /srv/cold does not bear the mark' },
  ],
};

export function madeSuspending(nowMs: number, empty: boolean): SuspendService {
  const orders: SuspendOrderView[] = [];
  const give = (action: SuspendAction, vm: VmId | null, by: string, dryRun = false): SuspendOrderView => {
    if (empty) throw new HeadroomError('UNAVAILABLE', 'no host suspends VMs');
    const progress = { doneBytes: 512 * MIB, totalBytes: 1024 * MIB, restMs: 2000 };
    const order: SuspendOrderView = {
      ...{ id: `${action}/1/${orders.length}`, action, vm, vmName: vm === VM ? SUSPENDED.name : null, host: HOST, by, askedAtMs: nowMs },
      ...{ priority: action === 'prefetch' ? 100 : null, dueAtMs: null, ahead: 0 },
      ...{ state: 'working', progress, outcome: null, reason: '', endedAtMs: null, followedBy: null, placement: null, measured: {} },
    };
    if (dryRun) return { ...order, state: 'tried' };
    orders.push(order);
    return order;
  };
  /** Whoever asks again finds it ended. */
  const asked = (order: SuspendOrderView): SuspendOrderView => ({
    ...order,
    ...{
      state: 'ended',
      progress: null,
      outcome: 'applied',
      endedAtMs: nowMs,
      measured: { recipe: 'memory-file', ranMs: 220, bytesFirst: 32 * MIB },
    },
  });
  return {
    suspensions: () =>
      empty
        ? []
        : [
            {
              ...SUSPENDED,
              sinceMs: nowMs,
              prediction: { ...SUSPENDED.prediction!, likeliestAtMs: nowMs + SUSPENDED.prediction!.withinMs },
            },
          ],
    stores: () => (empty ? [] : [STORE]),
    orders: () => orders,
    order: (id) => orders.filter((order) => order.id === id).map(asked)[0] ?? null,
    suspend: (vm, by, dryRun) => give('suspend', vm, by, dryRun),
    resume: (vm, by, _to, dryRun) => give('resume', vm, by, dryRun),
    prefetch: (vm, _terms, by, dryRun) => give('prefetch', vm, by, dryRun),
    release: (vm, by, dryRun) => give('release', vm, by, dryRun),
    verify: (vm, by, dryRun) => give('verify', vm, by, dryRun),
    collect: (_host, by, dryRun) => [give('collect', null, by, dryRun)],
  };
}
