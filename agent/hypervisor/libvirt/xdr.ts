/**
 * XDR (RFC 4506) as libvirt's RPC uses it. Writer: values in, bytes out. Reader: bytes in, values out; reading past the end,
 * an impossible length or a bad string throws, never reads beyond. 64-bit integers become numbers: exact up to 2^53, above
 * that to 53 bits (nanosecond counters older than 104 CPU-days lose their last digits, which no rate can tell).
 */
import { HeadroomError } from '../../../shared/errors.ts';

const TWO_32 = 2 ** 32;
/** Smallest growth of the writer's buffer; most calls fit in it. */
const CHUNK_BYTES = 256;

export interface XdrWriter {
  i32(value: number): XdrWriter;
  u32(value: number): XdrWriter;
  /** Signed; must be a safe integer. */
  i64(value: number): XdrWriter;
  u64(value: number): XdrWriter;
  f64(value: number): XdrWriter;
  string(value: string): XdrWriter;
  /** XDR optional: present flag, then the string. */
  optionalString(value: string | null): XdrWriter;
  /** Fixed length, padded to four bytes. */
  opaque(value: Uint8Array): XdrWriter;
  bytes(): Buffer;
}

const paddingOf = (length: number): number => (4 - (length & 3)) & 3;

export function createXdrWriter(): XdrWriter {
  let buffer = Buffer.alloc(CHUNK_BYTES);
  let length = 0;
  const reserve = (count: number): number => {
    if (length + count > buffer.length) {
      const grown = Buffer.alloc(Math.max(buffer.length * 2, length + count));
      buffer.copy(grown, 0, 0, length);
      buffer = grown;
    }
    const at = length;
    length += count;
    return at;
  };
  const put = (bytes: Uint8Array): void => {
    const at = reserve(bytes.length + paddingOf(bytes.length));
    buffer.set(bytes, at);
  };
  const writer: XdrWriter = {
    i32(value) {
      const at = reserve(4);
      buffer.writeInt32BE(value, at);
      return writer;
    },
    u32(value) {
      const at = reserve(4);
      buffer.writeUInt32BE(value, at);
      return writer;
    },
    i64(value) {
      const at = reserve(8);
      buffer.writeBigInt64BE(BigInt(value), at);
      return writer;
    },
    u64(value) {
      const at = reserve(8);
      buffer.writeBigUInt64BE(BigInt(value), at);
      return writer;
    },
    f64(value) {
      const at = reserve(8);
      buffer.writeDoubleBE(value, at);
      return writer;
    },
    string(value) {
      const bytes = Buffer.from(value, 'utf8');
      writer.u32(bytes.length);
      put(bytes);
      return writer;
    },
    optionalString(value) {
      writer.u32(value === null ? 0 : 1);
      return value === null ? writer : writer.string(value);
    },
    opaque(value) {
      put(value);
      return writer;
    },
    bytes: () => buffer.subarray(0, length),
  };
  return writer;
}

export interface XdrReader {
  readonly remaining: number;
  i32(): number;
  u32(): number;
  i64(): number;
  u64(): number;
  f64(): number;
  string(): string;
  optionalString(): string | null;
  opaque(length: number): Uint8Array;
  /** Length of an array whose elements take at least `elementBytesMin` each: a length that cannot fit is refused. */
  arrayLength(elementBytesMin: number): number;
}

export function createXdrReader(buffer: Buffer): XdrReader {
  let offset = 0;
  const take = (count: number): number => {
    if (count > buffer.length - offset) {
      throw new HeadroomError(
        'HYPERVISOR_UNAVAILABLE',
        `libvirt's answer ends early: ${count} bytes wanted at ${offset} of ${buffer.length}; is it a libvirt socket, and which version?`,
      );
    }
    const at = offset;
    offset += count;
    return at;
  };
  const reader: XdrReader = {
    get remaining() {
      return buffer.length - offset;
    },
    i32: () => buffer.readInt32BE(take(4)),
    u32: () => buffer.readUInt32BE(take(4)),
    i64() {
      const at = take(8);
      return buffer.readInt32BE(at) * TWO_32 + buffer.readUInt32BE(at + 4);
    },
    u64() {
      const at = take(8);
      return buffer.readUInt32BE(at) * TWO_32 + buffer.readUInt32BE(at + 4);
    },
    f64: () => buffer.readDoubleBE(take(8)),
    string() {
      const length = reader.u32();
      const at = take(length + paddingOf(length));
      return buffer.toString('utf8', at, at + length);
    },
    optionalString: () => (reader.u32() === 0 ? null : reader.string()),
    opaque(length) {
      const at = take(length + paddingOf(length));
      return buffer.subarray(at, at + length);
    },
    arrayLength(elementBytesMin) {
      const length = reader.u32();
      if (length * elementBytesMin > reader.remaining) {
        throw new HeadroomError('HYPERVISOR_UNAVAILABLE', `libvirt's answer claims ${length} elements in ${reader.remaining} bytes`);
      }
      return length;
    },
  };
  return reader;
}
