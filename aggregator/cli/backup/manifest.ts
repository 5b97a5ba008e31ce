/**
 * What a backup says about itself: `manifest.json` beside its files. Input: a backup's directory; output: its manifest, once every byte
 * of it and of each file is what it was when the backup was made. Throws BACKUP_DAMAGED or BACKUP_UNKNOWN naming the file.
 */
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { pipeline } from 'node:stream/promises';
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { canonicalJson } from '../../../shared/canonical-json.ts';
import { errorText, HeadroomError } from '../../../shared/errors.ts';

/** Raised with every change that older programs would restore wrongly. */
export const BACKUP_FORMAT = 1;
export const MANIFEST_FILE = 'manifest.json';
/** The data directory's files, below this folder of the backup. */
export const DATA_FOLDER = 'data';
/** What several aggregators share, a key a line. */
export const SHARED_FILE = 'shared.jsonl';

const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' });
const Manifest = Type.Object({
  format: Type.Literal(BACKUP_FORMAT),
  /** Tells this backup from all others. */
  id: Type.String({ minLength: 1, maxLength: 64 }),
  madeAtMs: count,
  /** Of the program that made it. */
  version: Type.String({ maxLength: 64 }),
  files: Type.Array(Type.Object({ path: Type.String({ minLength: 1 }), bytes: count, sha256 })),
  ledger: Type.Object({ entries: count, head: Type.String() }),
  /** Null: one aggregator alone. */
  shared: Type.Union([
    Type.Null(),
    Type.Object({
      keys: count,
      /** Above all epochs that were given by then. */
      epochsBelow: count,
    }),
  ]),
});
export type Manifest = Static<typeof Manifest>;
export type BackupFile = Manifest['files'][number];
const CHECK = Compile(Manifest);

const digestOf = (manifest: Manifest): string => createHash('sha256').update(canonicalJson(manifest)).digest('hex');

export function manifestText(manifest: Manifest): string {
  return `${JSON.stringify({ manifest, sha256: digestOf(manifest) }, null, 1)}\n`;
}

const damaged = (what: string, cause?: unknown): HeadroomError =>
  new HeadroomError('BACKUP_DAMAGED', `${what}; nothing was restored: take another backup`, { cause });

/** Throws NOT_FOUND, BACKUP_DAMAGED, BACKUP_UNKNOWN. */
function readManifest(directory: string): Manifest {
  const path = join(directory, MANIFEST_FILE);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new HeadroomError('NOT_FOUND', `${path} cannot be read (${errorText(error)}): name the directory that "headroom backup" made`, {
      cause: error,
    });
  }
  let read: { manifest?: { format?: unknown }; sha256?: unknown };
  try {
    read = JSON.parse(text) as typeof read;
  } catch (error) {
    throw damaged(`${path} is no JSON any more`, error);
  }
  const format = read.manifest?.format;
  if (typeof format === 'number' && format !== BACKUP_FORMAT)
    throw new HeadroomError(
      'BACKUP_UNKNOWN',
      `${path}: a backup of format ${format}, this program restores format ${BACKUP_FORMAT}; restore it with the release that made it, or a newer one`,
    );
  if (!CHECK.Check(read.manifest) || digestOf(read.manifest) !== read.sha256) throw damaged(`${path} was changed since it was written`);
  return read.manifest;
}

/** Reads the manifest and every file once. */
export async function checkedBackup(directory: string): Promise<Manifest> {
  const manifest = readManifest(directory);
  for (const { path, bytes, sha256: known } of manifest.files) {
    if (normalize(path) !== path || path.startsWith('..') || path.startsWith('/')) throw damaged(`"${path}" leaves the backup`);
    let found: { bytes: number; sha256: string };
    try {
      found = await digestOfFile(join(directory, path));
    } catch (error) {
      throw damaged(`${path} of the backup cannot be read: ${errorText(error)}`, error);
    }
    if (found.bytes !== bytes || found.sha256 !== known)
      throw damaged(`${path} of the backup was changed since it was made (${found.bytes} of ${bytes} bytes, another SHA-256)`);
  }
  return manifest;
}

export async function digestOfFile(path: string): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  const stream = createReadStream(path);
  await pipeline(stream, hash);
  return { bytes: stream.bytesRead, sha256: hash.digest('hex') };
}
