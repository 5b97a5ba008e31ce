/**
 * Simulated fleets, seed after seed, all that CI has no time for. Goes on where it was stopped: what was run at this commit is
 * kept in the cache directory. Input: first seed, how many, sizes, threads; output: how many held, what did not, faults met.
 */
import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheDir } from '../support/cache-dir.ts';
import { type FleetRun, replayOf, type SeedReport, simulateSeeds, whatIsWrong } from '../support/simulate-seeds.ts';
import type { Soak } from './soak.ts';

interface Kept {
  seed: number;
  wrong: string | null;
  cpuSeconds: number;
  changesApplied: number;
  faults: Record<string, number>;
}

const WRONG_SHOWN_MAX = 20;

function keptOf(done: SeedReport): Kept {
  const { report, run, cpuSeconds } = done;
  const failed = 'error' in report;
  return {
    seed: run.seed,
    wrong: whatIsWrong(done),
    cpuSeconds,
    changesApplied: failed ? 0 : report.changesApplied,
    faults: failed ? {} : report.faultsInjected,
  };
}

function recall(file: string): Map<number, Kept> {
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
  return new Map(lines.map((line) => JSON.parse(line) as Kept).map((kept) => [kept.seed, kept]));
}

function commit(): string {
  const git = (...args: string[]): string => execFileSync('git', args, { encoding: 'utf8' }).trim();
  return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '--untracked-files=no') === '' ? '' : '-changed');
}

export const simulate: Soak = {
  about: 'simulated fleets under every fault, a hundred seeds of 4 hosts, 40 VMs and 12 hours unless told otherwise; resumable',
  options: { seeds: '100', hosts: '4', vms: '40', hours: '12', threads: '2' },
  async run({ seed: first, numbers, tell }) {
    const { seeds = 0, hosts = 0, vms = 0, hours = 0, threads = 1 } = numbers;
    const at = commit();
    const file = join(cacheDir('soak'), `simulate-${at}-${hosts}x${vms}x${hours}.jsonl`);
    const known = recall(file);
    const all: FleetRun[] = Array.from({ length: seeds }, (_, i) => ({ seed: first + i, hosts, vms, hours }));
    const left = all.filter(({ seed }) => !known.has(seed));
    if (left.length < all.length) tell(`${all.length - left.length} seeds were run before: ${file}`);
    for await (const done of simulateSeeds(left, threads)) {
      const kept = keptOf(done);
      known.set(kept.seed, kept);
      appendFileSync(file, `${JSON.stringify(kept)}\n`);
      tell(`seed ${kept.seed}: ${kept.wrong ?? 'held'} (${kept.cpuSeconds.toFixed(1)} s of CPU, ${kept.changesApplied} changes applied)`);
    }
    const results = all.map(({ seed }) => known.get(seed)!);
    const wrong = results.filter((one) => one.wrong !== null);
    const faults: Record<string, number> = {};
    for (const one of results) for (const [kind, count] of Object.entries(one.faults)) faults[kind] = (faults[kind] ?? 0) + count;
    if (wrong.length > 0) {
      const told = wrong
        .slice(0, WRONG_SHOWN_MAX)
        .map((one) => `SEED=${one.seed} COMMIT=${at}: ${one.wrong}\n  ${replayOf({ ...all[0]!, seed: one.seed })}`);
      throw new Error(`${wrong.length} of ${results.length} seeds broke:\n${told.join('\n')}`);
    }
    const sum = (of: (one: Kept) => number): number => results.reduce((total, one) => total + of(one), 0);
    return {
      commit: at,
      seeds: results.length,
      held: results.length,
      vmHours: seeds * vms * hours,
      cpuSeconds: Math.round(sum((one) => one.cpuSeconds)),
      changesApplied: sum((one) => one.changesApplied),
      faultsInjected: faults,
    };
  },
};
