/**
 * `bench etcd-size`: how much etcd keeps of a fleet, and how that grows. A real etcd, the real shared ledger with two copies, hours of
 * a fleet one after another: each VM's allocation changes once an hour, by a plan a minute, and each change has its outcome's entry; policies and
 * templates change once a day. At the end of each hour etcd is compacted to the hour before, as `--auto-compaction-retention=1h` does.
 * What is printed for a year is extrapolated from the growth over the measured hours. HEADROOM_ETCD_VMS and _HOURS.
 */

import { connectEtcd } from '../../aggregator/etcd/connection.ts';
import { openEtcdLedgerStore } from '../../aggregator/etcd/etcd-ledger-store.ts';
import type { LedgerBody, LedgerStore } from '../../aggregator/store/ledger-store.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';
import { systemClock } from '../../shared/clock.ts';
import { isHeadroomError } from '../../shared/errors.ts';
import { type HostId, type VmId, vmId } from '../../shared/ids.ts';
import { startEtcd } from '../support/etcd.ts';
import { vmUuid } from '../support/wire-world.ts';
import { type Benchmark, HOUR_MS, MINUTE_MS, rounded } from './benchmark.ts';

const VMS = Number(process.env.HEADROOM_ETCD_VMS ?? 10_000);
/** What is in use swings by a tenth of a MiB from hour to hour: a year told from few of them swings by hundreds. */
const HOURS = Number(process.env.HEADROOM_ETCD_HOURS ?? 48);
const VMS_PER_HOST = 20;
const RESOURCES = 2;
const HOURS_PER_YEAR = 365 * 24;
const PLANS_PER_HOUR = 60;
/** Growth is told from here on: by then the file has the size of what it keeps between two compactions. */
const WARM_HOURS = 3;
const PUTS_AT_ONCE = 64;
const TRIES_MAX = 20;
const MIB = 1024 * 1024;
/** A policy of some length, kept with each of its versions. */
const POLICY_BYTES = 4096;

interface Stored {
  fileMiB: number;
  inUseMiB: number;
}

async function post<T>(endpoint: string, path: string, body: object): Promise<T> {
  const answer = await fetch(`${endpoint}${path}`, { method: 'POST', body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`etcd ${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as T;
}

const vmOf = (n: number): VmId => vmId(vmUuid(n));
const hostOf = (n: number): HostId => `kvm${Math.floor(n / VMS_PER_HOST)}` as HostId;

function planOf(planId: string, vms: readonly number[]): LedgerBody {
  const steps = vms.map((n) => ({
    ...{
      vm: vmOf(n),
      host: hostOf(n),
      resource: 'memory',
      direction: n % 2 ? 'grow' : 'shrink',
      reason: 'memory rises to 1,312 MiB within 20 minutes',
    },
    ...{ from: { resource: 'memory', memoryMiB: 1024 + n }, to: { resource: 'memory', memoryMiB: 1312 + n }, floor: 512, ceiling: 4096 },
    grounds: {
      model: 'ensemble',
      modelVersion: '0.1.0',
      confidence: 0.93,
      band: { fromMs: 1e12, toMs: 1e12 + 3e5, quantiles: [0.5, 0.9, 0.99], values: [1010.5, 1199.25 + n, 1302.125] },
    },
  }));
  return {
    kind: 'plan',
    planId,
    by: { version: '0.1.0', epoch: 7, policy: 3 },
    inputsDigest: planId.padEnd(64, '0'),
    steps,
    notDone: [],
    lintRejections: [],
  } as unknown as LedgerBody;
}

function outcomeOf(planId: string, n: number): LedgerBody {
  const setting = { resource: 'memory', memoryMiB: 1312 + n };
  return {
    kind: 'outcome',
    planId,
    vm: vmOf(n),
    host: hostOf(n),
    resource: 'memory',
    pair: { epoch: 7, generation: n },
    outcome: 'applied',
    reason: 'as asked',
    readBack: setting,
  } as unknown as LedgerBody;
}

/** A busy machine keeps etcd from answering in time; what is measured is what it keeps, not how soon. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (!isHeadroomError(error, 'UNAVAILABLE') || tries >= TRIES_MAX) throw error;
    }
  }
}

async function eachOf(count: number, work: (n: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const n = next++;
      await patiently(() => work(n));
    }
  };
  await Promise.all(Array.from({ length: PUTS_AT_ONCE }, worker));
}

/** One hour: every VM's memory changes once, a part of them with each plan. */
async function anHour(ledger: LedgerStore, hour: number): Promise<void> {
  const atMs = hour * HOUR_MS;
  const perPlan = Math.ceil(VMS / PLANS_PER_HOUR);
  for (let minute = 0; minute < PLANS_PER_HOUR; minute++) {
    const vms = Array.from({ length: perPlan }, (_, i) => minute * perPlan + i).filter((n) => n < VMS);
    const [nowMs, planId] = [atMs + minute * MINUTE_MS, `plan-${hour}-${minute}`];
    await ledger.append(nowMs, planOf(planId, vms));
    await Promise.all(vms.map((n) => ledger.append(nowMs, outcomeOf(planId, n))));
    await eachOf(vms.length, (i) => {
      const n = vms[i]!;
      return ledger.putAllocation({
        vm: vmOf(n),
        host: hostOf(n),
        setting: { resource: 'memory', memoryMiB: 1312 + n + hour },
        sinceMs: nowMs,
      });
    });
  }
}

/** Least squares over values at equal distances; 0 for a single one. */
function slopeOf(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const [up, across] = values.reduce(([a, b], value, at) => [a + (at - middle) * (value - mean), b + (at - middle) ** 2] as const, [
    0, 0,
  ] as readonly [number, number]);
  return across === 0 ? 0 : up / across;
}

export const etcdSize: Benchmark = {
  about: 'what etcd keeps of ten thousand VMs, and how it grows in a year',
  async run(tell) {
    const etcd = await startEtcd(1, { 'auto-compaction-mode': 'periodic', 'auto-compaction-retention': '0' });
    const endpoint = etcd.endpoints[0]!;
    const connection = connectEtcd({ endpoints: etcd.endpoints });
    try {
      const open = (name: string): Promise<LedgerStore> =>
        openEtcdLedgerStore({
          connection,
          prefix: 'headroom/',
          clock: systemClock,
          name,
          copy: createMemoryLedgerStore(),
          appendMsMax: 60_000,
        });
      const [ledger, other] = [await open('a'), await open('b')];
      await eachOf(VMS * RESOURCES, (n) => {
        const setting =
          n % 2 ? ({ resource: 'memory', memoryMiB: 1024 } as const) : ({ resource: 'cpu', weight: 100, capCores: null } as const);
        return ledger.putAllocation({ vm: vmOf(n >> 1), host: hostOf(n >> 1), setting, sinceMs: 0 });
      });
      const status = async (): Promise<Stored & { revision: number }> => {
        const { dbSize, dbSizeInUse, header } = await post<{ dbSize: string; dbSizeInUse: string; header: { revision: string } }>(
          endpoint,
          '/v3/maintenance/status',
          {},
        );
        return { fileMiB: Number(dbSize) / MIB, inUseMiB: Number(dbSizeInUse) / MIB, revision: Number(header.revision) };
      };
      const stored: Stored[] = [];
      let before = (await status()).revision;
      for (let hour = 1; hour <= HOURS; hour++) {
        await anHour(ledger, hour);
        // The other aggregator reads along, as each does within its turn: what both copies hold may leave etcd.
        await other.append(hour * HOUR_MS, { kind: 'operator', action: 'note', by: 'bench', target: 'fleet', reason: `hour ${hour}` });
        if (hour % 24 === 1) await ledger.putBlob(`policy/version/${hour}`, Buffer.alloc(POLICY_BYTES, 'policy '));
        const { revision } = await status();
        await post(endpoint, '/v3/kv/compaction', { revision: String(before), physical: true });
        before = revision;
        const now = await status();
        stored.push({ fileMiB: rounded(now.fileMiB), inUseMiB: rounded(now.inUseMiB) });
        tell(`hour ${hour}: ${rounded(now.fileMiB)} MiB, ${rounded(now.inUseMiB)} in use, revision ${revision}`);
      }
      await Promise.all([ledger.close(), other.close()]);
      const last = stored.at(-1)!;
      const warm = stored.slice(Math.min(WARM_HOURS, HOURS) - 1);
      const growth = (key: keyof Stored): number => slopeOf(warm.map((each) => each[key]));
      // The daily policy, once a day, beside what the hours show.
      const daily = (365 * POLICY_BYTES) / MIB;
      return {
        ...{ vms: VMS, changesPerVmDay: 24, hoursMeasured: HOURS, stored },
        ...{ inUseMiBPerHour: rounded(growth('inUseMiB')), fileMiBPerHour: rounded(growth('fileMiB')) },
        yearMiB: rounded(last.fileMiB + Math.max(0, growth('inUseMiB')) * HOURS_PER_YEAR + daily),
        extrapolated: `from hours ${WARM_HOURS} to ${HOURS}: the file then, a year of the growth of what is in use, a year of daily policies`,
      };
    } finally {
      connection.close();
      await etcd.stop();
    }
  },
};
