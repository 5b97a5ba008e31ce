/**
 * What of a VM outlives a restart: its models and its working set's peaks, as one blob. Layout: length of a JSON header
 * (uint32, little-endian), the header, the models' bytes one after the other. Bytes that are not such a blob: STORE_CORRUPT.
 */
import { HeadroomError } from '../../../shared/errors.ts';
import { RESOURCES, type Resource } from '../../../shared/resources.ts';
import type { Boot } from '../lifecycle/boot-profiles.ts';

const VERSION = 1;

export interface VmCheckpoint {
  models: { resource: Resource; name: string; lastMs: number; bytes: Uint8Array }[];
  peaks: [number, number][];
  /** By the agreement's name; what older programs wrote has none. */
  attainment?: Record<string, [startMs: number, steps: number, met: number][]>;
  /** Of its use, as UsageShape keeps it; what older programs wrote has none. */
  shape?: number[];
  /** What its boots took; what older programs wrote has none. */
  boots?: readonly Boot[];
  /** Of its anomaly watch, as KeptWatch has it; what older programs wrote has none. */
  watch?: string | null;
}

interface Header {
  version: number;
  models: { resource: Resource; name: string; lastMs: number; length: number }[];
  peaks: [number, number][];
  attainment?: VmCheckpoint['attainment'];
  shape?: VmCheckpoint['shape'];
  boots?: VmCheckpoint['boots'];
  watch?: VmCheckpoint['watch'];
}

export function packCheckpoint({ models, peaks, attainment = {}, shape = [], boots = [], watch = null }: VmCheckpoint): Uint8Array {
  const header: Header = {
    version: VERSION,
    models: models.map(({ resource, name, lastMs, bytes }) => ({ resource, name, lastMs, length: bytes.length })),
    peaks,
    attainment,
    shape,
    boots,
    watch,
  };
  const text = new TextEncoder().encode(JSON.stringify(header));
  const packed = new Uint8Array(4 + text.length + models.reduce((sum, { bytes }) => sum + bytes.length, 0));
  new DataView(packed.buffer).setUint32(0, text.length, true);
  packed.set(text, 4);
  let at = 4 + text.length;
  for (const { bytes } of models) {
    packed.set(bytes, at);
    at += bytes.length;
  }
  return packed;
}

export function unpackCheckpoint(packed: Uint8Array): VmCheckpoint {
  const header = readHeader(packed);
  let at = 4 + header.headerLength;
  const models = header.models.map(({ resource, name, lastMs, length }) => {
    const bytes = packed.slice(at, at + length);
    if (bytes.length !== length || !RESOURCES.includes(resource)) throw corrupt(`the model of ${resource} is cut off`);
    at += length;
    return { resource, name, lastMs, bytes };
  });
  const { peaks, attainment = {}, shape = [], boots = [], watch = null } = header;
  return { models, peaks, attainment, shape, boots, watch };
}

function readHeader(packed: Uint8Array): Header & { headerLength: number } {
  const length = packed.length >= 4 ? new DataView(packed.buffer, packed.byteOffset).getUint32(0, true) : -1;
  if (length < 0 || 4 + length > packed.length) throw corrupt(`it has ${packed.length} bytes`);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder().decode(packed.subarray(4, 4 + length)));
  } catch (cause) {
    throw corrupt('its header is not JSON', cause);
  }
  const { version, models, peaks, attainment = {}, shape = [], boots = [], watch = null } = header as Partial<Header>;
  if (version !== VERSION || !Array.isArray(models) || !Array.isArray(peaks))
    throw corrupt(`its version is ${version}, this build reads ${VERSION}`);
  const lists = { shape: Array.isArray(shape) ? shape : [], boots: Array.isArray(boots) ? boots : [] };
  return { version, models, peaks, attainment, ...lists, watch: typeof watch === 'string' ? watch : null, headerLength: length };
}

function corrupt(what: string, cause?: unknown): HeadroomError {
  return new HeadroomError('STORE_CORRUPT', `a VM's checkpoint cannot be read: ${what}; its models start anew`, { cause });
}
