/**
 * The aggregator and the command line without the repository: bundled programs, the console's files, and the packages that bring
 * WebAssembly of their own. Input: the sources; output: a directory with `program/main.mjs` (the service), `program/cli/main.mjs`
 * (the `headroom` command), their threads, `console/`, `guide/`, `node_modules/` and `package.json`. Paths lie to one another as in the sources.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';
import protobuf from 'protobufjs';
import { HeadroomError } from '../../shared/errors.ts';
import { ROOT } from './release.ts';

/** They read WebAssembly beside their own files, or go to browsers as they are. */
const KEPT_AS_PACKAGES = ['@bsull/augurs', '@bsull/augurs-prophet-wasmstan', 'arima', 'openapi-fetch', 'uplot'];
const THREADS = {
  'fit-worker': 'aggregator/fit/fit-worker.ts',
  'ledger-worker': 'aggregator/store/sqlite/ledger-worker.ts',
  'series-worker': 'aggregator/store/sqlite/series-worker.ts',
};

/** Threads are started by the address of their file, which a bundler does not follow. */
const threadFiles: Plugin = {
  name: 'thread-files',
  setup({ onLoad }) {
    onLoad({ filter: /aggregator\/.*\.ts$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replaceAll(/new URL\('\.\/([\w-]+)\.ts', import\.meta\.url\)/g, (_, name: string) => {
        if (!Object.hasOwn(THREADS, name)) throw new HeadroomError('ENVIRONMENT', `${path} starts a thread "${name}" that is not packaged`);
        return `new URL('./${name}.mjs', import.meta.url)`;
      }),
      loader: 'ts',
    }));
  },
};

const PROTO_READ = /\(0, proto_loader_1\.loadSync\)\(`\$\{__dirname\}\/\.\.\/proto\/rpc\.proto`, /;

/** etcd's client reads the description of its protocol from a file beside its own; bundled, it holds it. */
const etcdProtocol: Plugin = {
  name: 'etcd-protocol',
  setup({ onLoad }) {
    onLoad({ filter: /etcd3\/lib\/connection-pool\.js$/ }, ({ path }) => {
      const source = readFileSync(path, 'utf8');
      if (!PROTO_READ.test(source))
        throw new HeadroomError('ENVIRONMENT', `${path} no longer reads its protocol as it did; see etcdProtocol`);
      const protocol = JSON.stringify(new protobuf.Root().loadSync(join(path, '../../proto/rpc.proto'), { keepCase: true }).toJSON());
      return { contents: source.replace(PROTO_READ, () => `(0, proto_loader_1.fromJSON)(${protocol}, `), loader: 'js' };
    });
  },
};

/** Bundles into `directory`, which is made anew. */
export async function packageAggregator(directory: string, version: string): Promise<{ inputs: number }> {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const { metafile } = await build({
    entryPoints: { main: 'aggregator/main.ts', 'cli/main': 'aggregator/cli/main.ts', ...THREADS },
    outdir: join(directory, 'program'),
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    minify: true,
    keepNames: true,
    legalComments: 'linked',
    plugins: [threadFiles, etcdProtocol],
    metafile: true,
    absWorkingDir: ROOT,
    logLevel: 'silent',
    // Beside optional native helpers whose JavaScript does the same.
    external: [...KEPT_AS_PACKAGES, ...KEPT_AS_PACKAGES.map((name) => `${name}/*`), 'bufferutil', 'utf-8-validate', 'msgpackr-extract'],
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
  });
  for (const name of KEPT_AS_PACKAGES) cpSync(join(ROOT, 'node_modules', name), join(directory, 'node_modules', name), { recursive: true });
  cpSync(join(ROOT, 'aggregator/console'), join(directory, 'console'), { recursive: true });
  cpSync(join(ROOT, 'docs/guide'), join(directory, 'guide'), { recursive: true });
  writeFileSync(join(directory, 'package.json'), `${JSON.stringify({ name: 'headroom', version, private: true, type: 'module' })}\n`);
  const inputs = Object.keys(metafile.inputs);
  if (!inputs.includes('aggregator/main.ts'))
    throw new HeadroomError('ENVIRONMENT', 'the bundle lists no aggregator/main.ts: nothing was looked at');
  return { inputs: inputs.length };
}
