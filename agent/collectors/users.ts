/**
 * Who works on this machine, and how long nobody has touched it: sessions by systemd-logind's files or by utmp, idle time by
 * the terminals (their access time is their last input, as `w` has it) and by keyboard interrupts. Output: Readings. A
 * server without sessions tells zero; a machine that keeps no account of them gives no data.
 */
import { type Collector, noData, reading } from './collector.ts';
import type { KernelFiles } from './files.ts';

/** utmp(5): records of 384 bytes on x86-64 and of 400 on arm64, `USER_PROCESS` and the terminal's name at the same places. */
const UTMP_BYTES = process.arch === 'arm64' ? 400 : 384;
const USER_PROCESS = 7;
const LINE_OFFSET = 8;
const LINE_BYTES = 32;

interface Session {
  /** Below /dev, null for graphical and remote sessions without one. */
  terminal: string | null;
}

export function createUsers(files: KernelFiles, wallMs: () => number): Collector {
  let keysBefore = Number.NaN;
  let keyedAtMs = Number.NaN;
  return {
    name: 'users',
    fields: ['vm_user.sessions', 'vm_user.idleSeconds'],
    required: ['vm_user.sessions'],
    update(nowMs) {
      const keys = keyInterrupts(files.read('proc/interrupts') ?? '');
      if (keys > keysBefore) keyedAtMs = nowMs;
      keysBefore = keys;
      const sessions = logindSessions(files) ?? utmpSessions(files);
      if (sessions === null) return noData('the machine keeps no account of sessions (no systemd-logind, no utmp)');
      const idle = sessions.map(({ terminal }) =>
        terminal === null ? Number.NaN : (wallMs() - (files.accessedMs(`dev/${terminal}`) ?? Number.NaN)) / 1000,
      );
      const known = [...idle, (nowMs - keyedAtMs) / 1000].filter((seconds) => !Number.isNaN(seconds));
      return reading({
        'vm_user.sessions': sessions.length,
        'vm_user.idleSeconds': known.length === 0 ? Number.NaN : Math.max(0, Math.min(...known)),
      });
    },
  };
}

/** /run/systemd/sessions/ID: `KEY=VALUE` lines; people's sessions are of class `user`. */
function logindSessions(files: KernelFiles): Session[] | null {
  const names = files.list('run/systemd/sessions');
  if (names === null) return null;
  return names.flatMap((name) => {
    const text = name.endsWith('.ref') ? '' : (files.readBytes(`run/systemd/sessions/${name}`)?.toString('latin1') ?? '');
    const value = (key: string): string | undefined => new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1];
    if (value('CLASS') !== 'user' || value('STATE') === 'closing') return [];
    return [{ terminal: safeTerminal(value('TTY') ?? '') }];
  });
}

function utmpSessions(files: KernelFiles): Session[] | null {
  const bytes = files.readBytes('run/utmp') ?? files.readBytes('var/run/utmp');
  if (bytes === null) return null;
  const sessions: Session[] = [];
  for (let at = 0; at + UTMP_BYTES <= bytes.length; at += UTMP_BYTES) {
    if (bytes.readInt16LE(at) !== USER_PROCESS) continue;
    const line = bytes.toString('latin1', at + LINE_OFFSET, at + LINE_OFFSET + LINE_BYTES);
    sessions.push({ terminal: safeTerminal(line.split('\0')[0] ?? '') });
  }
  return sessions;
}

/** `tty1`, `pts/0`; nothing that leads out of /dev. */
const safeTerminal = (name: string): string | null => (/^[a-z]+\/?[a-zA-Z0-9]*$/.test(name) ? name : null);

/** Interrupts of keyboard and mouse, where they have lines of their own (PS/2 and its emulation, virtio-input). */
function keyInterrupts(text: string): number {
  let sum = Number.NaN;
  for (const line of text.split('\n')) {
    if (!/\b(i8042|virtio\d+-events)\b/.test(line)) continue;
    const counts = line
      .slice(line.indexOf(':') + 1)
      .trim()
      .split(/\s+/);
    for (const count of counts) {
      if (!/^\d+$/.test(count)) break;
      sum = (Number.isNaN(sum) ? 0 : sum) + Number(count);
    }
  }
  return sum;
}
