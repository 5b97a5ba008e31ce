/**
 * A file that stands for a disk: its space is taken when it is made, and it never changes its size. Input: path, size; output: reads and
 * writes by offset. Throws ENVIRONMENT.
 */
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { Copy } from './mirror.ts';

/** It holds a guest's memory, or its data. */
const OWNER_ONLY = 0o600;

export interface WholeFile extends Copy {
  close(): Promise<void>;
}

export interface WholeFileOptions {
  path: string;
  bytes: number;
  /** What may be there already: a new file takes its place; it must be there; it is made where there is none. */
  content: 'new' | 'kept' | 'kept-or-new';
  /** A write is done when it is on the disk. */
  durable: boolean;
}

export async function openWholeFile({ path, bytes, content, durable }: WholeFileOptions): Promise<WholeFile> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    if (content === 'new' || (content === 'kept-or-new' && !(await exists(path)))) await make(path, bytes);
    const file = await open(path, constants.O_RDWR | (durable ? constants.O_DSYNC : 0));
    if ((await file.stat()).size !== bytes) {
      await file.close();
      throw new Error(`it is not ${bytes} bytes long`);
    }
    return {
      async read(offset, length) {
        const data = Buffer.allocUnsafe(length);
        for (let at = 0; at < length; ) {
          const { bytesRead } = await file.read(data, at, length - at, offset + at);
          if (bytesRead === 0) throw new HeadroomError('STORE_CORRUPT', `${path} ends at ${offset + at}`);
          at += bytesRead;
        }
        return data;
      },
      async write(offset, data) {
        for (let at = 0; at < data.length; ) at += (await file.write(data, at, data.length - at, offset + at)).bytesWritten;
      },
      flush: () => file.datasync(),
      close: () => file.close(),
    };
  } catch (error) {
    throw new HeadroomError('ENVIRONMENT', `${path} (${bytes} bytes) cannot be kept: ${errorText(error)}`, { cause: error });
  }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Under another name until all of its space is there: half a file is never found. */
async function make(path: string, bytes: number): Promise<void> {
  const draft = `${path}.new`;
  await Promise.all([rm(path, { force: true }), rm(draft, { force: true })]);
  await (await open(draft, 'wx', OWNER_ONLY)).close();
  try {
    await promisify(execFile)('fallocate', ['--length', String(bytes), draft]);
    await rename(draft, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

/** A name is on the disk once its folder is. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder);
  await handle.sync().finally(() => handle.close());
}
