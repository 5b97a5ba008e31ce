/**
 * Frames to bytes and back. One codec belongs to one connection: msgpackr's sequential records name each shape once per
 * connection. Hence a message that was encoded must be sent (drop before encoding, never after), and any error ends the
 * connection. Decoding goes size → token scan → decode → schema, so that nothing unchecked is allocated or read.
 */
import { Packr, Unpackr } from 'msgpackr/pack';
import { errorText, HeadroomError } from '../errors.ts';
import type { Frame, FrameOf } from '../protocol/frames.ts';
import { checkFrame } from '../protocol/validate.ts';
import { MessageScanner } from './scan.ts';

export interface CodecOptions {
  /** Largest message accepted or produced, bytes. */
  maxBytes: number;
  /** Each message stands alone (needed where messages may be lost); costs bytes and time. */
  selfContained?: boolean;
}

export interface Codec {
  /** Throws FRAME_TOO_LARGE; the connection cannot go on after that, the shapes sent would be out of step. */
  encode(frame: Frame): Uint8Array;
  /** Throws FRAME_TOO_LARGE, FRAME_MALFORMED or FRAME_INVALID. Byte fields are views into `bytes`. */
  decode(bytes: Uint8Array): Frame;
}

export function createCodec(options: CodecOptions): Codec {
  const { maxBytes, selfContained = false } = options;
  // msgpackr changes the options object it is given: two must never share one.
  const packing = (): ConstructorParameters<typeof Packr>[0] =>
    selfContained ? { useRecords: false, mapsAsObjects: true } : { useRecords: true, sequential: true, mapsAsObjects: true };
  const packr = new Packr(packing());
  const unpackr = new Unpackr(packing());
  const scanner = new MessageScanner(!selfContained);
  return {
    encode(frame) {
      const bytes = packr.pack(frame.type === 'inventory' ? withLabelMaps(frame) : frame);
      if (bytes.length > maxBytes) throw tooLarge(frame.type, bytes.length, maxBytes);
      return bytes;
    },
    decode(bytes) {
      if (bytes.length > maxBytes) throw tooLarge('from the peer', bytes.length, maxBytes);
      scanner.scan(bytes);
      let value: unknown;
      try {
        value = unpackr.unpack(bytes);
      } catch (error) {
        throw new HeadroomError('FRAME_MALFORMED', `malformed frame: ${errorText(error).slice(0, 200)}`, { cause: error });
      }
      return checkFrame(value);
    },
  };
}

function tooLarge(what: string, bytes: number, maxBytes: number): HeadroomError {
  return new HeadroomError('FRAME_TOO_LARGE', `frame ${what} of ${bytes} bytes; at most ${maxBytes} are accepted`);
}

/** Labels have as many shapes as there are VMs: sent as maps they do not push the protocol's own shapes out of the 32 records. */
function withLabelMaps(frame: FrameOf<'inventory'>): object {
  return { ...frame, vms: frame.vms.map((vm) => ({ ...vm, labels: new Map(Object.entries(vm.labels)) })) };
}
