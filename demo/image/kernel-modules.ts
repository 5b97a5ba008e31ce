/**
 * Which kernel modules a guest must load, and in what order. Input: a kernel's module directory and the modules wanted;
 * output: their uncompressed bytes, dependencies first. Modules that are built into the kernel need no loading. A kernel
 * package carries no modules.dep (it is made on installation), so dependencies are read from the modules themselves.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import { HeadroomError } from '../../shared/errors.ts';

export interface KernelModule {
  name: string;
  bytes: Buffer;
}

/** Kernels treat dash and underscore in module names alike. */
const moduleName = (file: string): string =>
  basename(file)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');

/** The names a module says it depends on: its .modinfo section holds NUL-separated `key=value` strings. */
export function dependenciesOf(bytes: Buffer): string[] {
  const start = bytes.indexOf('\0depends=');
  if (start < 0) return [];
  const from = start + '\0depends='.length;
  const list = bytes.toString('latin1', from, bytes.indexOf(0, from));
  return list === '' ? [] : list.split(',').map((name) => name.replaceAll('-', '_'));
}

/** Dependencies first, each once. `load` answers null for what is built in. */
export function loadOrder(wanted: readonly string[], load: (name: string) => Buffer | null): KernelModule[] {
  const order: KernelModule[] = [];
  const seen = new Set<string>();
  const visit = (name: string): void => {
    if (seen.has(name)) return;
    seen.add(name);
    const bytes = load(name);
    if (bytes === null) return;
    for (const dependency of dependenciesOf(bytes)) visit(dependency);
    order.push({ name, bytes });
  };
  for (const name of wanted) visit(name);
  return order;
}

/** Modules as packages carry them: plain (Debian 12), zstd (Ubuntu) or xz (Debian 13). */
function uncompressed(path: string): Buffer {
  if (path.endsWith('.zst')) return zstdDecompressSync(readFileSync(path));
  if (path.endsWith('.xz')) return execFileSync('xz', ['-dc', path], { maxBuffer: 1 << 28 });
  return readFileSync(path);
}

export function collectModules(modulesDirectory: string, wanted: readonly string[]): KernelModule[] {
  const files = new Map<string, string>();
  for (const file of readdirSync(modulesDirectory, { recursive: true, encoding: 'utf8' })) {
    if (/\.ko(\.zst|\.xz)?$/.test(file)) files.set(moduleName(file), join(modulesDirectory, file));
  }
  const builtIn = new Set(readFileSync(join(modulesDirectory, 'modules.builtin'), 'utf8').split('\n').filter(Boolean).map(moduleName));
  return loadOrder(wanted, (name) => {
    const path = files.get(name);
    if (path !== undefined) return uncompressed(path);
    if (builtIn.has(name)) return null;
    throw new HeadroomError('ENVIRONMENT', `the kernel in ${modulesDirectory} has no module ${name}; another kernel package is needed`);
  });
}
