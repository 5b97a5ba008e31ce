/**
 * Goal: the agent's program gives a real guest with a virtio-mem device more than it booted with, and the guest itself counts it; takes
 * it back, below its boot size too; a reset of the guest and `virsh update-memory-device` by somebody else are told for what they are; the
 * persistent definition stays as it was, and `restore --all` puts both halves back with nothing else running.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { FrameOf } from '../../../shared/protocol/frames.ts';
import type { MemorySetting } from '../../../shared/resources.ts';
import { type AgentProcess, aggregatorEnd, runAgent, startAgent } from '../../support/agent-process.ts';
import { privateLibvirtd, virsh } from '../../support/libvirtd.ts';
import { tinyGuest, tinyGuestXml } from '../../support/tiny-guest.ts';

const BOOT_MIB = 256;
const SIZE_MIB = 256;
const folder = mkdtempSync(join(tmpdir(), 'headroom-plugged-'));
const libvirtd = await privateLibvirtd();
const aggregator = await aggregatorEnd();
const name = `hrp${process.pid}`;
const options = { name, uuid: '6f1b0000-0000-4000-8000-0000000000d1', folder, memoryMiB: BOOT_MIB, pluggableMiB: SIZE_MIB };
const stateDir = join(folder, 'state');
const place = ['--connect', `qemu:///system?socket=${libvirtd.socket}`, '--state-dir', stateDir];
const hostArguments = [
  ...['host', '--host', 'test-host', '--aggregator', aggregator.url, ...place],
  ...['--include', name, '--balloon-stats-seconds', '1', '--stats-seconds', '2', '--settings-seconds', '1'],
  ...['--boot-deadline-seconds', '5', '--foreign-rest-seconds', '3', '--startup-lease-seconds', '600'],
];
const agents: AgentProcess[] = [];
const begin = (): void => void agents.push(startAgent(hostArguments, join(folder, 'agent.log')));

t.teardown(async () => {
  guest.close();
  for (const agent of agents) await agent.end('SIGKILL');
  await aggregator.close();
  spawnSync('virsh', ['-c', `qemu+unix:///system?socket=${libvirtd.socket}`, 'destroy', name]);
  await libvirtd.stop();
  rmSync(folder, { recursive: true, force: true });
});

const domainXml = join(folder, 'domain.xml');
writeFileSync(domainXml, tinyGuestXml(options));
virsh(libvirtd.socket, 'define', domainXml);
virsh(libvirtd.socket, 'start', name);
const guest = await tinyGuest(options);

/** The balloon as QEMU has it, and what is plugged and requested by the live definition, MiB. */
function parts(): { balloonMiB: number; requestedMiB: number; pluggedMiB: number } {
  const xml = virsh(libvirtd.socket, 'dumpxml', name);
  const mib = (element: string): number =>
    Number(new RegExp(`<${element} unit='KiB'>(\\d+)</${element}>\\s*(?:<|$)`).exec(xml.slice(xml.indexOf('<memory model')))?.[1]) / 1024;
  const balloonMiB = Number(/actual (\d+)/.exec(virsh(libvirtd.socket, 'dommemstat', name))?.[1]) / 1024;
  return { balloonMiB, requestedMiB: mib('requested'), pluggedMiB: mib('current') };
}
const persistent = (): string => virsh(libvirtd.socket, 'dumpxml', '--inactive', name);

/** All the memory that the guest's kernel has, by its own word. What is sent before it has opened its channel is lost: it is asked again. */
async function totalMiB(): Promise<number> {
  let toldMiB: number | null = null;
  guest.onLine((line) => {
    if (line.startsWith('total ')) toldMiB = Number(line.split(' ')[1]) / 1024;
  });
  const asks = setInterval(() => guest.send('total'), 1000);
  guest.send('total');
  const answer = await aggregator.until('the guest to tell its total', () => toldMiB).finally(() => clearInterval(asks));
  // An answer to what was asked twice belongs to this question.
  await new Promise((resolve) => setTimeout(resolve, 300));
  return answer;
}

const current = (): MemorySetting | undefined => {
  const found = aggregator.inventory(options.uuid)?.current.find(({ resource }) => resource === 'memory');
  return found?.resource === 'memory' ? found : undefined;
};
let generation = 0;
async function command(memoryMiB: number): Promise<FrameOf<'result'>> {
  const commandId = `c${++generation}`;
  const previous = await aggregator.until('memory in the inventory', current);
  aggregator.send({
    ...{ type: 'command', commandId, vm: options.uuid, resource: 'memory', pair: { epoch: 5, generation }, leaseMs: 600_000 },
    ...{ previous, target: { resource: 'memory', memoryMiB }, floor: 64, ceiling: BOOT_MIB + SIZE_MIB, mode: 'auto', reason: 'test' },
  });
  return aggregator.until(`the result of ${memoryMiB} MiB`, () => aggregator.of('result').find((result) => result.commandId === commandId));
}

/** Again as a plan would: what was taken in steps, or planned from what was told before the last change, goes on with the next command. */
async function commandUntil(memoryMiB: number, isThere: () => boolean): Promise<FrameOf<'result'>> {
  let result = await command(memoryMiB);
  for (let tries = 0; tries < 10 && !isThere(); tries++) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    result = await command(memoryMiB);
  }
  return result;
}

let definition: string;
let bootTotalMiB: number;

t.test('grown beyond what it booted with: libvirt says so, and so does the guest', async (t) => {
  definition = persistent();
  bootTotalMiB = await totalMiB();
  begin();
  await aggregator.until('the agent to tell of its VM', current);
  t.match(aggregator.inventory(options.uuid), {
    bootMemoryMiB: BOOT_MIB + SIZE_MIB,
    eligibility: { memory: { allowed: true } },
    baseline: [{}, { memoryMiB: BOOT_MIB }, {}, {}],
    current: [{}, { memoryMiB: BOOT_MIB }, {}, {}],
  });
  const result = await command(BOOT_MIB + 192);
  t.equal(result.outcome, 'applied', result.reason);
  await aggregator.until('it to be plugged', () => parts().pluggedMiB === 192);
  t.same(parts(), { balloonMiB: BOOT_MIB, requestedMiB: 192, pluggedMiB: 192 });
  t.equal(await totalMiB(), bootTotalMiB + 192, 'the guest has it');
  await aggregator.until('the agent to tell it', () => current()?.memoryMiB === BOOT_MIB + 192);
});

t.test('a reset of the guest: it has what it boots with, then all of it again, and nobody else is suspected', async (t) => {
  virsh(libvirtd.socket, 'reset', name);
  await aggregator.until('nothing to be plugged', () => parts().pluggedMiB === 0);
  await aggregator.until('it to be plugged again', () => parts().pluggedMiB === 192);
  await new Promise((resolve) => setTimeout(resolve, 4000));
  t.equal(current()?.memoryMiB, BOOT_MIB + 192, "whatever libvirt's own sum is by now");
  t.notOk(aggregator.of('event').some(({ kind }) => kind === 'foreign-writer'));
  t.equal(await totalMiB(), bootTotalMiB + 192);
});

t.test('taken back, below what it booted with', async (t) => {
  const result = await commandUntil(200, () => parts().balloonMiB < 201);
  t.equal(result.outcome, 'applied', result.reason);
  t.same(parts(), { balloonMiB: 200, requestedMiB: 0, pluggedMiB: 0 });
  t.equal(await totalMiB(), bootTotalMiB - (BOOT_MIB - 200));
});

t.test('kill -9 of the agent after a growth, then restore: both halves as before, the definition untouched', async (t) => {
  const result = await commandUntil(BOOT_MIB + 128, () => parts().requestedMiB === 128);
  t.equal(result.outcome, 'applied', result.reason);
  await aggregator.until('it to be plugged', () => parts().pluggedMiB === 128);
  await agents[0]?.end('SIGKILL');
  const restored = runAgent(['restore', '--all', ...place]);
  t.equal(restored.code, 0, restored.stdout + restored.stderr);
  t.same(parts(), { balloonMiB: BOOT_MIB, requestedMiB: 0, pluggedMiB: 0 });
  t.equal(await totalMiB(), bootTotalMiB);
  t.equal(persistent(), definition);
});

t.test("somebody else's request to the device is adopted, held and told", async (t) => {
  rmSync(stateDir, { recursive: true, force: true });
  const seen = aggregator.frames.length;
  begin();
  await aggregator.until('the agent again', () =>
    aggregator.frames.slice(seen).some((frame) => frame.type === 'inventory' && frame.vms.length > 0),
  );
  generation = 1000;
  const result = await commandUntil(BOOT_MIB + 64, () => parts().requestedMiB === 64);
  t.equal(result.outcome, 'applied', result.reason);
  await aggregator.until('it to be plugged', () => parts().pluggedMiB === 64);
  virsh(libvirtd.socket, 'update-memory-device', name, '--live', '--requested-size', '160MiB');
  await aggregator.until('the foreign request to be told', () => aggregator.of('event').find(({ kind }) => kind === 'foreign-writer'));
  const vm = await aggregator.until('the hold', () => {
    const now = aggregator.inventory(options.uuid);
    return now?.holds.length === 1 ? now : null;
  });
  t.match(vm.baseline[1], { memoryMiB: BOOT_MIB + 160 });
  t.match(await command(BOOT_MIB + 32), { outcome: 'refused', reason: /hands off/ });
  t.match(parts(), { requestedMiB: 160, pluggedMiB: 160 });
});
