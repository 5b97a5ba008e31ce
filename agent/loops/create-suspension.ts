/**
 * Suspension within one host agent: suspender and desk with what they ask of the agent's other parts. Means and context in, both out.
 */
import type { Timer } from '../../shared/clock.ts';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { SUSPEND_CAPABILITY } from '../../shared/protocol/suspend-frames.ts';
import { isGrowOnly } from '../core/eligibility.ts';
import type { SuspendGround, SuspendResult } from '../core/suspend-guard.ts';
import { TENANT_PATTERN } from '../core/tenant-name.ts';
import type { HypervisorEvent } from '../hypervisor/hypervisor.ts';
import type { VmSnapshotter } from '../hypervisor/snapshotter.ts';
import { type Address, addressText } from '../psk-tls.ts';
import { AskersInTurn } from '../snapshot/askers-in-turn.ts';
import { type SnapshotLender, startSnapshotLender } from '../snapshot/lender.ts';
import type { SnapshotStore } from '../snapshot/snapshot-store.ts';
import type { SuspendJournal } from '../suspend-journal.ts';
import type { MemberRest } from './build-desk.ts';
import { answerAboutChunks, type ChunkGround } from './chunk-questions.ts';
import { noteServing } from './discover.ts';
import { guardedHost, type HostContext, killReason, tell } from './host-context.ts';
import type { DiskMeans } from './local-disks.ts';
import { createMemberRest } from './member-rest.ts';
import { type LendingParts, lendingOf } from './snapshot-lending.ts';
import { SuspendDesk } from './suspend-desk.ts';
import { Suspender } from './suspender.ts';
import { balanceOf, type SnapshotTiers } from './tier-loop.ts';
import type { Uplink } from './uplink.ts';
import { isUp } from './vm-table.ts';

/** What suspends VMs on this host, where its administrator lets it. */
export interface SuspendMeans {
  snapshotter: VmSnapshotter;
  stores: {
    open(tenant: string): Promise<SnapshotStore>;
    keyOf(tenant: string): Promise<Buffer>;
    /** A key of another host; answers under which name its snapshots are kept here. */
    adoptKey(tenant: string, key: Buffer): Promise<string>;
    /** All there are on the disk. */
    tenants(): Promise<string[]>;
    /** Absent: there is one place, without a limit. */
    tiers?: SnapshotTiers;
    close(): Promise<void>;
  };
  journal: SuspendJournal;
  /** Where other hosts ask for snapshots; null = nowhere. */
  lendAt: Address | null;
  /** Absent: every disk is taken for one that other hosts see, too. */
  disks?: DiskMeans;
  /** In RAM: what resumed guests write goes there. */
  folder: string;
  owner?: { uid: number; gid: number };
  /** Label whose value names a VM's tenant; VMs without it are of `default`. */
  tenantLabel: string;
  learnMs: number;
  aliveMs: number;
}

export interface Suspension {
  desk: SuspendDesk;
  /** For VMs that this host made. */
  rest: MemberRest;
  /** Resolves when every VM that an earlier agent left on its way is somewhere certain. */
  recover(): Promise<void>;
  onEvent(event: HypervisorEvent): void;
  close(): Promise<void>;
}

const TENANT = 'default';
const LISTEN_AGAIN_MS = 5000;

export function createSuspension(
  means: SuspendMeans,
  context: HostContext,
  { epoch: welcomed, uplink }: { epoch: () => number; uplink: () => Pick<Uplink, 'understands' | 'send'> },
): Suspension {
  const { clock, log, table, queues } = context;
  const { snapshotter, stores, journal, folder, owner, learnMs, aliveMs, tenantLabel, lendAt } = means;
  // What is suspended is told to each aggregator anew; what became of an order waits for one that understands it.
  const send = (frame: SuspendResult | FrameOf<'suspended'>): void => {
    if (frame.type === 'suspend-result' || uplink().understands(SUSPEND_CAPABILITY)) uplink().send(frame, SUSPEND_CAPABILITY);
  };
  const opened = new Map<string, SnapshotStore>();
  const store = async (tenant: string): Promise<SnapshotStore> => {
    const known = opened.get(tenant) ?? (await stores.open(tenant));
    opened.set(tenant, known);
    return known;
  };
  const askers = new AskersInTurn(clock, (vm) => desk.urgencyOfLent(vm as VmId));
  let lender: SnapshotLender | null = null;
  let lenderDue: Timer | null = null;
  const suspender: Suspender = new Suspender({
    adoptKey: (tenant, key) => stores.adoptKey(tenant, key),
    onTakenBack: (vm) => lender?.end(vm),
    ...{ snapshotter, store, journal, clock, folder, learnMs, aliveMs, ...(owner === undefined ? {} : { owner }) },
    ...(means.disks === undefined ? {} : { disks: means.disks }),
    speaks: (vm) => (table.get(vm)?.guestAgentSeen === true ? table.get(vm)!.guestAgent : null),
    tell: (vm, words) => tell(context, 'lifecycle', `${table.get(vm)?.name ?? vm}: ${words}`, { vm }),
    changed: () => desk.tellAll(),
    shareOf: (vm) => desk.shareOf(vm),
  });
  const inTurn = <T>(vm: VmId, task: () => Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      const added = queues.add(vm, () => task().then(resolve, reject));
      if (!added) reject(new HeadroomError('UNAVAILABLE', `too much waits for VM ${vm}`));
    });
  const lending: LendingParts = {
    ...{ suspender, store, inTurn },
    ...{ keyOf: (tenant) => stores.keyOf(tenant), definition: (vm) => snapshotter.definition(vm) },
  };
  /** An address that is not there yet is tried again: guests on other hosts may wait for what is lent. */
  const openLender = async (listen: Address): Promise<void> => {
    try {
      lender = await startSnapshotLender({
        ...{ listen, keyOf: (vm) => lendKey(suspender, vm), lending: (vm) => lendingOf(lending, vm as VmId) },
        turn: (vm) => askers.begin(vm),
      });
    } catch (error) {
      log.error('snapshots are not lent', { address: addressText(listen), problem: errorText(error) });
      lenderDue = clock.setTimeout(() => void openLender(listen), LISTEN_AGAIN_MS);
    }
  };
  const { ground, tenants } = groundOf(context, stores, welcomed);
  const about = (vm: VmId): { name: string; tenant: string } => aboutVm(context, vm, tenantLabel);
  const desk = new SuspendDesk({
    ...{ suspender, clock, log, send, ground, about },
    tenants,
    lendAddress: () => (lendAt === null ? null : addressText(lendAt)),
    tiers: () => stores.tiers?.use() ?? null,
    chunks: (question) => answerAboutChunks(question, chunkGround(context, suspender, stores, store)),
    storedBytes: () => [...opened.values()].reduce((sum, { storedBytes }) => sum + storedBytes, 0),
    enqueue: (vm, task) => queues.add(vm, task),
    changed: () => context.changed(),
  });
  const balancing = balanceOf(stores.tiers, context, () => desk.tellAll());
  return {
    desk,
    rest: createMemberRest({ suspender, inTurn, ground, about, serves: (vm) => noteServing(context, vm) }),
    async recover() {
      for (const problem of await suspender.recover()) log.error('a suspended VM could not be found again', { problem });
      if (lendAt !== null && lender === null) await openLender(lendAt);
    },
    onEvent(event) {
      if (event.kind !== 'lifecycle') return;
      // Of a resume of ours it is long on its snapshot by the time of our turn.
      if (event.power === 'running') queues.add(event.id, async () => void (await suspender.startedElsewhere(event.id)));
      if (event.power !== 'shutoff' && event.power !== 'crashed') return;
      // Of a suspension of ours it is the end we gave it: by the time of our turn the VM is suspended.
      queues.add(event.id, () => suspender.ended(event.id));
    },
    async close() {
      desk.stop();
      lenderDue?.cancel();
      await balancing.close();
      await lender?.close();
      await suspender.handOver();
      await snapshotter.close();
      await stores.close();
    },
  };
}

function chunkGround(context: HostContext, suspender: Suspender, stores: SuspendMeans['stores'], store: ChunkGround['store']): ChunkGround {
  return {
    ...{ records: () => suspender.records(), tenants: () => stores.tenants(), store },
    supplied(vm, from, count) {
      const what = count === 1 ? 'a chunk that could not be had' : `${count} chunks that could not be had`;
      tell(context, 'lifecycle', `${context.table.get(vm)?.name ?? vm}: ${what} came from host ${from}`, { vm });
    },
  };
}

/** What this host knows of a VM now, and the tenants there were when it was asked last. */
function groundOf(context: HostContext, stores: SuspendMeans['stores'], welcomed: () => number) {
  let tenants: string[] = [];
  return {
    tenants: () => tenants,
    async ground(vm: VmId | null): Promise<Omit<SuspendGround, 'waitedMs' | 'phase' | 'heldMiB'>> {
      tenants = await stores.tenants();
      return {
        epoch: Math.max(welcomed(), context.host.lease?.epoch ?? 0),
        killed: vm === null ? context.files.kills().host : killReason(context, vm),
        vm: vm === null ? null : await seen(context, vm),
        freeMiB: guardedHost(context).freeMiB,
      };
    },
  };
}

function lendKey(suspender: Suspender, vm: string): Buffer | null {
  const record = suspender.records().find((one) => one.vm === vm);
  return record?.lentTo == null ? null : Buffer.from(record.lentTo.key, 'hex');
}

async function seen({ table, hypervisor }: HostContext, vm: VmId): Promise<SuspendGround['vm']> {
  const entry = table.get(vm);
  if (entry === undefined || !entry.managed || entry.facts === null) return null;
  const jobActive = isUp(entry) && (await hypervisor.jobActive(vm).catch(() => true));
  const { persistent, passthrough } = entry.facts;
  return { running: isUp(entry), persistent, passthrough, growOnly: isGrowOnly(entry.facts), jobActive };
}

function aboutVm({ table }: HostContext, vm: VmId, tenantLabel: string): { name: string; tenant: string } {
  const entry = table.get(vm);
  const tenant = entry?.facts?.labels[tenantLabel] ?? TENANT;
  if (!TENANT_PATTERN.test(tenant)) {
    throw new HeadroomError(
      'USAGE',
      `label ${tenantLabel} of VM ${vm} is "${tenant}": a tenant is named by letters a to z, digits and dashes`,
    );
  }
  return { name: entry?.name ?? vm, tenant };
}
