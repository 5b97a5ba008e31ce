/**
 * What stands in the lean guest's program for the frames' schemas: checks generated from them, for the few frames a guest
 * receives or sends, and their constants. Input: the schemas; output: the text of ES modules, and an esbuild plugin that
 * puts them in place. The generator is the schema library's own; where a frame breaks its rule only the library could tell.
 */
import type { Plugin } from 'esbuild';
import { Code } from 'typebox/compile';
import { HeadroomError } from '../../shared/errors.ts';
import * as frames from '../../shared/protocol/frames.ts';
import { receivable } from '../../shared/protocol/validate.ts';

/** Sent without a check: a guest makes them itself, once a second. */
const UNCHECKED: readonly string[] = ['hello', 'telemetry'];

/** A module that exports `checkOf`, as shared/protocol/frame-checks.ts does. */
export function generatedChecks(): string {
  const sent = receivable('host-agent-from-guest').filter((type) => !UNCHECKED.includes(type));
  const types = [...new Set([...receivable('guest-agent'), ...sent])];
  const parts = types.map((type, index) => {
    const { Code: code, External: external } = Code(frames.FRAMES[type]);
    const body = code.replace(/^import .*$/gm, '').replace(/^export /gm, '');
    if (/\b(Hashing|CheckContext)\b/.test(body)) {
      throw new HeadroomError('ENVIRONMENT', `the check of "${type}" needs more of the schema library than is packaged`);
    }
    return `const check${index} = (() => {${body}\nSetExternal({ variables: [${external.variables.map(literal).join(', ')}] });\nreturn Check;\n})();`;
  });
  return [
    `import { Guard } from 'typebox/guard';`,
    ...parts,
    `const CHECKS = { ${types.map((type, index) => `${JSON.stringify(type)}: { holds: check${index}, firstError: () => undefined }`).join(', ')} };`,
    'export const checkOf = (type) => (Object.hasOwn(CHECKS, type) ? CHECKS[type] : undefined);',
  ].join('\n');
}

function literal(value: unknown): string {
  if (value instanceof RegExp) return String(value);
  throw new HeadroomError(
    'ENVIRONMENT',
    `the checks of frames refer to ${String(value)}, which is no pattern: it cannot be written as text`,
  );
}

/** The constants of shared/protocol/frames.ts, without its schemas. */
function constants(): string {
  return Object.entries(frames)
    .filter(([, value]) => typeof value === 'number' || typeof value === 'string')
    .map(([name, value]) => `export const ${name} = ${JSON.stringify(value)};`)
    .join('\n');
}

export const leanFrames: Plugin = {
  name: 'lean-frames',
  setup({ onLoad }) {
    onLoad({ filter: /shared\/protocol\/frames\.ts$/ }, () => ({ contents: constants(), loader: 'js' }));
    onLoad({ filter: /shared\/protocol\/frame-checks\.ts$/ }, ({ path }) => ({
      contents: generatedChecks(),
      loader: 'js',
      resolveDir: path.slice(0, path.lastIndexOf('/')),
    }));
  },
};
