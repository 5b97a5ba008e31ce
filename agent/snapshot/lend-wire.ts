/**
 * What two host agents say to each other about a snapshot that one holds and the other brings back. Pure: questions and answers as
 * bytes. Many questions may be under way; each has a number, which its answer carries.
 */
/** Of a digest. Here again: what makes digests brings machine code along, which a host agent without a place for snapshots has not. */
const NAME_BYTES = 32;

/**
 * about: the VM, as JSON; manifest and record: as they are sealed; going: may the VM run on the asker's host; done: nothing more is
 * needed.
 */
export const QUESTIONS = ['about', 'manifest', 'record', 'going', 'done'] as const;
export type QuestionKind = (typeof QUESTIONS)[number];

export interface Question {
  kind: QuestionKind;
  number: number;
  /** Of a manifest or a record, hexadecimal; of `about` what the asker can do; else zeros. */
  name: string;
}

export const QUESTION_BYTES = 1 + 4 + NAME_BYTES;
export const ANSWER_HEAD_BYTES = 4 + 1 + 4;
export const NO_NAME = '0'.repeat(2 * NAME_BYTES);
/** Of `about`: the asker brings disks, too. One that does not would take another file of the same path for the VM's disk. */
export const DISKS_TOO = `${'0'.repeat(2 * NAME_BYTES - 2)}01`;

export interface AnswerHead {
  number: number;
  /** False: the bytes say why not. */
  granted: boolean;
  length: number;
}

export function questionBytes({ kind, number, name }: Question): Buffer {
  const bytes = Buffer.alloc(QUESTION_BYTES);
  bytes[0] = QUESTIONS.indexOf(kind);
  bytes.writeUInt32BE(number, 1);
  bytes.write(name, 5, 'hex');
  return bytes;
}

/** Null: not a question. */
export function readQuestion(bytes: Buffer): Question | null {
  const kind = QUESTIONS[bytes[0] as number];
  return kind === undefined ? null : { kind, number: bytes.readUInt32BE(1), name: bytes.toString('hex', 5, QUESTION_BYTES) };
}

export function answerHead({ number, granted, length }: AnswerHead): Buffer {
  const bytes = Buffer.alloc(ANSWER_HEAD_BYTES);
  bytes.writeUInt32BE(number, 0);
  bytes[4] = granted ? 1 : 0;
  bytes.writeUInt32BE(length, 5);
  return bytes;
}

export function readAnswerHead(bytes: Buffer): AnswerHead {
  return { number: bytes.readUInt32BE(0), granted: bytes[4] === 1, length: bytes.readUInt32BE(5) };
}
