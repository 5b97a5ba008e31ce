/**
 * Disk space of this host as what is lent: a file per VM, which outlives connections, restarts and returns: what lies there is the VM's
 * data, and goes only when somebody removes the file. A write is done when it is on the disk: a guest whose disk's other end is started
 * again knows nothing of it, and would not write again what it was told is written. Input: folder, size; output: the bytes.
 */
import { randomUUID } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HeadroomError } from '../../shared/errors.ts';
import type { LentBytes } from './lender.ts';
import { openWholeFile, syncFolder, type WholeFile } from './whole-file.ts';

export const STORAGE_SUFFIX = '.storage';

export class LentStorage implements LentBytes {
  readonly #folder: string;
  readonly #bytes: number;
  #open: { name: string; file: WholeFile; disk: string } | null = null;

  constructor(folder: string, bytes: number) {
    this.#folder = folder;
    this.#bytes = bytes;
  }

  async open(name: string): Promise<string> {
    if (this.#open?.name === name) return this.#open.disk;
    await this.close();
    const path = join(this.#folder, `${name}${STORAGE_SUFFIX}`);
    const file = await openWholeFile({ path, bytes: this.#bytes, content: 'kept-or-new', durable: true });
    this.#open = { name, file, disk: await idBeside(path) };
    return this.#open.disk;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    return this.#file.read(offset, length);
  }

  async write(offset: number, data: Buffer): Promise<void> {
    await this.#file.write(offset, data);
  }

  async flush(): Promise<void> {
    await this.#file.flush();
  }

  async close(): Promise<void> {
    const open = this.#open;
    this.#open = null;
    await open?.file.close();
  }

  get #file(): WholeFile {
    if (this.#open === null) throw new HeadroomError('CONNECTION_CLOSED', 'nobody borrows it');
    return this.#open.file;
  }
}

/** A random name in a file of its own, so that the folder may be moved: a disk made anew in its place has another. */
async function idBeside(path: string): Promise<string> {
  const file = `${path}.id`;
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch {
    const id = randomUUID();
    await writeFile(`${file}.new`, `${id}\n`, { mode: 0o600, flush: true });
    await rename(`${file}.new`, file);
    await syncFolder(dirname(file));
    return id;
  }
}
