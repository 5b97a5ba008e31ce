/**
 * The processes that take most: those of a name taken together, the first few by CPU and by memory. Input: /proc/PID/stat,
 * read every 15 s (a process costs some 15 µs); output: Readings `vm_process.cpuCores.NAME` and `vm_process.rssMiB.NAME`.
 * Names are bounded over the collector's life: what comes later is counted as `other`.
 */
import { PROCESS_MEASUREMENT } from '../../shared/telemetry.ts';
import { bytesToMiB } from '../../shared/units.ts';
import { type Collector, noData, reading } from './collector.ts';
import type { KernelFiles } from './files.ts';
import { leadingNumber } from './parse.ts';

/** By CPU, and as many by memory. */
const TOP = 5;
/** Two fields each; the gate at the host takes 128. */
const NAMES_MAX = 40;
/** A machine with more is read in part: seconds of CPU every 15 s would be a burden of our own. */
const PROCESSES_MAX = 4000;
/** USER_HZ, see cpu.ts. */
const TICKS_PER_SECOND = 100;
const OTHER = 'other';
/** Node names its main thread, and thereby its process, so: the program's own name says more. */
const THREAD_NAME = 'MainThread';

interface Use {
  /** Cores over the time since the last reading, NaN where there was none. */
  cpuCores: number;
  rssMiB: number;
}

export function createProcesses(files: KernelFiles, pageBytes: number, gapMsMax: number): Collector {
  const fields: string[] = [`${PROCESS_MEASUREMENT}.cpuCores.${OTHER}`, `${PROCESS_MEASUREMENT}.rssMiB.${OTHER}`];
  const names = new Set([OTHER]);
  let ticksBefore = new Map<string, number>();
  let lastMs = Number.NaN;

  const nameFor = (name: string): string => {
    if (names.has(name)) return name;
    if (names.size >= NAMES_MAX) return OTHER;
    names.add(name);
    fields.push(`${PROCESS_MEASUREMENT}.cpuCores.${name}`, `${PROCESS_MEASUREMENT}.rssMiB.${name}`);
    return name;
  };

  return {
    name: 'processes',
    fields,
    required: [],
    update(nowMs) {
      const pids = (files.list('proc') ?? []).filter((name) => /^\d+$/.test(name)).slice(0, PROCESSES_MAX);
      if (pids.length === 0) return noData('/proc lists no processes');
      const elapsedMs = nowMs - lastMs;
      const rated = elapsedMs > 0 && elapsedMs <= gapMsMax;
      const ticksNow = new Map<string, number>();
      const uses = new Map<string, Use>();
      for (const pid of pids) {
        const process = parseStat(files.readBytes(`proc/${pid}/stat`)?.toString('latin1') ?? '');
        if (process === null) continue;
        if (process.name === THREAD_NAME) process.name = programName(files, pid);
        // A process is known by when it began, too: numbers are used again.
        const key = `${pid} ${process.startTicks}`;
        ticksNow.set(key, process.ticks);
        // One that began in between used all it has since then.
        const ticks = process.ticks - (ticksBefore.get(key) ?? 0);
        const use = uses.get(process.name) ?? { cpuCores: 0, rssMiB: 0 };
        use.cpuCores += rated ? (ticks * 1000) / (TICKS_PER_SECOND * elapsedMs) : Number.NaN;
        use.rssMiB += bytesToMiB(process.rssPages * pageBytes);
        uses.set(process.name, use);
      }
      ticksBefore = ticksNow;
      lastMs = nowMs;
      return reading(valuesOf(top(uses), nameFor));
    },
  };
}

function top(uses: ReadonlyMap<string, Use>): Map<string, Use> {
  const entries = [...uses];
  const byCpu = entries.filter(([, { cpuCores }]) => cpuCores > 0).sort(([, a], [, b]) => b.cpuCores - a.cpuCores);
  const byMemory = entries.filter(([, { rssMiB }]) => rssMiB > 0).sort(([, a], [, b]) => b.rssMiB - a.rssMiB);
  return new Map([...byCpu.slice(0, TOP), ...byMemory.slice(0, TOP)]);
}

function valuesOf(uses: ReadonlyMap<string, Use>, nameFor: (name: string) => string): Record<string, number> {
  const values: Record<string, number> = {};
  for (const [process, { cpuCores, rssMiB }] of uses) {
    const name = nameFor(process);
    const cpuField = `${PROCESS_MEASUREMENT}.cpuCores.${name}`;
    const rssField = `${PROCESS_MEASUREMENT}.rssMiB.${name}`;
    values[cpuField] = (values[cpuField] ?? 0) + cpuCores;
    values[rssField] = (values[rssField] ?? 0) + rssMiB;
  }
  return values;
}

/** `PID (NAME) STATE …`: the name may hold blanks and brackets itself (proc(5)). Null for what is no such line. */
function parseStat(text: string): { name: string; ticks: number; rssPages: number; startTicks: number } | null {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  if (open < 0 || close < open) return null;
  // Field 3 begins after the bracket: utime is field 14, stime 15, starttime 22, rss 24.
  const userAt = fieldAt(text, close + 2, 11);
  const systemAt = fieldAt(text, userAt, 1);
  const startAt = fieldAt(text, systemAt, 7);
  const ticks = leadingNumber(text, userAt) + leadingNumber(text, systemAt);
  const startTicks = leadingNumber(text, startAt);
  const rssPages = leadingNumber(text, fieldAt(text, startAt, 2));
  if (Number.isNaN(ticks + rssPages + startTicks)) return null;
  return { name: plainName(text.slice(open + 1, close)), ticks, rssPages, startTicks };
}

/** Where the field begins that is `count` fields behind the one at `from`; the text's end when there are fewer. */
function fieldAt(text: string, from: number, count: number): number {
  let at = from;
  for (let i = 0; i < count; i++) {
    const blank = text.indexOf(' ', at);
    if (blank < 0) return text.length;
    at = blank + 1;
  }
  return at;
}

/** The base name of the first argument. */
function programName(files: KernelFiles, pid: string): string {
  const program = files.readBytes(`proc/${pid}/cmdline`)?.toString('latin1').split('\0')[0] ?? '';
  return plainName(program.slice(program.lastIndexOf('/') + 1));
}

/** Kernel threads by what they do (`kworker/0:1-events` is `kworker`), and only what a field's name may hold. */
function plainName(comm: string): string {
  const kind = /^(kworker|ksoftirqd|migration|cpuhp|irq|rcu\w*|jbd2)[/-]/.exec(comm)?.[1] ?? comm;
  const name = kind.replaceAll(/[^a-zA-Z0-9_.:-]/g, '_').replace(/^[.:-]+/, '');
  return name === '' ? OTHER : name;
}
