/**
 * Walks a message's msgpack tokens before the decoder sees them. Input: bytes from a peer. Output: nothing, or
 * FRAME_MALFORMED / FRAME_TOO_LARGE. It makes bombs impossible: nesting that would overflow the decoder's stack, counts
 * that promise more than the bytes hold, extension types we never use, and floods of record definitions (each of which
 * the decoder turns into compiled code). It allocates nothing per message and reads each header once.
 */
import { HeadroomError } from '../errors.ts';

/** Deepest honest frame: inventory → vms → VM → pairs → item → pair, seven levels. */
export const NESTING_MAX = 16;
/** Values in one message. A lease for 4,096 VMs has 12,288; an inventory of 4 MiB holds under 400,000. */
export const VALUES_MAX = 500_000;
/** Record definitions in one message; the whole protocol has about thirty shapes. */
const DEFINITIONS_MAX = 64;
/** Fields of one record; the widest shape (a VM in an inventory) has 17. */
const RECORD_FIELDS_MAX = 64;
/** msgpackr numbers its sequential records 0x40..0x5f. */
const RECORD_FIRST = 0x40;
const RECORD_COUNT = 32;
const RECORD_DEFINITION = 0x72;
const UNDEFINED_RECORD = -1;

/** Follows one direction of one connection: record definitions last as long as the connection. */
export class MessageScanner {
  readonly #recordFields = new Int16Array(RECORD_COUNT).fill(UNDEFINED_RECORD);
  readonly #records: boolean;
  /** Values still to come at each level. */
  readonly #left = new Float64Array(NESTING_MAX + 1);
  #bytes: Uint8Array = new Uint8Array(0);
  #position = 0;
  #values = 0;
  #definitions = 0;
  #depth = 0;

  constructor(records: boolean) {
    this.#records = records;
  }

  /** Throws unless `bytes` is exactly one value that is safe to decode. */
  scan(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.#position = 0;
    this.#values = 0;
    this.#definitions = 0;
    this.#depth = 0;
    this.#left[0] = 1;
    while (this.#depth >= 0) {
      if (this.#left[this.#depth] === 0) {
        this.#depth--;
        continue;
      }
      this.#left[this.#depth] = this.#left[this.#depth]! - 1;
      this.#token();
    }
    const rest = bytes.length - this.#position;
    this.#bytes = new Uint8Array(0);
    if (rest !== 0) throw malformed(`${rest} bytes follow the frame`);
  }

  #token(): void {
    if (++this.#values > VALUES_MAX) throw new HeadroomError('FRAME_TOO_LARGE', `the frame holds more than ${VALUES_MAX} values`);
    const token = this.#byte();
    if (token < RECORD_FIRST || token >= 0xe0) return;
    // Without records 0x40..0x7f are small integers; with them the encoder never writes integers that way.
    if (token < 0x80) {
      if (this.#records) this.#record(token);
    } else if (token < 0x90) this.#enter((token & 0x0f) * 2);
    else if (token < 0xa0) this.#enter(token & 0x0f);
    else if (token < 0xc0) this.#skip(token & 0x1f);
    else this.#longToken(token);
  }

  #longToken(token: number): void {
    switch (token) {
      case 0xc0: // nil
      case 0xc2: // false
      case 0xc3: // true
        break;
      case 0xc4: // bin 8
      case 0xd9: // str 8
        this.#skip(this.#byte());
        break;
      case 0xc5: // bin 16
      case 0xda: // str 16
        this.#skip(this.#uint16());
        break;
      case 0xc6: // bin 32
      case 0xdb: // str 32
        this.#skip(this.#uint32());
        break;
      case 0xcc: // uint 8
      case 0xd0: // int 8
        this.#skip(1);
        break;
      case 0xcd:
      case 0xd1:
        this.#skip(2);
        break;
      case 0xca: // float 32
      case 0xce:
      case 0xd2:
        this.#skip(4);
        break;
      case 0xcb: // float 64
        this.#skip(8);
        break;
      case 0xd4: // fixext 1: only as a record definition
        this.#definition();
        break;
      case 0xdc: // array 16
        this.#enter(this.#uint16());
        break;
      case 0xdd: // array 32
        this.#enter(this.#uint32());
        break;
      case 0xde: // map 16
        this.#enter(this.#uint16() * 2);
        break;
      case 0xdf: // map 32
        this.#enter(this.#uint32() * 2);
        break;
      default:
        throw malformed(`token 0x${token.toString(16)} at byte ${this.#position - 1} is not used by this protocol`);
    }
  }

  #record(token: number): void {
    const fields = token < RECORD_FIRST + RECORD_COUNT ? this.#recordFields[token - RECORD_FIRST]! : UNDEFINED_RECORD;
    if (fields === UNDEFINED_RECORD) throw malformed(`record 0x${token.toString(16)} was never defined on this connection`);
    this.#enter(fields);
  }

  #definition(): void {
    const type = this.#byte();
    if (type !== RECORD_DEFINITION || !this.#records) throw malformed(`extension type 0x${type.toString(16)} is not used by this protocol`);
    const id = this.#byte() - RECORD_FIRST;
    if (id < 0 || id >= RECORD_COUNT) throw malformed(`record number ${id} is out of range 0..${RECORD_COUNT - 1}`);
    if (++this.#definitions > DEFINITIONS_MAX) throw malformed(`more than ${DEFINITIONS_MAX} record definitions in one frame`);
    const header = this.#byte();
    let fields: number;
    if ((header & 0xf0) === 0x90) fields = header & 0x0f;
    else if (header === 0xdc) fields = this.#uint16();
    else throw malformed('a record definition must begin with an array of names');
    if (fields > RECORD_FIELDS_MAX) throw malformed(`a record of ${fields} fields; at most ${RECORD_FIELDS_MAX} are accepted`);
    for (let i = 0; i < fields; i++) this.#name();
    this.#values += fields;
    this.#recordFields[id] = fields;
    this.#enter(fields);
  }

  #name(): void {
    const token = this.#byte();
    if (token >= 0xa0 && token < 0xc0) this.#skip(token & 0x1f);
    else if (token === 0xd9) this.#skip(this.#byte());
    else throw malformed('a record field name must be a short string');
  }

  #enter(values: number): void {
    // Every value takes a byte at least: a count above what is left is a lie, found before anything is allocated for it.
    if (values > this.#bytes.length - this.#position) throw malformed(`a collection of ${values} values in ${this.#bytes.length} bytes`);
    if (this.#depth >= NESTING_MAX) throw malformed(`nested deeper than ${NESTING_MAX} levels`);
    this.#left[++this.#depth] = values;
  }

  #skip(bytes: number): void {
    this.#position += bytes;
    if (this.#position > this.#bytes.length) throw malformed('the frame ends in the middle of a value');
  }

  #byte(): number {
    const byte = this.#bytes[this.#position++];
    if (byte === undefined) throw malformed('the frame ends in the middle of a value');
    return byte;
  }

  #uint16(): number {
    return this.#byte() * 0x100 + this.#byte();
  }

  #uint32(): number {
    return this.#uint16() * 0x10000 + this.#uint16();
  }
}

function malformed(what: string): HeadroomError {
  return new HeadroomError('FRAME_MALFORMED', `malformed frame: ${what}`);
}
