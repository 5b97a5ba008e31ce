/**
 * `npm run package`: packages for Debian and Ubuntu (.deb) and archives for other systems in dist/; `npm run package -- agent`: the
 * one-file agent alone, dist/headroom-agent.mjs, with its launcher and units. Input: the sources; output: files and their size.
 */
import { chmodSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { errorText, HeadroomError } from '../shared/errors.ts';
import { buildPackages, layOutAgent } from './packaging/packages.ts';
import { ROOT, sourceVersion } from './packaging/release.ts';

const mib = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;

async function main(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { version: { type: 'string', default: sourceVersion() }, output: { type: 'string', default: join(ROOT, 'dist') } },
  });
  const [what = 'debs'] = positionals;
  if (what === 'agent') {
    const { path, bytes, inputs } = await layOutAgent(values.output);
    chmodSync(join(values.output, 'headroom-agent'), 0o755);
    console.log(`${relative(ROOT, path)}: ${(bytes / 1024).toFixed(0)} KiB from ${inputs.length} files`);
    return;
  }
  if (what !== 'debs') throw new HeadroomError('USAGE', `what to package? "agent" and "debs" (the default) are known, "${what}" is not`);
  if (!/^\d[\w.+~-]*$/.test(values.version)) throw new HeadroomError('USAGE', `--version ${values.version}: it must begin with a digit`);
  for (const { deb, debBytes, archive, installedBytes } of await buildPackages(values.output, values.version)) {
    console.log(
      `${relative(ROOT, deb)}: ${mib(debBytes)}, ${mib(installedBytes)} installed${archive === null ? '' : `; ${relative(ROOT, archive)}`}`,
    );
  }
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(`package: ${errorText(error)}`);
  process.exitCode = 1;
});
