/**
 * Reads the file that shows a guest's memory, in a process of its own. Who serves the chunks must not have that file open: a process that is
 * killed closes its files one by one, the kernel first writes back what the file has dirty, that waits for a chunk of the very process
 * that is ending, and nobody can end it or start another. Input: the file's path; output: ranges, given or only read, so that the
 * kernel holds them.
 *
 * QEMU's daemon tells a new time of change whenever it is asked, which a read does once a second, and the kernel then drops what it holds.
 * It takes what a change of the file's rights answers as it is: with the rights set to what they are before every few reads that are to be
 * held, no read asks.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { HeadroomError } from '../../shared/errors.ts';

/** What the kernel has in one request of FUSE's. */
export const READ_BYTES_MAX = 1024 * 1024;
const HEAD_BYTES = 4;
/** A line asks for `hold` or `give`, offset and length; the answer is the bytes read, and with `give` these. Sixteen reads are a tenth of a second. */
const READER = `
const fs = require('node:fs');
let fd = -1, rights = 0, reads = 0, rest = '';
const buffer = Buffer.alloc(${READ_BYTES_MAX});
const put = (bytes) => { for (let at = 0; at < bytes.length; ) at += fs.writeSync(1, bytes, at); };
const answer = (kind, offset, length) => {
  if (fd < 0) { fd = fs.openSync(process.argv[1], 'r'); rights = fs.fstatSync(fd).mode & 0o7777; }
  if (kind === 'hold' && reads++ % 16 === 0) fs.fchmodSync(fd, rights);
  const count = fs.readSync(fd, buffer, 0, length, offset);
  const head = Buffer.alloc(${HEAD_BYTES});
  head.writeUInt32LE(count);
  put(kind === 'give' ? Buffer.concat([head, buffer.subarray(0, count)]) : head);
};
process.stdin.on('data', (text) => {
  const lines = (rest + text).split('\\n');
  rest = lines.pop();
  for (const line of lines) { const [kind, offset, length] = line.split(' '); answer(kind, Number(offset), Number(length)); }
});
process.stdin.on('end', () => process.exit());
`;

export interface ShownFile {
  /** Answers how many of these bytes the kernel holds now. */
  hold(offset: number, length: number): Promise<number>;
  give(offset: number, length: number): Promise<Buffer>;
  close(): void;
}

interface Asked {
  bytes: 'none' | 'all';
  resolve(answer: { count: number; bytes: Buffer }): void;
  reject(error: unknown): void;
}

/** The file is opened with the first question. One question at a time and more are answered in turn. */
export function readShown(path: string): ShownFile {
  const child: ChildProcess = spawn(process.execPath, ['-e', READER, path], { stdio: ['pipe', 'pipe', 'ignore'] });
  const asked: Asked[] = [];
  let held: Buffer[] = [];
  let heldBytes = 0;
  let gone = false;
  const fail = (): void => {
    gone = true;
    for (const { reject } of asked.splice(0)) reject(new HeadroomError('ENVIRONMENT', `guest memory in ${path} cannot be read`));
  };
  const hear = (part: Buffer): void => {
    held.push(part);
    heldBytes += part.length;
    while (asked[0] !== undefined && heldBytes >= HEAD_BYTES) {
      const all = held.length === 1 ? (held[0] as Buffer) : Buffer.concat(held);
      held = [all];
      const count = all.readUInt32LE(0);
      const end = HEAD_BYTES + (asked[0].bytes === 'all' ? count : 0);
      if (heldBytes < end) return;
      held = [all.subarray(end)];
      heldBytes -= end;
      asked.shift()?.resolve({ count, bytes: all.subarray(HEAD_BYTES, end) });
    }
  };
  child.stdout?.on('data', hear);
  child.stdin?.on('error', fail);
  child.once('error', fail);
  child.once('exit', fail);
  const ask = (kind: 'hold' | 'give', offset: number, length: number): Promise<{ count: number; bytes: Buffer }> =>
    new Promise((resolve, reject) => {
      asked.push({ bytes: kind === 'give' ? 'all' : 'none', resolve, reject });
      if (gone) fail();
      else child.stdin?.write(`${kind} ${offset} ${length}\n`);
    });
  return {
    hold: async (offset, length) => (await ask('hold', offset, length)).count,
    async give(offset, length) {
      const parts: Buffer[] = [];
      for (let at = 0; at < length; at += READ_BYTES_MAX) {
        const wanted = Math.min(READ_BYTES_MAX, length - at);
        const { count, bytes } = await ask('give', offset + at, wanted);
        if (count !== wanted) throw new HeadroomError('ENVIRONMENT', `guest memory in ${path} ends at ${offset + at + count}`);
        parts.push(Buffer.from(bytes));
      }
      return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
    },
    close: () => void child.stdin?.end(),
  };
}
