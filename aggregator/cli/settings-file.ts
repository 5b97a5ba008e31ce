/**
 * The command line's own file, by the XDG base directories: `$XDG_CONFIG_HOME/headroom/config.yaml`, else below `~/.config`. It may hold
 * tokens, so it is written for its owner alone, whole or not at all, and not read when others could have read or changed it.
 */
import { mkdir, open, readFile, rename, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { errorText, HeadroomError } from '../../shared/errors.ts';

export interface SettingsFile {
  readonly path: string;
  /** Null: there is none. Rejects with PERMISSION when it is open to others, USAGE when it cannot be read. */
  read(): Promise<string | null>;
  /** Rejects with USAGE when it cannot be written. */
  write(text: string): Promise<void>;
}

const OTHERS = 0o077;

export function settingsFile(env: Readonly<Record<string, string | undefined>>): SettingsFile {
  // The specification: a relative path is to be ignored.
  const base = env.XDG_CONFIG_HOME !== undefined && isAbsolute(env.XDG_CONFIG_HOME) ? env.XDG_CONFIG_HOME : join(homedir(), '.config');
  const path = join(base, 'headroom', 'config.yaml');
  return {
    path,
    async read() {
      try {
        const { mode, uid } = await stat(path);
        if ((mode & OTHERS) !== 0)
          throw new HeadroomError('PERMISSION', `${path} may hold tokens and is open to others; chmod 600 ${path}`);
        if (uid !== process.getuid?.()) throw new HeadroomError('PERMISSION', `${path} belongs to somebody else; it is not used`);
        return await readFile(path, 'utf8');
      } catch (error) {
        if ((error as { code?: string }).code === 'ENOENT') return null;
        throw error instanceof HeadroomError ? error : cannot('read', path, error);
      }
    },
    async write(text) {
      const fresh = `${path}.${process.pid}`;
      try {
        await mkdir(dirname(path), { recursive: true, mode: 0o700 });
        const file = await open(fresh, 'w', 0o600);
        try {
          await file.writeFile(text);
          await file.sync();
        } finally {
          await file.close();
        }
        await rename(fresh, path);
      } catch (error) {
        throw cannot('written', path, error);
      }
    },
  };
}

function cannot(what: string, path: string, error: unknown): HeadroomError {
  return new HeadroomError('USAGE', `${path} cannot be ${what}: ${errorText(error)}`, { cause: error });
}
