/**
 * Hosts' joint demand, live: learnt as steps close, kept with the checkpoints of models, told as what can be sold. Input: live
 * state, the ledger's blobs; output: views and series rows, one a host. What cannot be read back is learnt anew, and told.
 */
import { errorText } from '../../shared/errors.ts';
import type { HostId } from '../../shared/ids.ts';
import type { Logger } from '../../shared/log.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import { capacityRow } from '../core/capacity/capacity-rows.ts';
import { type CapacityView, capacityOf } from '../core/capacity/host-capacity.ts';
import { HostDemand, type MemberDemand } from '../core/capacity/host-demand.ts';
import { AGGREGATE, forecasterFactory } from '../core/forecast/registry.ts';
import type { FleetSnapshot, HostSnapshot, VmSnapshot } from '../core/plan/plan.ts';
import type { FleetState } from '../core/state/fleet-state.ts';
import type { LedgerStore } from '../store/ledger-store.ts';

export interface CapacityWatchOptions {
  state: FleetState;
  ledger: LedgerStore;
  log: Logger;
  stepMs: number;
  seasonsMs: readonly number[];
}

/** Runs, or would the next moment: what it wants is wanted of the host. */
const present = ({ state }: Pick<VmSnapshot, 'state'>): boolean => state !== 'stopped' && state !== 'error';

/** One VM alone wants with itself what its own forecast says: nothing is learnt twice, 60 KiB a host. */
const JOINT_VMS_MIN = 2;
/** Looked at without giving way: some 20 ms. */
const HOSTS_PER_TURN = 200;

export class CapacityWatch {
  readonly #options: CapacityWatchOptions;
  readonly #hosts = new Map<HostId, HostDemand>();

  constructor(options: CapacityWatchOptions) {
    this.#options = options;
  }

  /**
   * After a step was closed for all VMs. Rows for the hosts' series come back, of those that had a new step. `giveWay` lets
   * others have their turn.
   */
  async step(snapshot: FleetSnapshot, giveWay: () => Promise<void>): Promise<TelemetryBlock[]> {
    const { state } = this.#options;
    const stepped = new Map<string, number>();
    const byHost = Map.groupBy(
      state.vmIds().flatMap((id) => state.vm(id) ?? []),
      ({ host }) => host,
    );
    for (const [i, [host, records]] of [...byHost].entries()) {
      if (i % HOSTS_PER_TURN === HOSTS_PER_TURN - 1) await giveWay();
      const here = records.filter(({ inventory }) => present(inventory));
      const startMs = Math.max(...here.map(({ latestStep }) => latestStep?.startMs ?? Number.NEGATIVE_INFINITY));
      if (!Number.isFinite(startMs)) continue;
      const members = here.map(({ id, latestStep }): MemberDemand => {
        const points = latestStep?.startMs === startMs ? latestStep.points : null;
        return { vm: id, cpu: points?.cpu.value ?? Number.NaN, memory: points?.memory.value ?? Number.NaN };
      });
      if (members.length < JOINT_VMS_MIN && !this.#hosts.has(host)) continue;
      const learnt = await this.#learnt(host);
      if (startMs > learnt.lastMs) stepped.set(host, startMs);
      learnt.observe(startMs, members);
    }
    const known = new Set<HostId>(state.hostIds());
    for (const host of this.#hosts.keys()) if (!known.has(host)) this.#hosts.delete(host);
    const rows: TelemetryBlock[] = [];
    const viewOf = this.#viewing(snapshot);
    for (const [i, host] of snapshot.hosts.entries()) {
      if (i % HOSTS_PER_TURN === HOSTS_PER_TURN - 1) await giveWay();
      const startMs = stepped.get(host.id);
      const row = startMs === undefined ? null : capacityRow(viewOf(host), startMs);
      if (row !== null) rows.push(row);
    }
    return rows;
  }

  async #learnt(host: HostId): Promise<HostDemand> {
    const known = this.#hosts.get(host);
    if (known) return known;
    const { stepMs, seasonsMs, ledger, log } = this.#options;
    const options = { stepMs, seasonsMs };
    let learnt = new HostDemand(options, forecasterFactory(AGGREGATE));
    try {
      const bytes = await ledger.getBlob(blobName(host));
      if (bytes !== null) learnt.restoreFrom(bytes);
    } catch (error) {
      learnt = new HostDemand(options, forecasterFactory(AGGREGATE));
      log.warn("a host's joint demand could not be restored and is learnt anew", { host, problem: errorText(error) });
    }
    this.#hosts.set(host, learnt);
    return learnt;
  }

  /** Writes what was learnt of every host. Rejects when the ledger fails. */
  async checkpoint(): Promise<void> {
    for (const [host, learnt] of this.#hosts) await this.#options.ledger.putBlob(blobName(host), learnt.serialise());
  }

  /** Highest demand of each host's VMs together in the hour to come, cores, 0.99 quantile; of hosts of which it is known. */
  peaks(snapshot: FleetSnapshot): Map<string, number> {
    return new Map(
      this.views(snapshot).flatMap(({ host, resources: { cpu } }) => (cpu.nextHour === null ? [] : [[host, cpu.nextHour.q99]])),
    );
  }

  /** What every host can be sold, the roomiest first. */
  views(snapshot: FleetSnapshot): CapacityView[] {
    return snapshot.hosts.map(this.#viewing(snapshot)).sort((a, b) => (b.moreVms ?? -1) - (a.moreVms ?? -1) || (a.host < b.host ? -1 : 1));
  }

  #viewing({ vms }: FleetSnapshot): (host: HostSnapshot) => CapacityView {
    const { state, stepMs } = this.#options;
    const byHost = Map.groupBy(vms.filter(present), ({ host }) => host);
    const { reserve } = state.policy;
    return (host) => {
      const here = byHost.get(host.id) ?? [];
      const facts = {
        id: host.id,
        vms: here.length,
        capacity: { cpu: host.cpuCores, memory: host.memoryMiB },
        reserve: { cpu: reserve.cpuCores, memory: reserve.memoryMiB },
        sold: {
          cpu: here.reduce((sum, vm) => sum + vm.vcpus, 0),
          memory: here.reduce((sum, vm) => sum + vm.bootMemoryMiB, 0),
        },
      };
      return capacityOf(facts, this.#hosts.get(host.id) ?? null, stepMs);
    };
  }
}

function blobName(host: HostId): string {
  return `joint/${host}`;
}
