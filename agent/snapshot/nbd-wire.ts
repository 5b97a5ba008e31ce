/**
 * The few words of the NBD protocol (newstyle, fixed) that a read-only export of one size needs. Pure: bytes in, what is asked
 * out; answers as bytes. Numbers from the protocol's published description.
 */
export const FLAGS_BYTES = 4;
export const OPTION_HEAD_BYTES = 16;
export const REQUEST_BYTES = 28;
export const OPTION = { exportName: 1, abort: 2, info: 6, go: 7 } as const;
export const COMMAND = { read: 0, disconnect: 2, flush: 3 } as const;
export const ERROR = { invalid: 22, readOnly: 1 } as const;

const MAGIC = Buffer.from('NBDMAGICIHAVEOPT');
const OPTION_MAGIC = MAGIC.subarray(8);
const FIXED_NEWSTYLE_NO_ZEROES = 3;
const OPTION_REPLY_MAGIC = Buffer.from('0003e889045565a9', 'hex');
const REPLY = { ack: 1, info: 3, unsupported: 0x80000001 } as const;
const INFO_EXPORT = 0;
const HAS_FLAGS_READ_ONLY = 3;
const REQUEST_MAGIC = 0x25609513;
const ANSWER_MAGIC = 0x67446698;

export function greeting(): Buffer {
  const flags = Buffer.alloc(2);
  flags.writeUInt16BE(FIXED_NEWSTYLE_NO_ZEROES);
  return Buffer.concat([MAGIC, flags]);
}

/** Null: not an option. */
export function readOption(head: Buffer): { option: number; length: number } | null {
  return head.subarray(0, 8).equals(OPTION_MAGIC) ? { option: head.readUInt32BE(8), length: head.readUInt32BE(12) } : null;
}

function optionReply(option: number, reply: number, data = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(20);
  OPTION_REPLY_MAGIC.copy(head);
  head.writeUInt32BE(option, 8);
  head.writeUInt32BE(reply, 12);
  head.writeUInt32BE(data.length, 16);
  return Buffer.concat([head, data]);
}

export const acknowledged = (option: number): Buffer => optionReply(option, REPLY.ack);
export const unsupported = (option: number): Buffer => optionReply(option, REPLY.unsupported);

/** The answer to `info` and `go`. */
export function exportInfo(option: number, bytes: number): Buffer {
  const info = Buffer.alloc(12);
  info.writeUInt16BE(INFO_EXPORT, 0);
  info.writeBigUInt64BE(BigInt(bytes), 2);
  info.writeUInt16BE(HAS_FLAGS_READ_ONLY, 10);
  return Buffer.concat([optionReply(option, REPLY.info, info), acknowledged(option)]);
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

export function answer({ handle }: NbdRequest, error: number, data: readonly Buffer[] = []): Buffer {
  const head = Buffer.alloc(16);
  head.writeUInt32BE(ANSWER_MAGIC, 0);
  head.writeUInt32BE(error, 4);
  handle.copy(head, 8);
  return Buffer.concat([head, ...data]);
}
