/**
 * Both ends of the wire as an earlier version had them: not made to look old, but the program of that time (see
 * scripts/freeze-wire.ts), and the schemas it checked frames by. Input: the version; output: its ends, and a check of single frames.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Compile } from 'typebox/compile';
import type { Frame } from '../../shared/protocol/frames.ts';

const FOLDER = join(import.meta.dirname, '../fixtures/wire');

/** What the frozen module offers has today's shapes wherever both versions agree; where they do not, the tests tell. */
export type WireEnds = typeof import('../../agent/core/sample-buffer.ts') &
  typeof import('../../agent/loops/uplink.ts') &
  typeof import('../../aggregator/ingest/ingest.ts') &
  typeof import('../../aggregator/ingest/serve-agents.ts');

export async function frozenEnds(version: number): Promise<WireEnds> {
  const folder = mkdtempSync(join(tmpdir(), 'headroom-frozen-wire-'));
  try {
    const file = join(folder, `wire-v${version}.mjs`);
    writeFileSync(file, gunzipSync(readFileSync(join(FOLDER, `v${version}`, 'ends.mjs.gz'))));
    return (await import(file)) as WireEnds;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What is wrong with a frame by that version's own schemas; null = nothing. */
export function frozenCheck(version: number): (frame: Frame) => string | null {
  const schemas = JSON.parse(readFileSync(join(FOLDER, `v${version}`, 'frames.json'), 'utf8')) as Record<string, object>;
  const checks = new Map(Object.entries(schemas).map(([type, schema]) => [type, Compile(schema)]));
  return (frame) => {
    const check = checks.get(frame.type);
    if (check === undefined) return `version ${version} has no frame "${frame.type}"`;
    const error = check.Check(frame) ? undefined : check.Errors(frame)[0];
    return error === undefined ? null : `${frame.type}${error.instancePath}: ${error.message}`;
  };
}
