/**
 * The console's files, read once at start and served from memory by exact name: no path of a request ever reaches the file
 * system. TypeScript modules are served as JavaScript by stripping their types, so a fresh clone needs no build. Input: the
 * console's directory; output: URL path → bytes, type and entity tag.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire, stripTypeScriptTypes } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Asset {
  bytes: Buffer;
  contentType: string;
  etag: string;
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.ts': 'text/javascript; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

const CONSOLE_DIR = join(dirname(fileURLToPath(import.meta.url)), '../console');

function asset(bytes: Buffer, extension: string): Asset | null {
  const contentType = TYPES[extension];
  if (contentType === undefined) return null;
  return { bytes, contentType, etag: `"${createHash('sha256').update(bytes).digest('hex').slice(0, 32)}"` };
}

export function loadAssets(directory: string = CONSOLE_DIR): ReadonlyMap<string, Asset> {
  const assets = new Map<string, Asset>();
  const add = (path: string, bytes: Buffer, extension: string): void => {
    const made = asset(bytes, extension);
    if (made) assets.set(path, made);
  };
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const extension = extname(file);
    const source = readFileSync(file);
    const bytes = extension === '.ts' ? Buffer.from(stripTypeScriptTypes(source.toString('utf8'))) : source;
    add(`/console/${file.slice(directory.length + 1)}`, bytes, extension);
  }
  const uplot = dirname(createRequire(import.meta.url).resolve('uplot/package.json'));
  add('/console/vendor/uplot.js', readFileSync(join(uplot, 'dist/uPlot.esm.js')), '.js');
  add('/console/vendor/uplot.css', readFileSync(join(uplot, 'dist/uPlot.min.css')), '.css');
  const client = dirname(createRequire(import.meta.url).resolve('openapi-fetch/package.json'));
  add('/console/vendor/openapi-fetch.js', readFileSync(join(client, 'dist/index.mjs')), '.js');
  const index = assets.get('/console/index.html');
  if (index) assets.set('/', index);
  return assets;
}
