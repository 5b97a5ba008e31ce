/**
 * qemu-storage-daemon processes, which outlive the agent that started them: a guest lives on what they show. Found again by the
 * path they show something at, so that no process number has to be kept. Input: arguments, paths; output: processes begun and ended.
 */
import { spawn } from 'node:child_process';
import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

const PROGRAM = 'qemu-storage-daemon';
const GONE_POLL_MS = 5;
/** One that does not end when asked to within this time waits for a guest or an agent that is gone. */
const TERM_MS_MAX = 5000;

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

/** Those that show something at this path; their mounts go with them. */
export async function endDaemons(path: string, procfs = '/proc'): Promise<void> {
  for (const pid of await daemonsAt(path, procfs)) {
    signal(pid, 'SIGTERM');
    for (let waitedMs = 0; await isOf(pid, path, procfs); waitedMs += GONE_POLL_MS) {
      if (waitedMs === TERM_MS_MAX) signal(pid, 'SIGKILL');
      await new Promise((resolve) => setTimeout(resolve, GONE_POLL_MS));
    }
  }
}

async function daemonsAt(path: string, procfs: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir(procfs)) {
    if (/^\d+$/.test(name) && (await isOf(Number(name), path, procfs))) found.push(Number(name));
  }
  return found;
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
