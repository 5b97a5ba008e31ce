/**
 * What the guest agent shares with the guest's own programs, below one directory of its own: `resources.json`, which says what
 * the VM has and may expect, and `hints/`, where `headroom-agent hint` leaves what somebody expects to need. Both are replaced
 * as a whole: a reader never sees half of one.
 */
import { chownSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Hint, parseHint } from './core/hint.ts';

/** Gone with a reboot, as what stands there should be. */
export const GUEST_DIRECTORY = '/run/headroom';

export interface GuestFiles {
  writePool(pool: object): void;
  /** Hints left since the last call; each is given once. */
  takeHints(): Hint[];
}

/** Taken at once: a program that leaves hints in a loop waits for the next round. */
const HINTS_TAKEN_MAX = 16;
/** A hint is one short line. */
const HINT_BYTES_MAX = 256;

function replace(path: string, text: string, mode: number): void {
  const draft = `${path}.${process.pid}.new`;
  writeFileSync(draft, text, { mode });
  // A hint that root leaves is read by the agent, who owns the directory.
  const { uid, gid } = statSync(dirname(path));
  if (process.getuid?.() === 0 && uid !== 0) chownSync(draft, uid, gid);
  renameSync(draft, path);
}

export function openGuestFiles(directory: string): GuestFiles {
  const hints = join(directory, 'hints');
  return {
    writePool(pool) {
      mkdirSync(directory, { recursive: true, mode: 0o755 });
      // Any program of the guest may read what it has.
      replace(join(directory, 'resources.json'), `${JSON.stringify(pool, null, 2)}\n`, 0o644);
    },
    takeHints() {
      let names: string[];
      try {
        names = readdirSync(hints).filter((name) => name.endsWith('.hint'));
      } catch {
        // Nobody has left any yet.
        return [];
      }
      return names.slice(0, HINTS_TAKEN_MAX).flatMap((name) => {
        const path = join(hints, name);
        try {
          const text = readFileSync(path, 'utf8');
          rmSync(path, { force: true });
          return text.length > HINT_BYTES_MAX ? [] : [parseHint(text.trim().split(/\s+/))];
        } catch {
          rmSync(path, { force: true, recursive: true });
          return [];
        }
      });
    },
  };
}

/** For `headroom-agent hint`: checked here, taken by the running agent within a second. Throws USAGE. */
export function leaveHint(directory: string, words: readonly string[], name: string): Hint {
  const hint = parseHint(words);
  const hints = join(directory, 'hints');
  mkdirSync(hints, { recursive: true, mode: 0o700 });
  replace(join(hints, `${name}.hint`), words.join(' '), 0o600);
  return hint;
}
