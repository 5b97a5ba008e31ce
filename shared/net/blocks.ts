/**
 * Telemetry blocks to their wire form and back. Field lists are numbered per connection and direction and named on first
 * use, numbers travel as little-endian Float64 bytes: no object is made per row. Encoder and decoder belong to one
 * connection, like the codec.
 */
import { HeadroomError } from '../errors.ts';
import type { FrameOf } from '../protocol/frames.ts';
import type { TelemetryBlock } from '../telemetry.ts';
import { checkFields, checkRows } from '../telemetry-check.ts';

export type WireBlock = FrameOf<'telemetry'>['blocks'][number];

/** Field lists remembered per connection: fifty metric sets of their own on each of twenty VMs. Costs at most 16 MiB a peer. */
export const FIELD_SETS_MAX = 1024;
/** For guests, who speak of one VM only: at most 1 MiB each. */
export const GUEST_FIELD_SETS_MAX = 64;

const BYTES = 8;
/** V8 keeps typed arrays of up to 64 bytes inside the object; touching their buffer would move them out. */
const SMALL_MAX = 8;
const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
const HOST_ID = /^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,126}[a-zA-Z0-9])?$/;
const VM_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export interface BlockEncoder {
  encode(block: TelemetryBlock): WireBlock;
}

export interface BlockDecoder {
  /** Throws FRAME_INVALID. Blocks of one field set share one (frozen) array of names. */
  decode(block: WireBlock): TelemetryBlock;
}

/** `selfContained`: names go with every block, for transports that lose messages. */
export function createBlockEncoder(setsMax: number, selfContained = false): BlockEncoder {
  /** By identity, the usual case: producers keep their field lists. */
  const byArray = new WeakMap<readonly string[], { set: number; names: string }>();
  const byNames = new Map<string, number>();
  const namesOfSet: string[] = [];
  let next = 0;
  return {
    encode(block) {
      const known = byArray.get(block.fields);
      const names = known?.names ?? block.fields.join('\n');
      const wire = { kind: block.subject.kind, id: block.subject.id, source: block.source };
      const data = { times: toBytes(block.timesMs), values: toBytes(block.values) };
      const set = known && namesOfSet[known.set] === names ? known.set : byNames.get(names);
      if (set !== undefined && !selfContained) {
        if (known?.set !== set) byArray.set(block.fields, { set, names });
        return { ...wire, set, ...data };
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
      return { ...wire, set: fresh, fields: [...block.fields], ...data };
    },
  };
}

export function createBlockDecoder(setsMax: number): BlockDecoder {
  const sets: (readonly string[])[] = [];
  return {
    decode(block) {
      if (block.set >= setsMax) throw invalid(`field set ${block.set}; sets 0 to ${setsMax - 1} are accepted`);
      const id = block.kind === 'vm' ? VM_ID : HOST_ID;
      if (!id.test(block.id)) throw invalid(`"${block.id.slice(0, 60)}" does not name a ${block.kind}`);
      if (block.fields) {
        checkFields(block.fields);
        sets[block.set] = Object.freeze(block.fields);
      }
      const fields = sets[block.set];
      if (!fields) throw invalid(`field set ${block.set} was never named on this connection`);
      const timesMs = fromBytes(block.times, 'times');
      const values = fromBytes(block.values, 'values');
      checkRows(timesMs, values, fields.length);
      return { subject: { kind: block.kind, id: block.id }, source: block.source, fields, timesMs, values };
    },
  };
}

/** A view where the machine's byte order is the wire's; msgpackr copies it when it packs. */
function toBytes(numbers: Float64Array): Uint8Array {
  if (LITTLE_ENDIAN) return Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength);
  const bytes = Buffer.alloc(numbers.byteLength);
  for (let i = 0; i < numbers.length; i++) bytes.writeDoubleLE(numbers[i]!, i * BYTES);
  return bytes;
}

/** Always a copy: the wire's bytes are not aligned, and keeping a view would keep the whole message. */
function fromBytes(bytes: unknown, what: string): Float64Array {
  if (!(bytes instanceof Uint8Array)) throw invalid(`${what} must be bytes`);
  if (bytes.byteLength % BYTES !== 0) throw invalid(`${what} has ${bytes.byteLength} bytes, not a multiple of ${BYTES}`);
  const count = bytes.byteLength / BYTES;
  if (LITTLE_ENDIAN && count > SMALL_MAX) {
    return new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer);
  }
  const numbers = new Float64Array(count);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < count; i++) numbers[i] = view.getFloat64(i * BYTES, true);
  return numbers;
}

function invalid(what: string): HeadroomError {
  return new HeadroomError('FRAME_INVALID', `telemetry block: ${what}`);
}
