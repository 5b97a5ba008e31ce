/**
 * Goal: an agent that is killed while the memory of the guest it serves is being read (a suspension under way, pages of the guest not
 * written back yet) is gone at once, and another takes over: the guest goes on as it was. One that had the shown file open itself could
 * neither end nor be followed: the kernel, closing its files, waited for a chunk of the very process.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { suspendVm } from '../../agent/actuators/suspend-vm.ts';
import type { FileIdentity } from '../../agent/snapshot/device-number.ts';
import { takeOverPlace } from '../../agent/snapshot/memory-place.ts';
import { suspendWorld } from '../support/suspendable-guest.ts';

t.setTimeout(120_000);

const AGENT = fileURLToPath(new URL('../support/resuming-agent.ts', import.meta.url));
const MEMORY_MIB = 160;
/**
 * From the first chunk that is read until it is killed. Whoever has the file open in the process that serves it is by then where it hangs, in closing
 * it, which writes back all that the guest left dirty; once that is written back nobody would.
 */
const READING_MS = 30;
const GONE_MS_MAX = 10_000;

const disk = mkdtempSync(join(tmpdir(), 'headroom-snapshots-'));
const world = await suspendWorld(disk);
const { deps, store, daemon } = world;

t.teardown(async () => {
  await world.close();
  rmSync(disk, { recursive: true, force: true });
});

/** Lines of an agent's that brings back the guest of a snapshot; `gone` resolves when the kernel has let go of it. */
function startAgent(id: string) {
  const child = spawn(process.execPath, [AGENT, daemon.socket, world.folder, disk, id], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const gone = new Promise<string | null>((resolve) => child.once('exit', (_, signal) => resolve(signal)));
  return {
    line: async (): Promise<string> => (await lines.next()).value ?? Promise.reject(new Error('the agent ended')),
    suspend: () => child.stdin.write('suspend\n'),
    kill: () => child.kill('SIGKILL'),
    gone,
  };
}

t.test('killed while its reader reads, it is gone, and another goes on', async (t) => {
  const guest = await world.boot({ name: 'killed', number: 3, memoryMiB: MEMORY_MIB });
  await guest.ask('parts 0 6');
  const first = await suspendVm(deps, guest.vm, null);
  if (first.recipe !== 'memory-file') throw new Error(first.reason);
  const { id } = first.saved.manifest;
  const agent = startAgent(id);
  const identity = JSON.parse(await agent.line()) as FileIdentity;
  // Over pages that were chunks of the snapshot: what they lay beside has to be fetched before they can be written back.
  await guest.ask('parts 0 4');
  const sum = await guest.ask('sum');
  agent.suspend();
  await agent.line();
  await new Promise((resolve) => setTimeout(resolve, READING_MS));
  agent.kill();
  const late = new Promise<string>((resolve) => setTimeout(resolve, GONE_MS_MAX, 'it hangs').unref());
  t.equal(await Promise.race([agent.gone, late]), 'SIGKILL', 'the killed agent is gone');

  const snapshot = await store.open(id);
  const place = await takeOverPlace({ ...deps, snapshot, folder: join(deps.folder, guest.vm) }, identity);
  await deps.snapshotter.calmDown(guest.vm);
  t.equal(await deps.snapshotter.power(guest.vm), 'paused');
  await deps.snapshotter.goOn(guest.vm);
  t.equal(await guest.ask('sum'), sum, 'the guest is as it was');
  t.same(world.stuck, []);
  guest.close();
  await deps.snapshotter.end(guest.vm);
  await place.close();
  snapshot.close();
});
