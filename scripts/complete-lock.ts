/**
 * Completes package-lock.json after `npm install`: a registry mirror may not carry the prebuilt packages of other
 * platforms, npm then writes no entry for them, and `npm ci` refuses the lockfile as out of sync. For every optional
 * dependency without an entry this adds one that no supported platform (Linux, glibc) selects, so it is never fetched.
 * Input and output: package-lock.json in the working directory. Run it after each change of dependencies.
 */
import { readFileSync, writeFileSync } from 'node:fs';

interface LockEntry {
  version?: string;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  optionalDependencies?: Record<string, string>;
}

const path = 'package-lock.json';
const lock = JSON.parse(readFileSync(path, 'utf8')) as { packages: Record<string, LockEntry> };
let added = 0;
for (const entry of Object.values(lock.packages)) {
  for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (lock.packages[key]) continue;
    lock.packages[key] = { version: range.replace(/^[^\d]*/, ''), optional: true, os: ['none'], cpu: ['none'] };
    added++;
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`package-lock.json: ${added} entries for other platforms added`);
