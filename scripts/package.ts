/**
 * `npm run package -- agent`: makes dist/headroom-agent.mjs, one file with everything the agent needs but Node, and beside
 * it the launcher and the units. Input: the sources; output: files and their size. Fails when anything of the aggregator
 * (console, models, stores) got into it.
 */
import { chmodSync, copyFileSync, mkdirSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { HeadroomError } from '../shared/errors.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

export interface PackagedAgent {
  path: string;
  bytes: number;
  /** Source files in it, relative to the repository. */
  inputs: string[];
}

/** Rooms of the repository that have no business in an agent. */
const FOREIGN = /^(aggregator|simulation|demo|test)\//;

/**
 * Node's own modules are asked for when the code that needs them runs: an `import` would load all of them at the start, and
 * HTTP alone takes 12 MB that a guest agent on its channel never needs.
 */
const lazyBuiltins: Plugin = {
  name: 'lazy-builtins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path, namespace }) =>
      namespace === 'builtin' ? { path, external: true } : { path, namespace: 'builtin' },
    );
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = require(${JSON.stringify(path)});`,
      loader: 'js',
    }));
  },
};

/** Bundles the agent into `directory`. Throws ENVIRONMENT when a foreign file is in it. */
export async function packageAgent(directory: string): Promise<PackagedAgent> {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, 'headroom-agent.mjs');
  const result = await build({
    entryPoints: [join(root, 'agent/main.ts')],
    outfile: path,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'inline',
    plugins: [lazyBuiltins],
    metafile: true,
    absWorkingDir: root,
    logLevel: 'silent',
    // Optional native helpers of ws and msgpackr: the agent is one file, their JavaScript does the same.
    external: ['bufferutil', 'utf-8-validate', 'msgpackr-extract'],
    // CommonJS packages inside an ES module ask for `require`.
    banner: {
      js: "#!/usr/bin/env node\nimport { createRequire as headroomCreateRequire } from 'node:module';\nconst require = headroomCreateRequire(import.meta.url);",
    },
  });
  const inputs = Object.keys(result.metafile.inputs);
  const foreign = inputs.filter((input) => FOREIGN.test(input));
  if (foreign.length > 0) throw new HeadroomError('ENVIRONMENT', `the agent's file must not hold ${foreign.join(', ')}`);
  if (!inputs.includes('agent/main.ts')) throw new HeadroomError('ENVIRONMENT', 'the bundle lists no agent/main.ts: nothing was looked at');
  chmodSync(path, 0o755);
  return { path, bytes: statSync(path).size, inputs };
}

async function main(what: string | undefined): Promise<void> {
  if (what !== 'agent') throw new HeadroomError('USAGE', `what to package? "agent" is known, "${what ?? ''}" is not`);
  const directory = join(root, 'dist');
  const { path, bytes, inputs } = await packageAgent(directory);
  copyFileSync(join(root, 'agent/packaging/headroom-agent.sh'), join(directory, 'headroom-agent'));
  chmodSync(join(directory, 'headroom-agent'), 0o755);
  for (const unit of ['headroom-agent.service', 'headroom-guest-agent.service']) {
    copyFileSync(join(root, 'agent/packaging', unit), join(directory, unit));
  }
  console.log(`${relative(root, path)}: ${(bytes / 1024).toFixed(0)} KiB from ${inputs.length} files`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main(process.argv[2]).catch((error: unknown) => {
    console.error(`package: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  });
}
