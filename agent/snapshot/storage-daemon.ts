/**
 * qemu-storage-daemon processes, which outlive the agent that started them: a guest lives on what they show. Found again by the
 * path they show something at, so that no process number has to be kept. Input: arguments, paths; output: processes begun and ended.
 */
import { spawn } from 'node:child_process';
import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HeadroomError } from '../../shared/errors.ts';

const PROGRAM = 'qemu-storage-daemon';
const GONE_POLL_MS = 5;
/** One that does not end when asked to within this time waits for a guest or an agent that is gone. */
const TERM_MS_MAX = 5000;
/** One that is not gone so long after it was killed hangs in the kernel, which nobody can end from here. */
const KILL_MS_MAX = 15_000;

/** @param log what it says goes there: a pipe would end with us. Rejects when there is no such program. */
export async function startDaemon(log: string, args: readonly string[]): Promise<{ ended(): boolean }> {
  const words = await open(log, 'w', 0o600);
  try {
    const daemon = spawn(PROGRAM, args, { stdio: ['ignore', 'ignore', words.fd], detached: true });
    await new Promise((resolve, reject) => {
      daemon.once('spawn', resolve);
      daemon.once('error', reject);
    });
    daemon.unref();
    return { ended: () => daemon.exitCode !== null || daemon.signalCode !== null };
  } finally {
    await words.close();
  }
}

/** Those that show something at this path; their mounts go with them. Throws ENVIRONMENT when one cannot be ended. */
export async function endDaemons(path: string, procfs = '/proc', { termMs = TERM_MS_MAX, killMs = KILL_MS_MAX } = {}): Promise<void> {
  for (const pid of await daemonsAt(path, procfs)) {
    const gone = async (withinMs: number): Promise<boolean> => {
      const untilMs = performance.now() + withinMs;
      while (await isOf(pid, path, procfs)) {
        if (performance.now() >= untilMs) return false;
        await new Promise((resolve) => setTimeout(resolve, GONE_POLL_MS));
      }
      return true;
    };
    signal(pid, 'SIGTERM');
    if (await gone(termMs)) continue;
    signal(pid, 'SIGKILL');
    if (await gone(killMs)) continue;
    const words = `${PROGRAM} (process ${pid}) at ${path} does not end, though it was killed ${killMs} ms ago`;
    throw new HeadroomError('ENVIRONMENT', `${words}: it hangs in the kernel; what waits for it ends with a restart of the host`);
  }
}

async function daemonsAt(path: string, procfs: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir(procfs)) {
    if (/^\d+$/.test(name) && (await isOf(Number(name), path, procfs))) found.push(Number(name));
  }
  return found;
}

/** Where those of this machine show something. */
export async function daemonPaths(procfs = '/proc'): Promise<string[]> {
  const paths: string[] = [];
  for (const name of await readdir(procfs)) {
    if (!/^\d+$/.test(name)) continue;
    const words = (await readFile(join(procfs, name, 'cmdline'), 'utf8').catch(() => '')).split('\0');
    if (words[0]?.endsWith(PROGRAM) !== true) continue;
    for (const word of words) paths.push(...(/(?:^|,)mountpoint=([^,]+),/.exec(word)?.slice(1) ?? []));
  }
  return paths;
}

/** An ended process that nobody has collected yet has no words any more. */
async function isOf(pid: number, path: string, procfs: string): Promise<boolean> {
  const words = (await readFile(join(procfs, String(pid), 'cmdline'), 'utf8').catch(() => '')).split('\0');
  return words[0]?.endsWith(PROGRAM) === true && words.some((word) => word.includes(`mountpoint=${path},`));
}

function signal(pid: number, name: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(pid, name);
  } catch {
    // It is gone by itself.
  }
}
