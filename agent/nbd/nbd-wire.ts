/**
 * The few words of the NBD protocol (newstyle, fixed) that an export of one size and its client need. Pure: bytes in, what is
 * asked out; answers and questions as bytes. Numbers from the protocol's published description.
 */
export const FLAGS_BYTES = 4;
export const OPTION_HEAD_BYTES = 16;
export const REQUEST_BYTES = 28;
export const OPTION = { exportName: 1, abort: 2, info: 6, go: 7 } as const;
export const OPTION_REPLY_BYTES = 20;
export const ANSWER_BYTES = 16;
export const COMMAND = { read: 0, write: 1, disconnect: 2, flush: 3 } as const;
export const ERROR = { none: 0, readOnly: 1, io: 5, invalid: 22 } as const;

const MAGIC = Buffer.from('NBDMAGICIHAVEOPT');
const OPTION_MAGIC = MAGIC.subarray(8);
const FIXED_NEWSTYLE_NO_ZEROES = 3;
const OPTION_REPLY_MAGIC = Buffer.from('0003e889045565a9', 'hex');
export const REPLY = { ack: 1, info: 3, unsupported: 0x80000001 } as const;
const INFO = { export: 0, description: 2 } as const;
/** Transmission flags: they are given; no writes; flushes are understood. */
const FLAGS = { given: 1, readOnly: 2, flush: 4 } as const;
const REQUEST_MAGIC = 0x25609513;
const ANSWER_MAGIC = 0x67446698;

export const GREETING_BYTES = 18;

export function greeting(): Buffer {
  const flags = Buffer.alloc(2);
  flags.writeUInt16BE(FIXED_NEWSTYLE_NO_ZEROES);
  return Buffer.concat([MAGIC, flags]);
}

/** Null: not an option. */
export function readOption(head: Buffer): { option: number; length: number } | null {
  return head.subarray(0, 8).equals(OPTION_MAGIC) ? { option: head.readUInt32BE(8), length: head.readUInt32BE(12) } : null;
}

function optionReply(option: number, reply: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(OPTION_REPLY_BYTES);
  OPTION_REPLY_MAGIC.copy(head);
  head.writeUInt32BE(option, 8);
  head.writeUInt32BE(reply, 12);
  head.writeUInt32BE(data.length, 16);
  return Buffer.concat([head, data]);
}

export const acknowledged = (option: number): Buffer => optionReply(option, REPLY.ack);
export const unsupported = (option: number): Buffer => optionReply(option, REPLY.unsupported);

export interface ExportInfo {
  bytes: number;
  readOnly: boolean;
  /** Whose it is, in words; empty = nothing is told. */
  description: string;
}

/** The answer to `info` and `go`. */
export function exportInfo(option: number, { bytes, readOnly, description }: ExportInfo): Buffer {
  const info = Buffer.alloc(12);
  info.writeUInt16BE(INFO.export, 0);
  info.writeBigUInt64BE(BigInt(bytes), 2);
  info.writeUInt16BE(readOnly ? FLAGS.given | FLAGS.readOnly : FLAGS.given | FLAGS.flush, 10);
  const words = description === '' ? [] : [optionReply(option, REPLY.info, describing(description))];
  return Buffer.concat([optionReply(option, REPLY.info, info), ...words, acknowledged(option)]);
}

function describing(description: string): Buffer {
  const kind = Buffer.alloc(2);
  kind.writeUInt16BE(INFO.description);
  return Buffer.concat([kind, Buffer.from(description)]);
}

/** What one reply of `info` tells, put into `known`. */
export function readInfo(data: Buffer, known: ExportInfo): ExportInfo {
  const kind = data.length < 2 ? -1 : data.readUInt16BE(0);
  if (kind === INFO.export && data.length === 12) {
    return { ...known, bytes: Number(data.readBigUInt64BE(2)), readOnly: (data.readUInt16BE(10) & FLAGS.readOnly) !== 0 };
  }
  return kind === INFO.description ? { ...known, description: data.subarray(2).toString() } : known;
}

/** A client's first words: the flags it understands, and that it wants the export of no name. False: this is no server. */
export const isGreeting = (bytes: Buffer): boolean => bytes.subarray(0, MAGIC.length).equals(MAGIC);

export function goForExport(): Buffer {
  const flags = Buffer.alloc(FLAGS_BYTES);
  flags.writeUInt32BE(FIXED_NEWSTYLE_NO_ZEROES);
  const head = Buffer.alloc(8);
  head.writeUInt32BE(OPTION.go, 0);
  // An empty name and no list of wishes.
  head.writeUInt32BE(6, 4);
  return Buffer.concat([flags, OPTION_MAGIC, head, Buffer.alloc(6)]);
}

/** Null: not a reply. */
export function readOptionReply(head: Buffer): { reply: number; length: number } | null {
  if (!head.subarray(0, 8).equals(OPTION_REPLY_MAGIC)) return null;
  return { reply: head.readUInt32BE(12), length: head.readUInt32BE(16) };
}

export interface NbdRequest {
  command: number;
  handle: Buffer;
  offset: number;
  length: number;
}

/** Null: not a request. */
export function readRequest(bytes: Buffer): NbdRequest | null {
  if (bytes.readUInt32BE(0) !== REQUEST_MAGIC) return null;
  return {
    command: bytes.readUInt16BE(6),
    handle: Buffer.from(bytes.subarray(8, 16)),
    offset: Number(bytes.readBigUInt64BE(16)),
    length: bytes.readUInt32BE(24),
  };
}

export function request(command: number, handle: bigint, offset: number, length: number): Buffer {
  const head = Buffer.alloc(REQUEST_BYTES);
  head.writeUInt32BE(REQUEST_MAGIC, 0);
  head.writeUInt16BE(command, 6);
  head.writeBigUInt64BE(handle, 8);
  head.writeBigUInt64BE(BigInt(offset), 16);
  head.writeUInt32BE(length, 24);
  return head;
}

/** Null: not an answer. */
export function readAnswer(head: Buffer): { error: number; handle: bigint } | null {
  return head.readUInt32BE(0) === ANSWER_MAGIC ? { error: head.readUInt32BE(4), handle: head.readBigUInt64BE(8) } : null;
}

/** In parts: what is answered with is not copied once more. */
export function answer({ handle }: NbdRequest, error: number, data: readonly Buffer[] = []): readonly Buffer[] {
  const head = Buffer.alloc(ANSWER_BYTES);
  head.writeUInt32BE(ANSWER_MAGIC, 0);
  head.writeUInt32BE(error, 4);
  handle.copy(head, 8);
  return [head, ...data];
}
