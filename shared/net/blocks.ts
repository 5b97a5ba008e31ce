/**
 * Telemetry blocks to their wire form and back. Field lists are numbered per connection and direction and named on first
 * use, numbers travel as little-endian Float64 bytes: no object is made per row. Encoder and decoder belong to one
 * connection, like the codec.
 */
import { HeadroomError } from '../errors.ts';
import { sharedFieldList } from '../field-lists.ts';
import { UUID_SOURCE } from '../ids.ts';
import type { FrameOf } from '../protocol/frames.ts';
import type { Subject, TelemetryBlock } from '../telemetry.ts';
import { checkFields, checkRows } from '../telemetry-check.ts';

export type WireBlock = FrameOf<'telemetry'>['blocks'][number];

/** Field lists remembered per connection: fifty metric sets of their own on each of twenty VMs. Costs at most 16 MiB a peer. */
export const FIELD_SETS_MAX = 1024;
/** For guests, who speak of one VM only: at most 1 MiB each. */
export const GUEST_FIELD_SETS_MAX = 64;

const BYTES = 8;
/** Subjects remembered per connection, so that each is one object: more than any host has VMs. Costs at most 1 MiB a peer. */
const SUBJECTS_MAX = 4096;
const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
const HOST_ID = /^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,126}[a-zA-Z0-9])?$/;
const VM_ID = new RegExp(`^${UUID_SOURCE}$`);

export interface BlockEncoder {
  /** One block, in a frame of its own or where earlier frames are known to have arrived. */
  encode(block: TelemetryBlock): WireBlock;
  /** The blocks of one frame. */
  encodeFrame(blocks: readonly TelemetryBlock[]): WireBlock[];
}

export interface BlockDecoder {
  /**
   * The blocks of one frame. Throws FRAME_INVALID. Blocks of the same fields share one (frozen) array of names, those of one
   * subject share the object, and the numbers of many frames lie in one buffer (of any connection): a block is for use within
   * seconds, who keeps its numbers for longer copies them.
   */
  decode(blocks: readonly WireBlock[]): TelemetryBlock[];
}

/** `selfContained`: every frame names the lists of its blocks, each once, for transports that lose messages. */
export function createBlockEncoder(setsMax: number, selfContained = false): BlockEncoder {
  /** By identity, the usual case: producers keep their field lists. */
  const byArray = new WeakMap<readonly string[], { set: number; names: string }>();
  const byNames = new Map<string, number>();
  const namesOfSet: string[] = [];
  let next = 0;
  /** `named`: the sets that the receiver is sure to know. */
  const encode = (block: TelemetryBlock, named: Set<number> | null): WireBlock => {
    const { kind, id } = block.subject;
    const { source } = block;
    const known = byArray.get(block.fields);
    const names = known?.names ?? block.fields.join('\n');
    const [times, values] = [toBytes(block.timesMs), toBytes(block.values)];
    const set = known && namesOfSet[known.set] === names ? known.set : byNames.get(names);
    if (set !== undefined && (named === null || named.has(set))) {
      if (known?.set !== set) byArray.set(block.fields, { set, names });
      return { kind, id, source, set, times, values };
    }
    const fresh = set ?? next;
    if (set === undefined) {
      next = (next + 1) % setsMax;
      // The oldest numbering gives way; its names are sent again if they come back.
      const old = namesOfSet[fresh];
      if (old !== undefined) byNames.delete(old);
      namesOfSet[fresh] = names;
      byNames.set(names, fresh);
      byArray.set(block.fields, { set: fresh, names });
    }
    named?.add(fresh);
    return { kind, id, source, set: fresh, fields: [...block.fields], times, values };
  };
  return {
    encode: (block) => encode(block, selfContained ? new Set() : null),
    encodeFrame(blocks) {
      const named = selfContained ? new Set<number>() : null;
      return blocks.map((block) => encode(block, named));
    },
  };
}

export function createBlockDecoder(setsMax: number): BlockDecoder {
  const sets: (readonly string[])[] = [];
  const subjects = new SubjectTable();
  const decodeOne = (block: WireBlock, numbers: NumberBuffer): TelemetryBlock => {
    if (block.set >= setsMax) throw invalid(`field set ${block.set}; sets 0 to ${setsMax - 1} are accepted`);
    const subject = subjects.get(block.kind, block.id);
    // Where messages may be lost every one names its lists anew: the same names stay the same list.
    if (block.fields && !sameNames(sets[block.set], block.fields)) {
      checkFields(block.fields);
      sets[block.set] = sharedFieldList(block.fields);
    }
    const fields = sets[block.set];
    if (!fields) throw invalid(`field set ${block.set} was never named on this connection`);
    const timesMs = numbers.take(block.times);
    const values = numbers.take(block.values);
    checkRows(timesMs, values, fields.length);
    return { subject, source: block.source, fields, timesMs, values };
  };
  return {
    decode(blocks) {
      let bytes = 0;
      for (const { times, values } of blocks) bytes += checkedBytes(times, 'times') + checkedBytes(values, 'values');
      const numbers = new NumberBuffer(bytes);
      return blocks.map((block) => decodeOne(block, numbers));
    },
  };
}

function sameNames(known: readonly string[] | undefined, told: readonly string[]): boolean {
  return known !== undefined && known.length === told.length && known.every((name, i) => name === told[i]);
}

/** One object per subject, checked once. */
class SubjectTable {
  readonly #known = { vm: new Map<string, Subject>(), host: new Map<string, Subject>() };

  get(kind: Subject['kind'], id: string): Subject {
    const known = this.#known[kind];
    const before = known.get(id);
    if (before !== undefined) return before;
    if (!(kind === 'vm' ? VM_ID : HOST_ID).test(id)) throw invalid(`"${id.slice(0, 60)}" does not name a ${kind}`);
    if (known.size >= SUBJECTS_MAX) known.clear();
    const subject: Subject = Object.freeze({ kind, id });
    known.set(id, subject);
    return subject;
  }
}

/** A new ArrayBuffer costs some 40 µs with the collector's work for it, twice what a small frame costs otherwise: one serves many. */
const SHARED_BYTES = 256 * 1024;
/** Frames of this size and more have a buffer of their own. */
const OWN_BYTES_MIN = SHARED_BYTES / 8;

let shared = new Uint8Array(0);
let sharedUsed = 0;

/** The numbers of a frame's blocks, one after the other: the wire's bytes are not aligned, and views of them would keep the whole message. */
class NumberBuffer {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #at: number;

  constructor(bytes: number) {
    const own = bytes >= OWN_BYTES_MIN;
    if (!own && sharedUsed + bytes > shared.length) {
      shared = new Uint8Array(SHARED_BYTES);
      sharedUsed = 0;
    }
    this.#bytes = own ? new Uint8Array(bytes) : shared;
    this.#at = own ? 0 : sharedUsed;
    if (!own) sharedUsed += bytes;
  }

  /** Copies what was checked by `checkedBytes`. */
  take(bytes: Uint8Array): Float64Array {
    const at = this.#at;
    this.#at += bytes.byteLength;
    this.#bytes.set(bytes, at);
    const numbers = new Float64Array(this.#bytes.buffer, at, bytes.byteLength / BYTES);
    if (!LITTLE_ENDIAN) {
      const view = new DataView(this.#bytes.buffer, at, bytes.byteLength);
      for (let i = 0; i < numbers.length; i++) numbers[i] = view.getFloat64(i * BYTES, true);
    }
    return numbers;
  }
}

/** A view where the machine's byte order is the wire's; msgpackr copies it when it packs. */
function toBytes(numbers: Float64Array): Uint8Array {
  if (LITTLE_ENDIAN) return Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength);
  const bytes = Buffer.alloc(numbers.byteLength);
  for (let i = 0; i < numbers.length; i++) bytes.writeDoubleLE(numbers[i]!, i * BYTES);
  return bytes;
}

function checkedBytes(bytes: unknown, what: string): number {
  if (!(bytes instanceof Uint8Array)) throw invalid(`${what} must be bytes`);
  if (bytes.byteLength % BYTES !== 0) throw invalid(`${what} has ${bytes.byteLength} bytes, not a multiple of ${BYTES}`);
  return bytes.byteLength;
}

function invalid(what: string): HeadroomError {
  return new HeadroomError('FRAME_INVALID', `telemetry block: ${what}`);
}
