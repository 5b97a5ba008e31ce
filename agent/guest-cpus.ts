/**
 * The guest's vCPUs, and which of them were online before the first was taken down. Input: how many are to be online; output:
 * how many are. What was there before is noted on a file system that a reboot empties, as a reboot brings all vCPUs back; a
 * number above it means all of it, so that a CPU which somebody in the guest took down himself stays down.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mayTakeCpusOffline, onlineCpus, setCpusOnline } from './actuators/cpus-online.ts';

export interface GuestCpus {
  /** Some are offline because of us. */
  readonly held: boolean;
  /** Answers how many are online; throws when the kernel refuses, or when what was there cannot be noted. */
  set(vcpus: number): number;
  /** Brings back all that were online at first; throws when the kernel refuses: then it is still owed. */
  restore(): number;
}

/** Null: this process may take none down. `directory` is emptied by a reboot. */
export function openGuestCpus(root: string, directory: string): GuestCpus | null {
  const path = join(directory, 'cpus-online.json');
  const noted = readNote(path);
  if (noted === null && !mayTakeCpusOffline(root)) return null;
  let original = noted;

  const restore = (): number => {
    if (original === null) return onlineCpus(root).length;
    const online = setCpusOnline(root, original.length, original);
    rmSync(path, { force: true });
    original = null;
    return online;
  };

  return {
    get held() {
      return original !== null;
    },
    set(vcpus) {
      const all = original ?? onlineCpus(root);
      if (vcpus >= all.length) return restore();
      if (original === null) {
        mkdirSync(directory, { recursive: true, mode: 0o755 });
        writeFileSync(path, JSON.stringify(all), { mode: 0o600 });
        original = all;
      }
      return setCpusOnline(root, vcpus, all);
    },
    restore,
  };
}

function readNote(path: string): number[] | null {
  try {
    const noted: unknown = JSON.parse(readFileSync(path, 'utf8'));
    const sound = Array.isArray(noted) && noted.length > 0 && noted.every((cpu) => Number.isInteger(cpu) && cpu >= 0);
    return sound ? (noted as number[]) : null;
  } catch {
    return null;
  }
}
