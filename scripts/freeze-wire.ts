/**
 * `sh scripts/run.sh scripts/freeze-wire.ts`: keeps the wire as it is now, before its next version: both ends of it as one bundled
 * module, and the schemas of its frames as JSON. Input: the sources; output: test/fixtures/wire/vN, which nobody edits. Run it on the
 * last commit that speaks version N as its newest; tests then let these ends meet those of later versions.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { FRAMES } from '../shared/protocol/frames.ts';
import { PROTOCOL_VERSIONS } from '../shared/protocol/versions.ts';

const ROOT = join(import.meta.dirname, '..');

/** What a test needs to be either end. */
const ENDS = `
  export { Addresses } from './agent/core/addresses.ts';
  export { HOST_BUFFER_LIMITS, SampleBuffer } from './agent/core/sample-buffer.ts';
  export { createUplink } from './agent/loops/uplink.ts';
  export { createIngest } from './aggregator/ingest/ingest.ts';
  export { serveAgents } from './aggregator/ingest/serve-agents.ts';
  export { systemClock } from './shared/clock.ts';
  export { webSocketConnect } from './shared/net/websocket.ts';
  export { createPrng } from './shared/prng.ts';
`;

const { outputFiles } = await build({
  stdin: { contents: ENDS, resolveDir: ROOT, loader: 'ts' },
  ...{ write: false, bundle: true, platform: 'node', target: 'node24', format: 'esm', minify: true, legalComments: 'inline' },
  absWorkingDir: ROOT,
  external: ['bufferutil', 'utf-8-validate', 'msgpackr-extract'],
  // CommonJS packages inside an ES module ask for Node's own modules.
  banner: { js: 'const require = (id) => process.getBuiltinModule(id);' },
});
const folder = join(ROOT, 'test/fixtures/wire', `v${PROTOCOL_VERSIONS[0]}`);
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, 'ends.mjs.gz'), gzipSync(outputFiles[0]!.text, { level: 9 }));
writeFileSync(join(folder, 'frames.json'), `${JSON.stringify(FRAMES, null, 1)}\n`);
console.log(`version ${PROTOCOL_VERSIONS[0]} is kept in ${folder}`);
