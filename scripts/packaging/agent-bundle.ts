/**
 * The agent as one file: everything it needs but Node, and for hosts that keep snapshots a native package beside it. Input: the
 * sources; output: headroom-agent.mjs and what is in it. Fails when anything of the aggregator (console, models, stores) got into it.
 * Beside it headroom-slice.mjs, a program of its own.
 */
import { chmodSync, cpSync, globSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync } from 'node:zlib';
import { type BuildResult, build, type Plugin } from 'esbuild';
import { HeadroomError } from '../../shared/errors.ts';
import { leanFrames } from './lean-guest.ts';
import { ROOT } from './release.ts';

export interface PackagedAgent {
  path: string;
  bytes: number;
  /** Source files in it, relative to the repository. */
  inputs: string[];
  /** Those of them that a plain guest agent loads. */
  leanInputs: string[];
}

/** Rooms of the repository that have no business in an agent. */
const FOREIGN = /^(aggregator|simulation|demo|test)\//;

/** Throws ENVIRONMENT when something of another room is among a program's files. */
function mustBeAgents(inputs: readonly string[], entry: string): void {
  const foreign = inputs.filter((input) => FOREIGN.test(input));
  if (foreign.length > 0) throw new HeadroomError('ENVIRONMENT', `an agent's file must not hold ${foreign.join(', ')}`);
  if (!inputs.includes(entry)) throw new HeadroomError('ENVIRONMENT', `the bundle lists no ${entry}: nothing was looked at`);
}

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

/** Begin of the comment at the end of the file that holds all programs but the lean guest's. */
const PACKED_MARK = '/*headroom-programs ';

/**
 * In the lean guest's program, in the place of agent/programs.ts: reads its own file and takes the other programs out of the
 * comment at its end. They are text that the guest never has to understand, and that takes a fifth of its size there.
 */
const packedPrograms: Plugin = {
  name: 'packed-programs',
  setup({ onLoad }) {
    onLoad({ filter: /agent\/programs\.ts$/ }, () => ({
      contents: `
        const text = require('node:fs').readFileSync(import.meta.filename, 'latin1');
        const from = text.lastIndexOf(${JSON.stringify(PACKED_MARK)}) + ${PACKED_MARK.length};
        const code = require('node:zlib').brotliDecompressSync(Buffer.from(text.slice(from, text.lastIndexOf('*/')), 'base64')).toString('utf8');
        const module = { exports: {} };
        const evaluate = require('node:vm').compileFunction(code, ['module', 'exports', 'require'], { filename: 'headroom-agent-programs.cjs' });
        evaluate(module, module.exports, require('node:module').createRequire(import.meta.url));
        export const { run } = module.exports;`,
      loader: 'js',
    }));
  },
};

/** The version a release has is what its agent tells, whatever the sources say. */
function versioned(version: string): Plugin {
  return {
    name: 'version',
    setup({ onLoad }) {
      onLoad({ filter: /agent\/version\.ts$/ }, () => ({ contents: `export const VERSION = ${JSON.stringify(version)};`, loader: 'js' }));
    },
  };
}

function bundle(entry: string, format: 'esm' | 'cjs', plugins: Plugin[]): Promise<BuildResult<{ metafile: true; write: false }>> {
  return build({
    entryPoints: [join(ROOT, entry)],
    write: false,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format,
    minify: true,
    legalComments: 'inline',
    plugins: [lazyBuiltins, ...plugins],
    metafile: true,
    absWorkingDir: ROOT,
    logLevel: 'silent',
    // Optional native helpers of ws and msgpackr: the agent is one file, their JavaScript does the same.
    external: ['bufferutil', 'utf-8-validate', 'msgpackr-extract', NATIVE_PACKAGE],
    banner: format === 'esm' ? { js: MODULE_BANNER } : {},
  });
}

/** Digests of snapshots. Machine code: a host agent that keeps snapshots looks for it beside its file, others never do. */
const NATIVE_PACKAGE = '@napi-rs/blake-hash';

/** Puts what the file of a host's agent may look for beside it. */
export function addNativePackages(directory: string): void {
  for (const name of globSync(`${NATIVE_PACKAGE}*`, { cwd: join(ROOT, 'node_modules') })) {
    cpSync(join(ROOT, 'node_modules', name), join(directory, 'node_modules', name), { recursive: true });
  }
}

/** CommonJS packages inside an ES module ask for `require`; the lean program has only Node's own modules to ask for. */
const MODULE_BANNER = '#!/usr/bin/env node\nconst require = (id) => process.getBuiltinModule(id);';

/** Bundles the agent into `directory`; `version` null = the sources'. Throws ENVIRONMENT when a foreign file is in it. */
export async function packageAgent(directory: string, version: string | null = null): Promise<PackagedAgent> {
  const release = version === null ? [] : [versioned(version)];
  mkdirSync(directory, { recursive: true });
  const path = join(directory, 'headroom-agent.mjs');
  const [lean, programs] = await Promise.all([
    bundle('agent/main.ts', 'esm', [leanFrames, packedPrograms, ...release]),
    bundle('agent/programs.ts', 'cjs', release),
  ]);
  const packed = brotliCompressSync(programs.outputFiles[0]!.text).toString('base64');
  writeFileSync(path, `${lean.outputFiles[0]!.text}\n${PACKED_MARK}${packed}*/\n`);
  const leanInputs = Object.keys(lean.metafile.inputs);
  const inputs = [...new Set([...leanInputs, ...Object.keys(programs.metafile.inputs)])];
  mustBeAgents(inputs, 'agent/main.ts');
  chmodSync(path, 0o755);
  return { path, bytes: statSync(path).size, inputs, leanInputs };
}

/** Bundles the program that lends and borrows memory into `directory`: one file, too. Answers where it is. */
export async function packageSlice(directory: string, version: string | null = null): Promise<string> {
  const entry = 'agent/slice/main.ts';
  mkdirSync(directory, { recursive: true });
  const path = join(directory, 'headroom-slice.mjs');
  const { outputFiles, metafile } = await bundle(entry, 'esm', version === null ? [] : [versioned(version)]);
  mustBeAgents(Object.keys(metafile.inputs), entry);
  writeFileSync(path, outputFiles[0]!.text, { mode: 0o755 });
  return path;
}
