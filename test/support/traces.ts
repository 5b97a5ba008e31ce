/** Where tests find traces of real VMs: HEADROOM_TRACES, or the three that come with the repository. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const BUNDLED_TRACES = fileURLToPath(new URL('../fixtures/traces', import.meta.url));

/** A directory without trace files is a mistake of whoever named it. */
export function tracesDirectory(): string {
  const directory = process.env.HEADROOM_TRACES ?? BUNDLED_TRACES;
  if (!readdirSync(directory).some((file) => /\.csv(\.gz)?$/.test(file))) throw new Error(`${directory} holds no trace (HEADROOM_TRACES)`);
  return directory;
}

export const bundledTrace = (vm: string): string => join(BUNDLED_TRACES, `${vm}.csv.gz`);
