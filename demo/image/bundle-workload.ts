/** The workload as one file for the guest. Output: the bundle's source text. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const entry = join(dirname(fileURLToPath(import.meta.url)), '../workload/main.ts');

export async function bundleWorkload(): Promise<Uint8Array> {
  const built = await build({
    entryPoints: [entry],
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    minify: false,
    write: false,
  });
  const [file] = built.outputFiles;
  if (!file) throw new Error('esbuild made no file');
  return file.contents;
}
