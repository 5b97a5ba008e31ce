/**
 * One directory for everything a run writes outside the cache, removed at its end; and the account of the processes a run
 * started, so that a later run can clean up after one that was killed. Input: nothing; effects: files, and signals to
 * processes that an earlier run is known to have started.
 */
import { chmodSync, constants, copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** Not below a home directory: QEMU runs as another user and must reach the guests' files. */
const PARENT = '/var/tmp';
const PREFIXES = { real: 'headroom-demo-', simulated: 'headroom-simulated-' } as const;
/** Runs of one kind exclude each other; a simulated one can go on beside anything. */
export type RunKind = keyof typeof PREFIXES;
const PROCESSES = 'processes.json';

interface KnownProcess {
  id: number;
  /** Clock ticks after boot at which it started: tells it from a later process with the same id. */
  startTicks: string;
}

/** Field 22 of /proc/PID/stat; the name before it may hold anything, so fields count from its closing bracket. */
function startTicks(id: number): string | null {
  try {
    const stat = readFileSync(`/proc/${id}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

export class RunDirectory {
  readonly path: string;
  readonly #processes: KnownProcess[] = [];

  constructor(kind: RunKind) {
    this.path = mkdtempSync(join(PARENT, PREFIXES[kind]));
    chmodSync(this.path, 0o711);
    this.noteProcess(process.pid);
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** A copy that QEMU's user can read; a reflink where the file system can. */
  copyIn(source: string): string {
    const target = this.file(basename(source));
    copyFileSync(source, target, constants.COPYFILE_FICLONE);
    chmodSync(target, 0o644);
    return target;
  }

  noteProcess(id: number): void {
    const ticks = startTicks(id);
    if (ticks !== null) this.#processes.push({ id, startTicks: ticks });
    writeFileSync(this.file(PROCESSES), JSON.stringify(this.#processes));
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

function knownProcesses(directory: string): KnownProcess[] {
  try {
    return JSON.parse(readFileSync(join(directory, PROCESSES), 'utf8'));
  } catch {
    return [];
  }
}

export interface LeftOver {
  path: string;
  /** The demo itself still runs: hands off. */
  inUse: boolean;
  /** Processes it started that still run. */
  processIds: number[];
}

/** Directories of earlier real runs. The first process of each account is the demo itself. */
export function leftOverDirectories(): LeftOver[] {
  return readdirSync(PARENT)
    .filter((name) => name.startsWith(PREFIXES.real))
    .map((name) => {
      const path = join(PARENT, name);
      const alive = knownProcesses(path).map(({ id, startTicks: ticks }) => ({ id, alive: startTicks(id) === ticks }));
      return { path, inUse: alive[0]?.alive === true, processIds: alive.slice(1).flatMap((known) => (known.alive ? [known.id] : [])) };
    });
}

/** Ends what a killed run left behind; answers what it did, in words. */
export function removeLeftOver(leftOver: LeftOver): string {
  for (const id of leftOver.processIds) {
    try {
      process.kill(id, 'SIGTERM');
    } catch {
      // It ended by itself meanwhile.
    }
  }
  rmSync(leftOver.path, { recursive: true, force: true });
  const processes = leftOver.processIds.length === 0 ? '' : ` and ended its processes ${leftOver.processIds.join(', ')}`;
  return `removed ${leftOver.path} of an earlier run that was killed${processes}`;
}
