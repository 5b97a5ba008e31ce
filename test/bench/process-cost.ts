/**
 * What a process and its children cost, as the kernel counts it: CPU by scheduler statistics (nanoseconds, where clock ticks
 * would see a process that runs for half a millisecond a second as nothing or as ten), memory by /proc/PID/smaps_rollup.
 * Input: a process id; output: figures. Linux only.
 */
import { readdirSync, readFileSync } from 'node:fs';

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Ended between being listed and being read.
    return '';
  }
};

const list = (path: string): string[] => {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
};

/** The process and all below it. */
export function processTree(pid: number): number[] {
  const below = list(`/proc/${pid}/task`).flatMap((task) => read(`/proc/${pid}/task/${task}/children`).split(' '));
  return [pid, ...below.filter((id) => id.trim() !== '').flatMap((id) => processTree(Number(id)))];
}

/** CPU of the threads there are now, by thread. What ends between two readings is not seen; none of the programs here does much in such. */
function cpuNsByThread(pids: readonly number[]): Map<string, number> {
  const threads = new Map<string, number>();
  for (const pid of pids) {
    for (const task of list(`/proc/${pid}/task`)) threads.set(task, Number(read(`/proc/${pid}/task/${task}/schedstat`).split(' ')[0]));
  }
  return threads;
}

/** Seconds of CPU since the call before it, of the process and all below it. */
export function cpuMeter(pid: number): () => number {
  let before = cpuNsByThread(processTree(pid));
  return () => {
    const now = cpuNsByThread(processTree(pid));
    let ns = 0;
    for (const [task, spent] of now) if (Number.isFinite(spent)) ns += spent - (before.get(task) ?? 0);
    before = now;
    return ns / 1e9;
  };
}

export interface Memory {
  rssMiB: number;
  /** Pages no other process maps: what would be free without it. */
  privateMiB: number;
}

export function memoryOf(pid: number): Memory {
  let [rssKib, privateKib] = [0, 0];
  for (const id of processTree(pid)) {
    const rollup = read(`/proc/${id}/smaps_rollup`);
    const kib = (name: string): number => Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(rollup)?.[1] ?? 0);
    rssKib += kib('Rss');
    privateKib += kib('Private_Clean') + kib('Private_Dirty');
  }
  return { rssMiB: rssKib / 1024, privateMiB: privateKib / 1024 };
}
