/**
 * `bench resume`: real guests of three sizes, filled to a quarter and to three quarters with what nothing else holds, suspended and
 * resumed by libvirt's managed save and by ours in the same run. A resume is timed from the call until the guest answers, and until it has
 * read a working set of 32 MiB, a twentieth of which differs from resume to resume: a steady workload's differ by three hundredths at the
 * most. `floorSeconds`: the same set once more, with nothing left to come. Two guests of one image, filled with nothing of their own, tell
 * what the second stores of what the first did. Cold: what lies on the disk was dropped from the cache. Predicted:
 * prepared before the call, with the memory and the seconds held for it told beside.
 */
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareResume, type Residence } from '../../agent/actuators/resume-vm.ts';
import { type Suspended, suspendVm } from '../../agent/actuators/suspend-vm.ts';
import { createTouchModel, isProbe, scoreProbed, scoreTouches } from '../../agent/core/touch-model.ts';
import { CHUNK_BYTES } from '../../agent/snapshot/chunk.ts';
import { qemuProcess, touchedChunks } from '../../agent/snapshot/touched-chunks.ts';
import { ensurePackages, HYPERVISOR_PACKAGES } from '../../scripts/system-packages.ts';
import { type SuspendWorld, suspendWorld, type WorldGuest } from '../support/suspendable-guest.ts';
import { type Benchmark, rounded } from './benchmark.ts';

const GUESTS_MIB = [256, 1024, 2048];
const FILLED = [0.25, 0.75];
/** Kernel and programs of the guest. */
const SYSTEM_MIB = 80;
const MIB = 1024 * 1024;
const PART_MIB = 4;
/** Read from its disk in one order. */
const PARTS_PER_ORDER = 16;
/** Of the working set: whole parts, then half mebibytes of one that is always the same, and of one that is not. */
const SET_PARTS = 7;
const SAME_HALVES = 5;
const OTHER_HALVES = 3;
const TEMPLATE_MIB = 256;
/** Resumes that the model has seen before the one that counts. */
const LEARNT = 2;
/** Prepared so long before it is asked for. */
const HELD_MS = 1000;
const CHUNKS_MAX = 100_000;
const NOTHING = { predicted: [], isProbe: () => false };

const seconds = (beganMs: number): number => rounded((performance.now() - beganMs) / 1000);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function visitSet(guest: WorldGuest, round: number, parts: number): Promise<void> {
  await guest.ask(`visit 0 ${SET_PARTS}`);
  await guest.ask(`peek ${SET_PARTS} ${SAME_HALVES}`);
  await guest.ask(`peek ${SET_PARTS + 1 + (round % (parts - SET_PARTS - 1))} ${OTHER_HALVES}`);
}

/** Seconds since then until the guest answers, and until it has touched its working set. */
interface Times {
  answer: number;
  set: number;
}

async function timed(guest: WorldGuest, round: number, parts: number, beganMs: number): Promise<Times> {
  await guest.ask('req first 0');
  const answer = seconds(beganMs);
  await visitSet(guest, round, parts);
  return { answer, set: seconds(beganMs) };
}

/** From the page cache, so that the disk has to be read. */
function dropFromCache(pattern: string): void {
  for (const file of globSync(pattern)) {
    spawnSync('dd', [`of=${file}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0'], { stdio: 'ignore' });
  }
}

async function restoredByLibvirt(world: SuspendWorld, guest: WorldGuest, round: number, parts: number, cold: boolean): Promise<Times> {
  await world.deps.snapshotter.save(guest.vm);
  if (cold) dropFromCache(join(world.daemon.runFolder, '..', 'var_lib_libvirt', 'qemu', 'save', '*.save'));
  const beganMs = performance.now();
  await world.deps.snapshotter.restore(guest.vm);
  return timed(guest, round, parts, beganMs);
}

async function intoStore(world: SuspendWorld, guest: WorldGuest, residence: Residence | null) {
  const suspended: Suspended = await suspendVm(world.deps, guest.vm, residence);
  if (suspended.recipe !== 'memory-file') throw new Error(`suspended by managed save: ${suspended.reason}`);
  return suspended;
}

export async function measureGuest(
  world: SuspendWorld,
  diskFolder: string,
  number: number,
  guestMiB: number,
  filled: number,
  tell: (what: string) => void,
) {
  const parts = Math.floor(Math.min(guestMiB * filled, guestMiB - SYSTEM_MIB) / PART_MIB);
  const name = `guest-${guestMiB}-${filled * 100}`;
  const guest = await world.boot({ name, number, memoryMiB: guestMiB, diskMiB: parts * PART_MIB });
  for (let first = 0; first < parts; first += PARTS_PER_ORDER) {
    await guest.ask(`load ${first} ${Math.min(PARTS_PER_ORDER, parts - first)}`);
  }
  tell(`${name}: filled; by libvirt`);
  await visitSet(guest, 0, parts);
  const cold = await restoredByLibvirt(world, guest, 1, parts, true);
  const warm = await restoredByLibvirt(world, guest, 2, parts, false);
  tell(`${name}: libvirt ${cold.set} s cold, ${warm.set} s warm; by ours`);

  const model = createTouchModel();
  const stops: number[] = [];
  let suspended = await intoStore(world, guest, null);
  stops.push(suspended.stoppedMs);
  let unpredicted: Times = { answer: 0, set: 0 };
  for (let round = 0; round < LEARNT; round++) {
    dropFromCache(join(diskFolder, 'tenant', 'packs', '*.pack'));
    const beganMs = performance.now();
    const prepared = await prepareResume(world.deps, await world.store.open(suspended.saved.manifest.id), NOTHING);
    const residence = await prepared.go();
    const took = await timed(guest, round, parts, beganMs);
    if (round === 0) unpredicted = took;
    model.observe(await touchedChunks((await qemuProcess(guest.vm, residence.place.identity)) ?? 0, residence.place.identity));
    suspended = await intoStore(world, guest, residence);
    stops.push(suspended.stoppedMs);
  }
  tell(`${name}: unpredicted ${unpredicted.set} s`);
  const predicted = model.predict(CHUNKS_MAX).map(({ chunk }) => chunk);
  dropFromCache(join(diskFolder, 'tenant', 'packs', '*.pack'));
  const preparedMs = performance.now();
  const prepared = await prepareResume(world.deps, await world.store.open(suspended.saved.manifest.id), {
    predicted,
    isProbe: (chunk) => isProbe(chunk, model.resumes),
  });
  await pause(HELD_MS);
  const beganMs = performance.now();
  const residence = await prepared.go();
  const ready = await timed(guest, LEARNT, parts, beganMs);
  const heldMiBSeconds = rounded(((predicted.length * CHUNK_BYTES) / MIB) * ((beganMs - preparedMs) / 1000));
  const present = await touchedChunks((await qemuProcess(guest.vm, residence.place.identity)) ?? 0, residence.place.identity);
  const touched = present.filter((chunk) => !prepared.inPlace.has(chunk));
  const score = scoreProbed(predicted, prepared.inPlace, touched) ?? scoreTouches(predicted, touched);
  const againMs = performance.now();
  await visitSet(guest, LEARNT, parts);
  const floorSeconds = seconds(againMs);
  guest.close();
  await world.deps.snapshotter.end(guest.vm);
  await residence.leave();
  const run = {
    ...{ guestMiB, filledMiB: parts * PART_MIB, vcpus: 2, suspendMs: rounded(Math.max(...stops)) },
    ...{ libvirtColdSeconds: cold.set, libvirtWarmSeconds: warm.set, unpredictedSeconds: unpredicted.set, predictedSeconds: ready.set },
    ...{ libvirtColdAnswerSeconds: cold.answer, libvirtWarmAnswerSeconds: warm.answer, unpredictedAnswerSeconds: unpredicted.answer },
    ...{
      predictedAnswerSeconds: ready.answer,
      floorSeconds,
      heldMiBSeconds,
      bytesFirst: prepared.bytesFirst,
      bytesTotal: suspended.saved.filledBytes,
    },
    ...{ hitRate: rounded(score.hitRate), wasteRate: rounded(score.wasteRate) },
  };
  tell(`${name}: ${JSON.stringify(run)}`);
  return run;
}

/** Sealed bytes that two guests of one image add to a store of their own, one after the other. */
async function measureTemplate() {
  const disk = mkdtempSync(join(tmpdir(), 'headroom-snapshots-'));
  const world = await suspendWorld(disk);
  try {
    const stored: number[] = [];
    for (const number of [31, 32]) {
      const guest = await world.boot({ name: `of-template-${number}`, number, memoryMiB: TEMPLATE_MIB });
      stored.push((await intoStore(world, guest, null)).saved.newBytes);
      guest.close();
    }
    const [firstBytes = 0, secondBytes = 0] = stored;
    return { firstBytes, secondBytes, share: rounded(secondBytes / firstBytes) };
  } finally {
    await world.close();
    rmSync(disk, { recursive: true, force: true });
  }
}

export const resume: Benchmark = {
  about: "suspended guests brought back, predicted and not, beside libvirt's managed save",
  async run(tell) {
    ensurePackages(HYPERVISOR_PACKAGES, tell);
    const template = await measureTemplate();
    tell(`two guests of one image: ${JSON.stringify(template)}`);
    const disk = mkdtempSync(join(tmpdir(), 'headroom-snapshots-'));
    const world = await suspendWorld(disk);
    try {
      const runs = [];
      for (const guestMiB of GUESTS_MIB) {
        for (const filled of FILLED) runs.push(await measureGuest(world, disk, runs.length + 1, guestMiB, filled, tell));
      }
      return { runs, template };
    } finally {
      await world.close();
      rmSync(disk, { recursive: true, force: true });
    }
  },
};
