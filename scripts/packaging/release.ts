/** What every package is made of: the repository's root, its version, the pinned Node of this machine's architecture. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HeadroomError } from '../../shared/errors.ts';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');

export function sourceVersion(): string {
  return (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version;
}

/** Debian's name of this machine's architecture, and its Node. */
export function pinnedNode(): { architecture: 'amd64' | 'arm64'; path: string } {
  const architecture = ({ x64: 'amd64', arm64: 'arm64' } as const)[process.arch as string];
  const path = join(ROOT, `node_modules/node-linux-${process.arch}/bin/node`);
  if (architecture === undefined || !existsSync(path)) {
    throw new HeadroomError('ENVIRONMENT', `no pinned Node for ${process.arch} at ${path}; run \`npm ci\` on Linux, x86-64 or arm64`);
  }
  return { architecture, path };
}
