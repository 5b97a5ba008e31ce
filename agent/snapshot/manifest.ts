/**
 * What a snapshot is: which chunks its memory and its device state consist of, and the machine they belong to. Pure. The
 * manifest's id is the root of a Merkle tree over all of it: memory and state in blocks of entries, then the machine with its
 * QEMU version, machine type and XML. Encoded as JSON of the facts and a table of entries; decoding refuses what does not
 * give the id it is known by.
 */
import { canonicalJson } from '../../shared/canonical-json.ts';
import { HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import { CHUNK_BYTES, chunkCount } from './chunk.ts';
import type { Seal } from './seal.ts';
import { DIGEST_BYTES } from './sealed-sizes.ts';

/** One chunk: nothing but zeros, a record of its own, or a patch (a record) over another chunk's record. Digests hexadecimal. */
export type ChunkEntry =
  | { kind: 'zero' }
  | { kind: 'whole'; digest: string }
  | { kind: 'patched'; digest: string; base: string; patch: string };

/** What must be the same where the snapshot is brought back. */
export interface SnapshotMachine {
  qemuVersion: string;
  machineType: string;
  /** The running domain's definition. */
  domainXml: string;
}

export interface SnapshotFacts {
  vm: VmId;
  /** UTC. */
  takenAtMs: number;
  memoryBytes: number;
  stateBytes: number;
  machine: SnapshotMachine;
  /** The snapshot this one was compared with, if any; it is not needed to read this one. */
  parent: string | null;
  /** It is of a disk, whose contents stand in the place of memory: which one, and the snapshot of the memory of the same moment. */
  disk?: { target: string; of: string };
}

export interface Manifest {
  /** Merkle root, hexadecimal. */
  id: string;
  facts: SnapshotFacts;
  memory: readonly ChunkEntry[];
  state: readonly ChunkEntry[];
}

/** One for all: most of what a disk could hold it does not. */
export const ZERO: ChunkEntry = { kind: 'zero' };

const VERSION = 1;
const KINDS = ['zero', 'whole', 'patched'] as const;
const ENTRY_BYTES = 1 + 3 * DIGEST_BYTES;
const NO_DIGEST = Buffer.alloc(DIGEST_BYTES);
/** Entries a leaf of the tree covers: 16 MiB of memory. */
const LEAF_ENTRIES = 256;
const LEAF = Buffer.of(0);
const NODE = Buffer.of(1);
const ROOT = Buffer.of(2);

export function createManifest(seal: Seal, facts: SnapshotFacts, memory: ChunkEntry[], state: ChunkEntry[]): Manifest {
  return { id: rootOf(seal, facts, memory, state), facts, memory, state };
}

/** Digests of the records a manifest needs, some more than once. */
export function* recordsOf({ memory, state }: Manifest): Generator<string> {
  for (const entry of [...memory, ...state]) yield* recordsOfEntry(entry);
}

export function recordsOfEntry(entry: ChunkEntry): readonly string[] {
  if (entry.kind === 'zero') return [];
  return entry.kind === 'whole' ? [entry.digest] : [entry.base, entry.patch];
}

export function encodeManifest({ facts, memory, state }: Manifest): Buffer {
  const head = Buffer.from(canonicalJson({ version: VERSION, ...facts }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(head.length);
  return Buffer.concat([length, head, tableOf(memory), tableOf(state)]);
}

/** Throws STORE_CORRUPT saying what is wrong. `bytes` have passed their seal: they are the store's own, if maybe of a later version. */
export function decodeManifest(seal: Seal, id: string, bytes: Buffer): Manifest {
  const headEnd = 4 + (bytes.length < 4 ? 0 : bytes.readUInt32LE(0));
  if (bytes.length < headEnd) throw corrupt(id, 'it ends early');
  const { version, ...facts } = JSON.parse(bytes.toString('utf8', 4, headEnd)) as SnapshotFacts & { version: number };
  if (version !== VERSION) throw corrupt(id, `it is of version ${version}, this program reads version ${VERSION}`);
  const memoryEnd = headEnd + chunkCount(facts.memoryBytes) * ENTRY_BYTES;
  if (bytes.length !== memoryEnd + chunkCount(facts.stateBytes) * ENTRY_BYTES) throw corrupt(id, 'its table is not as long as its memory');
  const memory = readTable(bytes.subarray(headEnd, memoryEnd));
  const state = readTable(bytes.subarray(memoryEnd));
  if (memory === null || state === null) throw corrupt(id, 'an entry is of no known kind');
  const manifest = createManifest(seal, facts, memory, state);
  if (manifest.id !== id) throw corrupt(id, `its contents give ${manifest.id}`);
  return manifest;
}

const corrupt = (id: string, why: string): HeadroomError => new HeadroomError('STORE_CORRUPT', `snapshot ${id} cannot be used: ${why}`);

function tableOf(entries: readonly ChunkEntry[]): Buffer {
  const table = Buffer.alloc(entries.length * ENTRY_BYTES);
  for (const [place, entry] of entries.entries()) {
    const from = place * ENTRY_BYTES;
    table[from] = KINDS.indexOf(entry.kind);
    if (entry.kind === 'zero') continue;
    table.write(entry.digest, from + 1, 'hex');
    if (entry.kind === 'whole') continue;
    table.write(entry.base, from + 1 + DIGEST_BYTES, 'hex');
    table.write(entry.patch, from + 1 + 2 * DIGEST_BYTES, 'hex');
  }
  return table;
}

function readTable(table: Buffer): ChunkEntry[] | null {
  const entries: ChunkEntry[] = [];
  for (let from = 0; from < table.length; from += ENTRY_BYTES) {
    const digestAt = (place: number): string =>
      table.toString('hex', from + 1 + place * DIGEST_BYTES, from + 1 + (place + 1) * DIGEST_BYTES);
    const kind = KINDS[table[from] as number];
    if (kind === undefined) return null;
    if (kind === 'zero') entries.push(ZERO);
    else if (kind === 'whole') entries.push({ kind, digest: digestAt(0) });
    else entries.push({ kind, digest: digestAt(0), base: digestAt(1), patch: digestAt(2) });
  }
  return entries;
}

/** The tree is over what chunks hold, not over how they are stored: a patch made whole gives the same root. */
function rootOf(seal: Seal, facts: SnapshotFacts, memory: readonly ChunkEntry[], state: readonly ChunkEntry[]): string {
  const head = seal.digest(Buffer.from(canonicalJson({ chunkBytes: CHUNK_BYTES, ...facts })));
  return seal.digest(ROOT, head, treeOf(seal, memory), treeOf(seal, state)).toString('hex');
}

function treeOf(seal: Seal, entries: readonly ChunkEntry[]): Buffer {
  let level: Buffer[] = [];
  for (let from = 0; from < entries.length; from += LEAF_ENTRIES) {
    const block = entries.slice(from, from + LEAF_ENTRIES);
    // In one piece: a call for each digest takes ten times as long as hashing it.
    const digests = Buffer.alloc(block.length * DIGEST_BYTES);
    for (const [place, entry] of block.entries()) if (entry.kind !== 'zero') digests.write(entry.digest, place * DIGEST_BYTES, 'hex');
    level.push(seal.digest(LEAF, digests));
  }
  while (level.length > 1) {
    const above: Buffer[] = [];
    for (let at = 0; at < level.length; at += 2) {
      const [left, right] = [level[at] as Buffer, level[at + 1]];
      above.push(right === undefined ? left : seal.digest(NODE, left, right));
    }
    level = above;
  }
  return level[0] ?? NO_DIGEST;
}
