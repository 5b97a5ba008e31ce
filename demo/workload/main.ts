/**
 * The workload of a demo guest: offers CPU and memory load after its role's pattern and tells the agent how much it offers.
 * Input: role, memory size and the first day's beginning on the kernel's command line; effects: load, and once a second a file of `name value` lines
 * that the guest agent reports as `vm_app.NAME`. Those figures serve scoring only; nothing that decides reads them.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { BASE_READINGS, baseOf, type GuestBase, type GuestReading, SETTLE_MS } from './base.ts';
import { createCpuLoad, SLICE_MS } from './cpu-load.ts';
import { bootOption, busySeconds, guestMemory } from './guest-figures.ts';
import { MEMINFO_AT_BOOT } from './meminfo-at-boot.ts';
import { createMemoryLoad } from './memory-load.ts';
import { METRICS_FILE } from './metrics-file.ts';
import { offerAt, ROLES, type Role } from './pattern.ts';

const REPORT_MS = 1000;

const role = bootOption('role') as Role | undefined;
const givenMiB = Number(bootOption('memory'));
const firstDayMs = Number(bootOption('first-day'));
if (role === undefined || !ROLES.includes(role) || !(givenMiB > 0) || !(firstDayMs > 0)) {
  console.error(
    `workload: the kernel command line must name headroom.role (${ROLES.join(', ')}), headroom.memory (MiB) and headroom.first-day (ms since 1970)`,
  );
  process.exit(64);
}

// What the kernel told at boot: by now the balloon may have been asked for something.
const reservedMiB = givenMiB - guestMemory(readFileSync(MEMINFO_AT_BOOT, 'utf8')).totalMiB;
const monotonicMs = (): number => performance.now();
const read = (): GuestReading => ({ monotonicMs: monotonicMs(), busySeconds: busySeconds(), memory: guestMemory() });
const sleep = (delayMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, delayMs));

async function measureBase(): Promise<GuestBase> {
  await sleep(SETTLE_MS);
  const readings = [read()];
  while (readings.length < BASE_READINGS) {
    await sleep(REPORT_MS);
    readings.push(read());
  }
  return baseOf(readings, reservedMiB);
}

/** Written beside and renamed: a reader never sees half a file. */
function report(figures: Record<string, number>): void {
  const lines = Object.entries(figures).map(([name, value]) => `${name} ${value.toFixed(4)}\n`);
  writeFileSync(`${METRICS_FILE}.new`, lines.join(''));
  renameSync(`${METRICS_FILE}.new`, METRICS_FILE);
}

async function run(as: Role): Promise<void> {
  mkdirSync(dirname(METRICS_FILE), { recursive: true });
  const base = await measureBase();
  console.log(`workload: ${as}, base ${base.cores.toFixed(3)} cores ${base.memoryMiB.toFixed(0)} MiB`);
  const cpu = createCpuLoad(monotonicMs);
  const memory = createMemoryLoad(givenMiB);
  setInterval(() => {
    const offer = offerAt(as, Date.now() - firstDayMs);
    const startMs = monotonicMs();
    memory.step(offer.memoryMiB, () => guestMemory().availableMiB);
    cpu.work(offer.cores, monotonicMs() - startMs);
  }, SLICE_MS);
  setInterval(() => {
    const offer = offerAt(as, Date.now() - firstDayMs);
    report({
      offeredCores: base.cores + offer.cores,
      offeredMemoryMiB: base.memoryMiB + offer.memoryMiB,
      heldMemoryMiB: base.memoryMiB + memory.heldMiB,
    });
  }, REPORT_MS);
}

await run(role);
