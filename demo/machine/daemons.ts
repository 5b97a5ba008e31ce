/**
 * libvirt's daemons: finds out whether one answers, starts libvirtd and virtlogd if none does, and stops at the end exactly
 * those it started. Effects: processes; with systemd, its units.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { HeadroomError } from '../../shared/errors.ts';
import { runChecked, runCommand } from './run-command.ts';
import { tryVirsh } from './virsh.ts';

/** libvirtd's socket, and that of the QEMU daemon where libvirt runs as several (RHEL 9 and later). */
const SOCKETS = ['/run/libvirt/libvirt-sock', '/run/libvirt/virtqemud-sock'];
const PID_FILES = { libvirtd: '/run/libvirtd.pid', virtlogd: '/run/virtlogd.pid' } as const;
type Daemon = keyof typeof PID_FILES;

/** libvirtd answers within a second or two of its start; a loaded machine gets time. */
const ANSWER_MS = 30_000;
const STOP_MS = 15_000;
const POLL_MS = 200;

export interface StartedDaemons {
  /** What was started, for people; empty = libvirt was there. */
  started: string[];
  stop(): Promise<void>;
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, POLL_MS));

function listens(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    if (!existsSync(socket)) return resolve(false);
    const connection = createConnection(socket);
    connection.on('connect', () => {
      connection.destroy();
      resolve(true);
    });
    connection.on('error', () => resolve(false));
  });
}

export async function libvirtAnswers(): Promise<boolean> {
  for (const socket of SOCKETS) if (await listens(socket)) return true;
  return false;
}

function processIdOf(daemon: Daemon): number | null {
  try {
    const id = Number(readFileSync(PID_FILES[daemon], 'utf8').trim());
    return id > 0 && readFileSync(`/proc/${id}/comm`, 'utf8').trim() === daemon ? id : null;
  } catch {
    return null;
  }
}

async function stopDaemon(daemon: Daemon, id: number): Promise<void> {
  const alive = (): boolean => processIdOf(daemon) === id || existsSync(`/proc/${id}`);
  try {
    process.kill(id, 'SIGTERM');
  } catch {
    return;
  }
  for (const untilMs = Date.now() + STOP_MS; alive() && Date.now() < untilMs; ) await pause();
  if (alive()) process.kill(id, 'SIGKILL');
}

async function waitForAnswer(): Promise<void> {
  for (const untilMs = Date.now() + ANSWER_MS; Date.now() < untilMs; ) {
    if ((await libvirtAnswers()) && (await tryVirsh('version')).status === 0) return;
    await pause();
  }
  throw new HeadroomError('ENVIRONMENT', 'libvirtd was started but does not answer; see /var/log/libvirt or run "libvirtd" by hand');
}

async function startWithSystemd(): Promise<StartedDaemons> {
  await runChecked('systemctl', ['start', 'libvirtd.service']);
  await waitForAnswer();
  return {
    started: ['libvirtd.service'],
    stop: async () => {
      await runCommand('systemctl', ['stop', 'libvirtd.service', 'libvirtd.socket', 'libvirtd-ro.socket', 'libvirtd-admin.socket']);
    },
  };
}

async function startByHand(): Promise<StartedDaemons> {
  const startedIds: [Daemon, number][] = [];
  for (const daemon of ['virtlogd', 'libvirtd'] as const) {
    if (processIdOf(daemon) !== null) continue;
    await runChecked(daemon, ['-d']);
    for (const untilMs = Date.now() + ANSWER_MS; processIdOf(daemon) === null && Date.now() < untilMs; ) await pause();
    const id = processIdOf(daemon);
    if (id === null) throw new HeadroomError('ENVIRONMENT', `${daemon} did not start; run "${daemon}" by hand to see why`);
    startedIds.push([daemon, id]);
  }
  await waitForAnswer();
  return {
    started: startedIds.map(([daemon]) => daemon),
    stop: async () => {
      for (const [daemon, id] of startedIds.toReversed()) await stopDaemon(daemon, id);
    },
  };
}

export async function ensureLibvirt(): Promise<StartedDaemons> {
  if (await libvirtAnswers()) {
    await waitForAnswer();
    return { started: [], stop: async () => {} };
  }
  return existsSync('/run/systemd/system') ? startWithSystemd() : startByHand();
}
