/**
 * Whether files that a VM would be made from stay where this host's administrator keeps such files: links are followed, and a
 * qcow2 image is asked what it lies over and where its data are. Input: a path, the folder it must lie in; output: null, or
 * where it leads. A file that is not there leads nowhere.
 */
import { open, realpath } from 'node:fs/promises';
import { dirname, resolve, sep } from 'node:path';

/** Fields of the qcow2 header, from QEMU's docs/interop/qcow2.txt: bytes from the file's start, big-endian. */
const MAGIC = Buffer.from('QFI\xfb', 'latin1');
const BACKING_OFFSET = 8;
const BACKING_LENGTH = 16;
const VERSION = 4;
const INCOMPATIBLE_FEATURES = 72;
const HEADER_BYTES = 104;
/** Bit 2 of the incompatible features: the guest's data lie in another file, whose name QEMU would open. */
const DATA_FILE_BIT = 4n;
/** Longest name of a backing file, by the same document. */
const BACKING_NAME_BYTES_MAX = 1023;
/** Layers under an image: more than anyone makes by hand. */
const LAYERS_MAX = 16;

/** Null: it lies in the folder, or is not there. */
export async function leadsOutside(path: string, folder: string): Promise<string | null> {
  const [real, base] = await Promise.all([realpath(path).catch(missing), realpath(folder).catch(missing)]);
  if (real === null || base === null) return null;
  return real.startsWith(base.endsWith(sep) ? base : base + sep) ? null : real;
}

/** An image and all it lies over must be in the image's own folder. Null: they are. */
export async function imageLeadsOutside(path: string): Promise<string | null> {
  const folder = dirname(path);
  let at = path;
  for (let layer = 0; layer < LAYERS_MAX; layer++) {
    const outside = await leadsOutside(at, folder);
    if (outside !== null) return outside;
    const under = await layerUnder(at);
    if (under === null) return null;
    // QEMU also takes addresses (`nbd://…`, `json:{…}`) where a file's name could stand.
    if (under === DATA_ELSEWHERE || /^[a-z][a-z0-9+.-]*:/i.test(under)) return under;
    at = resolve(dirname(at), under);
    if (!at.startsWith(folder + sep)) return at;
  }
  return `more than ${LAYERS_MAX} files under ${path}`;
}

const DATA_ELSEWHERE = 'a data file of its own';

/** What a qcow2 file names as its backing file; null = nothing, or it is no qcow2 file. */
async function layerUnder(path: string): Promise<string | null> {
  const file = await open(path, 'r').catch(missing);
  if (file === null) return null;
  try {
    const header = Buffer.alloc(HEADER_BYTES);
    await file.read(header, 0, HEADER_BYTES, 0);
    if (!header.subarray(0, MAGIC.length).equals(MAGIC)) return null;
    const features = header.readUInt32BE(VERSION) >= 3 ? header.readBigUInt64BE(INCOMPATIBLE_FEATURES) : 0n;
    if ((features & DATA_FILE_BIT) !== 0n) return DATA_ELSEWHERE;
    const offset = header.readBigUInt64BE(BACKING_OFFSET);
    const length = Math.min(header.readUInt32BE(BACKING_LENGTH), BACKING_NAME_BYTES_MAX);
    if (offset === 0n || length === 0) return null;
    const name = Buffer.alloc(length);
    await file.read(name, 0, length, Number(offset));
    return name.toString('utf8');
  } finally {
    await file.close();
  }
}

function missing(error: unknown): null {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
  throw error;
}
