/**
 * `bench resume`: real guests of three sizes, filled to a quarter and to three quarters with what nothing else holds, suspended and
 * resumed by libvirt's managed save and by ours in the same run, medians of three. A resume is timed from the call until the guest answers,
 * and until it has read a working set of 32 MiB, a twentieth of which differs from resume to resume: a steady workload's differ by three
 * hundredths at the most. `floorSeconds`: the same set once more, with nothing left to come. Cold: what lies on the disk, libvirt's file or
 * our packs, was dropped from the page cache, as on a host that has done other work since. Ours, in three ways: `first`, the VM's first
 * resume of all, of which nothing is known; `unpredicted`, nobody knew that it would be wanted, so nothing was made ready, and what it
 * touches first is known from its earlier resumes; `predicted`, made ready before the call, with the memory and the seconds held for it told
 * beside. Hits and waste are counted when the set has been touched. Two guests of one image, filled with nothing of their own, tell what the
 * second stores of what the first did.
 */
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareResume, type Residence } from '../../agent/actuators/resume-vm.ts';
import { type Suspended, suspendVm } from '../../agent/actuators/suspend-vm.ts';
import { createTouchModel, scoreTouches, type TouchModel, type TouchScore } from '../../agent/core/touch-model.ts';
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
/** Each way, except a first resume. */
const TIMES = 3;
/** Prepared so long before it is asked for. */
const HELD_MS = 1000;
const CHUNKS_MAX = 100_000;

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

interface Measured {
  world: SuspendWorld;
  guest: WorldGuest;
  packs: string;
  parts: number;
  /** Resumes so far, by whomever. */
  round: number;
}

async function restoredByLibvirt(at: Measured, cold: boolean): Promise<Times> {
  const { world, guest, parts } = at;
  await world.deps.snapshotter.save(guest.vm);
  if (cold) dropFromCache(join(world.daemon.saveFolder, '*.save'));
  const beganMs = performance.now();
  await world.deps.snapshotter.restore(guest.vm);
  return timed(guest, at.round++, parts, beganMs);
}

type Kept = Extract<Suspended, { recipe: 'memory-file' }>;

async function intoStore(world: SuspendWorld, guest: WorldGuest, residence: Residence | null): Promise<Kept> {
  const suspended: Suspended = await suspendVm(world.deps, guest.vm, residence);
  if (suspended.recipe !== 'memory-file') throw new Error(`suspended by managed save: ${suspended.reason}`);
  return suspended;
}

interface Resumed {
  times: Times;
  score: TouchScore;
  bytesFirst: number;
  heldMiBSeconds: number;
  floorSeconds: number;
  residence: Residence;
}

/** Cold: brought back, timed, and learnt from. `ready`: prepared some time before it is asked for. */
async function resumed(at: Measured, id: string, model: TouchModel, ready: boolean): Promise<Resumed> {
  const { world, guest, parts, packs } = at;
  dropFromCache(packs);
  const askedMs = performance.now();
  const predicted = model.predict(CHUNKS_MAX).map(({ chunk }) => chunk);
  const prepared = await prepareResume(world.deps, await world.store.open(id), { predicted });
  if (ready) await pause(HELD_MS);
  const wantedMs = ready ? performance.now() : askedMs;
  const residence = await prepared.go();
  const times = await timed(guest, at.round, parts, wantedMs);
  const touched = await touchedChunks((await qemuProcess(guest.vm, residence.place.identity)) ?? 0, residence.place.identity);
  model.observe(touched, { inPlace: prepared.inPlace });
  const againMs = performance.now();
  await visitSet(guest, at.round++, parts);
  return {
    ...{ times, residence, floorSeconds: seconds(againMs), bytesFirst: prepared.bytesFirst },
    score: scoreTouches(predicted, touched),
    heldMiBSeconds: rounded(((predicted.length * CHUNK_BYTES) / MIB) * ((wantedMs - askedMs) / 1000)),
  };
}

/** `HEADROOM_RESUME_GUESTS=2048/75,256/25` takes these alone. */
function isWanted(guestMiB: number, filled: number): boolean {
  const names = process.env.HEADROOM_RESUME_GUESTS?.split(',');
  return names === undefined || names.includes(`${guestMiB}/${filled * 100}`);
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

async function filledGuest(world: SuspendWorld, number: number, guestMiB: number, filled: number): Promise<Omit<Measured, 'packs'>> {
  const parts = Math.floor(Math.min(guestMiB * filled, guestMiB - SYSTEM_MIB) / PART_MIB);
  const guest = await world.boot({ name: `guest-${guestMiB}-${filled * 100}`, number, memoryMiB: guestMiB, diskMiB: parts * PART_MIB });
  for (let first = 0; first < parts; first += PARTS_PER_ORDER) {
    await guest.ask(`load ${first} ${Math.min(PARTS_PER_ORDER, parts - first)}`);
  }
  await visitSet(guest, 0, parts);
  return { world, guest, parts, round: 1 };
}

export async function measureGuest(
  world: SuspendWorld,
  diskFolder: string,
  number: number,
  guestMiB: number,
  filled: number,
  tell: (what: string) => void,
) {
  const at = { ...(await filledGuest(world, number, guestMiB, filled)), packs: join(diskFolder, 'tenant', 'packs', '*.pack') };
  const { guest, parts } = at;
  const cold: Times[] = [];
  for (let n = 0; n < TIMES; n++) cold.push(await restoredByLibvirt(at, true));
  const warm = await restoredByLibvirt(at, false);
  tell(`${guest.name}: libvirt ${cold.map(({ set }) => set).join(', ')} s cold, ${warm.set} s warm`);

  const model = createTouchModel();
  const done = { first: [] as Resumed[], unpredicted: [] as Resumed[], predicted: [] as Resumed[] };
  let suspended = await intoStore(world, guest, null);
  const stopsMs = [suspended.stoppedMs];
  const way = async (name: keyof typeof done): Promise<void> => {
    const one = await resumed(at, suspended.saved.manifest.id, model, name === 'predicted');
    done[name].push(one);
    tell(`${guest.name}: ${name} ${one.times.set} s, ${one.times.answer} s to the first answer`);
    suspended = await intoStore(world, guest, one.residence);
    stopsMs.push(suspended.stoppedMs);
  };
  await way('first');
  for (let n = 0; n < TIMES; n++) {
    await way('unpredicted');
    await way('predicted');
  }
  guest.close();
  const run = {
    ...{ guestMiB, filledMiB: parts * PART_MIB, vcpus: 2, suspendMs: rounded(Math.max(...stopsMs)) },
    ...summary({ libvirtCold: cold, libvirtWarm: [warm] }),
    ...summary({
      first: done.first.map(({ times }) => times),
      unpredicted: done.unpredicted.map(({ times }) => times),
      predicted: done.predicted.map(({ times }) => times),
    }),
    floorSeconds: median(done.predicted.map(({ floorSeconds }) => floorSeconds)),
    heldMiBSeconds: median(done.predicted.map(({ heldMiBSeconds }) => heldMiBSeconds)),
    bytesFirst: median(done.predicted.map(({ bytesFirst }) => bytesFirst)),
    bytesTotal: suspended.saved.filledBytes,
    hitRate: rounded(median(done.predicted.map(({ score }) => score.hitRate))),
    wasteRate: rounded(median(done.predicted.map(({ score }) => score.wasteRate))),
  };
  tell(`${guest.name}: ${JSON.stringify(run)}`);
  return run;
}

/** Medians, as `NAMESeconds` until the set was touched and `NAMEAnswerSeconds`. */
function summary(ways: Record<string, readonly Times[]>): Record<string, number> {
  const figures = Object.entries(ways).flatMap(([name, times]) => [
    [`${name}Seconds`, median(times.map(({ set }) => set))],
    [`${name}AnswerSeconds`, median(times.map(({ answer }) => answer))],
  ]);
  return Object.fromEntries(figures);
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
        for (const filled of FILLED) {
          if (!isWanted(guestMiB, filled)) continue;
          runs.push(await measureGuest(world, disk, runs.length + 1, guestMiB, filled, tell));
        }
      }
      return { runs, template };
    } finally {
      await world.close();
      rmSync(disk, { recursive: true, force: true });
    }
  },
};
