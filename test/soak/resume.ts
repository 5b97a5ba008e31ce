/**
 * `npm run soak -- resume`: suspension as people have it. A real guest along the whole road by the command line (`--memory` MiB), a
 * flipped bit in each kind of file of its snapshot, then its agent and its QEMU killed at random moments (`--kills` cycles); then the same
 * machinery killed at any step, over a hypervisor small enough for a thousand cycles (`--cycles`). With `--hosts 2`: brought back on another host instead, with `--disks 1` bringing along a disk that no other sees (`--lazily 1`: after its guest). Output: what was measured, damage met, cycles and what befell them.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensurePackages, HYPERVISOR_PACKAGES } from '../../scripts/system-packages.ts';
import { createPrng } from '../../shared/prng.ts';
import { type KilledSuspensions, killedSuspensions } from '../support/killed-suspensions.ts';
import { foretoldDisks, lazyDisks } from '../support/lazy-disks.ts';
import { ownDisks } from '../support/own-disks.ts';
import { suspendStage } from '../support/suspend-stage.ts';
import { damage } from './resume/damage.ts';
import { elsewhere } from './resume/elsewhere.ts';
import { killedGuest } from './resume/kills.ts';
import { driveRoad, filled } from './resume/road.ts';
import type { Soak, SoakAsked } from './soak.ts';

/** Cycles a seed lives through, with one store and one journal. */
const CYCLES_PER_SEED = 50;

async function wholeRoad(memoryMiB: number, kills: number, { seed, tell }: SoakAsked) {
  ensurePackages(HYPERVISOR_PACKAGES, tell);
  const stage = await suspendStage(memoryMiB);
  try {
    const sum = await filled(stage);
    const road = await driveRoad(stage, sum, tell);
    const spoiled = await damage(stage, sum, createPrng(seed), tell);
    const guest = kills === 0 ? {} : { guest: await killedGuest(stage, await filled(stage), kills, createPrng(seed), tell) };
    return { ...road, ...spoiled, ...guest };
  } finally {
    await stage.stop();
  }
}

async function killed(cycles: number, { seed, tell }: SoakAsked): Promise<KilledSuspensions[]> {
  const all: KilledSuspensions[] = [];
  // No program to show memory lazily with: what is killed here is the agent, not the kernel.
  process.env.PATH = '';
  for (let left = cycles, own = seed; left > 0; left -= CYCLES_PER_SEED, own++) {
    const folder = mkdtempSync(join(tmpdir(), 'headroom-killed-'));
    try {
      all.push(await killedSuspensions(folder, Math.min(left, CYCLES_PER_SEED), createPrng(own)));
      tell(`seed ${own}: ${JSON.stringify(all.at(-1))}`);
    } catch (error) {
      throw new Error(`seed ${own}: ${String(error)}`, { cause: error });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  return all;
}

export const resume: Soak = {
  about:
    'a real guest suspended and resumed by the command line, with damage; then killed at any step (--memory MiB, 0 = without, --kills, --cycles); ' +
    'or, with --hosts 2, resumed on another host over a wire that is cut; with --disks 1 as well, a disk that only one of them sees comes along, with --lazily 1 after its guest',
  options: { memory: '192', kills: '10', cycles: '1000', hosts: '1', disks: '0', lazily: '0' },
  async run(asked) {
    const { memory, kills, cycles, hosts, disks, lazily } = asked.numbers;
    if (hosts === 2) {
      ensurePackages(HYPERVISOR_PACKAGES, asked.tell);
      if (disks === 0) return elsewhere(memory!, asked.tell);
      if (lazily === 0) return ownDisks(memory!, asked.tell);
      return { ...(await foretoldDisks(memory!, asked.tell)), ...(await lazyDisks(memory!, asked.tell)) };
    }
    const road = memory === 0 ? {} : await wholeRoad(memory!, kills!, asked);
    const all = await killed(cycles!, asked);
    const sum = (of: (one: KilledSuspensions) => number): number => all.reduce((total, one) => total + of(one), 0);
    return {
      ...road,
      ...{ cycles: sum((one) => one.cycles), deaths: sum((one) => one.deaths), guestDeaths: sum((one) => one.guestDeaths) },
      ...{ powerCuts: sum((one) => one.powerCuts), foreignStarts: sum((one) => one.foreignStarts) },
      ...{ suspended: sum((one) => one.suspended), resumed: sum((one) => one.resumed) },
    };
  },
};
