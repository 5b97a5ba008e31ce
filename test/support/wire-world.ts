/**
 * Parts for tests of the wire: a series store in memory that is idempotent as the real ones are, a sink that writes down
 * what it is told, and frames that are valid. Inputs and outputs are plain values; time is the machine's.
 */

import type { AppendStore } from '../../aggregator/ingest/committer.ts';
import type { IngestSink } from '../../aggregator/ingest/peer-state.ts';
import { systemClock } from '../../shared/clock.ts';
import type { HeadroomError } from '../../shared/errors.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { PROTOCOL_VERSIONS } from '../../shared/protocol/versions.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';

/** Keeps rows by (subject, source, time); counts rows that came more than once. */
export class MemoryStore implements AppendStore {
  readonly rows = new Map<string, Record<string, number>>();
  repeatedRows = 0;
  appends = 0;
  /** Set to make appends take time or fail. */
  delayMs = 0;
  fail: Error | null = null;

  async append(blocks: readonly TelemetryBlock[]): Promise<void> {
    if (this.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.delayMs));
    if (this.fail) throw this.fail;
    this.appends++;
    for (const block of blocks) this.#put(block);
  }

  times(vm: string): number[] {
    const times: number[] = [];
    for (const key of this.rows.keys()) if (key.startsWith(`${vm}/`)) times.push(Number(key.split('/')[2]));
    return times.sort((a, b) => a - b);
  }

  #put(block: TelemetryBlock): void {
    block.timesMs.forEach((time, row) => {
      const key = `${block.subject.id}/${block.source}/${time}`;
      if (this.rows.has(key)) this.repeatedRows++;
      const values: Record<string, number> = this.rows.get(key) ?? {};
      block.fields.forEach((field, i) => {
        values[field] = block.values[row * block.fields.length + i]!;
      });
      this.rows.set(key, values);
    });
  }
}

export class RecordingSink implements IngestSink {
  readonly log: string[] = [];
  readonly blocks: { host: HostId; blocks: readonly TelemetryBlock[] }[] = [];
  readonly results: FrameOf<'result'>[] = [];
  readonly events: FrameOf<'event'>[] = [];
  readonly owners = new Map<VmId, HostId>();

  onHello(host: HostId): void {
    this.log.push(`hello ${host}`);
  }
  onConnected(host: HostId): void {
    this.log.push(`connected ${host}`);
  }
  onDisconnected(host: HostId, error: HeadroomError | null): void {
    this.log.push(`disconnected ${host}${error ? ` ${error.code}` : ''}`);
  }
  onInventory(host: HostId, inventory: FrameOf<'inventory'>): void {
    this.log.push(`inventory ${host} ${inventory.vms.length}`);
    for (const vm of inventory.vms) this.owners.set(vm.vm as VmId, host);
  }
  onEvent(_host: HostId, event: FrameOf<'event'>): void {
    this.events.push(event);
  }
  onResult(_host: HostId, result: FrameOf<'result'>): void {
    this.results.push(result);
  }
  onBlocks(host: HostId, blocks: readonly TelemetryBlock[]): void {
    this.blocks.push({ host, blocks });
  }
}

export function vmUuid(n: number): VmId {
  return `00000000-0000-4000-8000-${String(n).padStart(12, '0')}` as VmId;
}

export function helloFrame(over: Partial<FrameOf<'hello'>> = {}): FrameOf<'hello'> {
  return {
    type: 'hello',
    versions: [...PROTOCOL_VERSIONS],
    role: 'host',
    host: 'host-a',
    vm: null,
    bootId: 'boot-1',
    agentVersion: '0.1.0',
    capabilities: [],
    wallMs: systemClock.wallMs(),
    monotonicMs: systemClock.monotonicMs(),
    highestPairs: [],
    ...over,
  };
}

export function inventoryFrame(vms: readonly string[]): FrameOf<'inventory'> {
  return {
    type: 'inventory',
    full: true,
    host: {
      cpuCores: 2,
      memoryMiB: 4096,
      numaNodes: [{ id: 0, memoryMiB: 4096 }],
      architecture: 'x86_64',
      hypervisorVersion: '9.0.0',
      balloonManager: null,
      hypervisorConnected: true,
      killSwitch: false,
    },
    vms: vms.map((vm, i) => ({
      vm,
      name: `vm-${i}`,
      state: 'ready' as const,
      vcpus: 2,
      bootMemoryMiB: 512,
      overheadMiB: null,
      osFamily: 'linux',
      labels: { role: 'web', [`only-${i}`]: 'x' },
      eligibility: {
        cpu: { allowed: true },
        memory: { allowed: false, reason: 'no balloon device' },
        network: { allowed: true },
        disk: { allowed: true },
      },
      baseline: [{ resource: 'memory' as const, memoryMiB: 512 }],
      current: [{ resource: 'cpu' as const, weight: 100, capCores: null }],
      pairs: [{ resource: 'cpu' as const, pair: { epoch: 1, generation: 2 } }],
      holds: [],
      jobActive: false,
      guestAgent: true,
      missingSignals: [],
    })),
    gone: [],
  };
}

export function commandFrame(vm: string, commandId = 'c-1'): FrameOf<'command'> {
  return {
    type: 'command',
    commandId,
    vm,
    resource: 'memory',
    pair: { epoch: 2, generation: 1 },
    leaseMs: 300_000,
    previous: { resource: 'memory', memoryMiB: 512 },
    target: { resource: 'memory', memoryMiB: 600 },
    floor: 128,
    ceiling: 1024,
    mode: 'auto',
    reason: 'demand rises',
  };
}

export function resultFrame(vm: string, commandId = 'c-1'): FrameOf<'result'> {
  return {
    type: 'result',
    commandId,
    vm,
    resource: 'memory',
    pair: { epoch: 2, generation: 1 },
    outcome: 'applied',
    reason: 'as asked',
    readBack: { resource: 'memory', memoryMiB: 600 },
    wallMs: 1_700_000_000_000,
  };
}

export function eventFrame(message: string, vm: string | null = null): FrameOf<'event'> {
  return { type: 'event', kind: 'lifecycle', vm, resource: null, wallMs: 1_700_000_000_000, message, setting: null, pair: null };
}

export const TEST_FIELDS: readonly string[] = ['vm_cpu.usageCores', 'vm_memory.rssMiB'];

/** Rows of one VM; values tell the time they belong to. */
export function rowsOf(vm: string, timesMs: readonly number[], over: Partial<TelemetryBlock> = {}): TelemetryBlock {
  const fields = over.fields ?? TEST_FIELDS;
  return {
    subject: { kind: 'vm', id: vm },
    source: 'host',
    fields,
    timesMs: Float64Array.from(timesMs),
    values: Float64Array.from(timesMs.flatMap((time) => fields.map((_, i) => time + i))),
    ...over,
  };
}

/** Waits for a condition that other code will bring about. */
export async function until(condition: () => boolean, what: string, waitMs = 15_000): Promise<void> {
  const deadline = Date.now() + waitMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
