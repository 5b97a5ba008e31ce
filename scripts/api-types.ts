/**
 * Writes the types of the HTTP API from its own OpenAPI document. Input: the routes; output: aggregator/client/api-types.ts, which
 * command line and console are compiled against. Run it after a change of a route or schema: a stale file fails `npm run check`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { apiDocument } from '../aggregator/http/api-document.ts';

const file = join(dirname(fileURLToPath(import.meta.url)), '../aggregator/client/api-types.ts');
const HEADER = `/**
 * The HTTP API's types. Made by scripts/api-types.ts from the OpenAPI document: change the routes' schemas, not this file.
 */
`;

/** The generator prints by the compiler's JavaScript API, which TypeScript 7 no longer has. */
registerHooks({ resolve: (name, context, next) => next(name === 'typescript' ? 'typescript-5' : name, context) });
const { default: openapiTs, astToString } = await import('openapi-typescript');

const document = await apiDocument('0.0.0');
const types = astToString(await openapiTs(document as unknown as Parameters<typeof openapiTs>[0], { alphabetize: true }));
/** Tables of the generator that this API has nothing for. */
const NOTHING = /^export type (webhooks|\$defs) = .*\n/gm;
const text = HEADER + types.replaceAll(NOTHING, '');
const paths = Object.keys(document.paths ?? {}).length;

if (process.argv.includes('--check')) {
  const fresh = readFileSync(file, 'utf8') === text;
  if (!fresh) console.log(`${file} is stale: run sh scripts/run.sh scripts/api-types.ts`);
  console.log(`${paths} paths`);
  process.exitCode = fresh && paths > 0 ? 0 : 1;
} else {
  writeFileSync(file, text);
  console.log(`${paths} paths written to ${file}`);
}
