/**
 * Blocks as the payload of one record of the disk ring, and back: the wire's form of blocks, numbered within the record, so
 * that each record stands alone. Input: blocks; output: bytes. Reading throws FRAME_INVALID or FRAME_MALFORMED on bytes that
 * make no sound blocks; the record's checksum has been tested before.
 */
import { Packr } from 'msgpackr/pack';
import { errorText, HeadroomError } from '../shared/errors.ts';
import { createBlockDecoder, createBlockEncoder, FIELD_SETS_MAX, type WireBlock } from '../shared/net/blocks.ts';
import type { BlockPacking } from './core/backlog.ts';

/** Raised when the form changes: a newer agent's ring is not misread by an older one. */
const PAYLOAD_VERSION = 1;

export function createBlockPacking(): BlockPacking {
  const packr = new Packr({ useRecords: false, mapsAsObjects: true });
  return {
    pack(blocks) {
      const encoder = createBlockEncoder(FIELD_SETS_MAX);
      return packr.pack([PAYLOAD_VERSION, blocks.map((block) => encoder.encode(block))]);
    },
    unpack(payload) {
      const [version, blocks] = parse(packr, payload);
      if (version !== PAYLOAD_VERSION || !Array.isArray(blocks)) {
        throw new HeadroomError('FRAME_INVALID', `a record of version ${String(version)}; this agent reads ${PAYLOAD_VERSION}`);
      }
      return createBlockDecoder(FIELD_SETS_MAX).decode(blocks as WireBlock[]);
    },
  };
}

function parse(packr: Packr, payload: Uint8Array): unknown[] {
  try {
    const value: unknown = packr.unpack(payload);
    return Array.isArray(value) ? value : [];
  } catch (error) {
    throw new HeadroomError('FRAME_MALFORMED', `a record of the disk ring: ${errorText(error)}`, { cause: error });
  }
}
