/**
 * The whole road of a suspension as people have it: aggregator and host agent as processes of their own, a real guest whose memory lies
 * in a file beside a private libvirtd, a snapshot store on disk. Input: the guest's memory; output: the guest, the command line, the
 * API, and the store's files to be damaged.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clearPlace } from '../../agent/snapshot/memory-place.ts';
import type { SuspendOrderView, SuspensionView } from '../../aggregator/http/suspend-service.ts';
import { headroom } from './cli.ts';
import { freePort } from './free-port.ts';
import { type PrivateLibvirtd, privateLibvirtd, sharedFolder } from './libvirtd.ts';
import { eventually, Stack } from './stack.ts';
import { bootSuspendable, type WorldGuest } from './suspendable-guest.ts';

const STEP_MS = 2000;
/** An agent that found nobody tries again after longer and longer rests. */
const HEARD_MS_MAX = 120_000;
const POLICY = { version: 1, fleet: { lease: '30s', staleAfter: '20s', reserve: { memoryMiB: 0 } } };

export interface SuspendStage {
  guest: WorldGuest;
  stack: Stack;
  libvirtd: PrivateLibvirtd;
  /** Where the tenant's snapshots lie. */
  storeFolder: string;
  /** A line of the command line, which must succeed; answers the order as it ended. */
  order(line: string): Promise<SuspendOrderView>;
  /** The same, which must fail; answers what it said. */
  refused(line: string): Promise<string>;
  suspension(): Promise<SuspensionView | undefined>;
  /** Resolves once the aggregator has welcomed it and hears of the guest. */
  startAgent(): Promise<void>;
  stop(): Promise<void>;
}

export async function suspendStage(memoryMiB: number): Promise<SuspendStage> {
  const folder = mkdtempSync(join(tmpdir(), 'headroom-suspend-'));
  const ram = sharedFolder('/dev/shm', 'headroom-guests-');
  const libvirtd = await privateLibvirtd({ seesMounts: true });
  const stack = new Stack({
    ...{ folder, port: await freePort(), policy: JSON.stringify(POLICY), include: '*', stepMs: STEP_MS, inside: [] },
  });
  const guest = await bootSuspendable(libvirtd, ram.path, { name: 'desktop', number: 21, memoryMiB });
  const welcomes = (): number => stack.log('agent').split('connected to the aggregator').length;
  const startAgent = async (): Promise<void> => {
    const before = existsSync(join(folder, 'agent.log')) ? welcomes() : 1;
    stack.startAgent([
      ...['--connect', `qemu:///system?socket=${libvirtd.socket}`, '--memory-reserve-mib', '0', '--inventory-seconds', '1'],
      ...['--snapshot-dir', join(folder, 'snapshots'), '--snapshot-ram-dir', join(ram.path, 'agent'), '--resume-learn-seconds', '2'],
    ]);
    await eventually('the aggregator to welcome the agent', () => welcomes() > before, HEARD_MS_MAX);
    await eventually('the aggregator to hear of the guest', () => stack.get(`/v1/vms/${guest.vm}`), HEARD_MS_MAX);
  };
  const ask = (line: string): ReturnType<typeof headroom> => headroom(`${line} --url ${stack.url} -o json`);
  const stage: SuspendStage = {
    ...{ guest, stack, libvirtd, startAgent, storeFolder: join(folder, 'snapshots', 'default') },
    async order(line) {
      const { code, out, err } = await ask(line);
      if (code !== 0) throw new Error(`headroom ${line} ended with ${code}: ${err}${out}\n${stack.log('agent').slice(-4000)}`);
      return JSON.parse(out) as SuspendOrderView;
    },
    async refused(line) {
      const { code, out, err } = await ask(line);
      if (code === 0) throw new Error(`headroom ${line} was to be refused, and answered ${out}`);
      return `${out}${err}`;
    },
    suspension: async () => (await stack.get<{ items: SuspensionView[] }>('/v1/suspensions')).items.find(({ vm }) => vm === guest.vm),
    async stop() {
      guest.close();
      // The guest first: it may need a chunk from the agent to end.
      await libvirtd.stop();
      await stack.stop();
      await clearPlace(join(ram.path, 'agent', 'resumed', guest.vm));
      ram.remove();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  stack.startAggregator();
  await startAgent();
  return stage;
}
