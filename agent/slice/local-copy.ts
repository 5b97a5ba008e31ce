/**
 * The copy of a borrowed slice that is always whole: a file of this host. Its space is taken at once: a disk that fills up later would
 * stop the guest at a write it cannot go without. Input: folder, VM, size; output: reads and writes by offset. Throws ENVIRONMENT.
 */
import { execFile } from 'node:child_process';
import { mkdir, open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import type { Copy } from './mirror.ts';

/** It holds a guest's memory. */
const OWNER_ONLY = 0o600;

export const storePath = (folder: string, vm: VmId): string => join(folder, `${vm}.slice`);

export interface LocalCopy extends Copy {
  close(): Promise<void>;
}

/** `kept`: what an earlier process wrote is still wanted. */
export async function openLocalCopy(path: string, bytes: number, kept: boolean): Promise<LocalCopy> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    if (!kept) {
      await rm(path, { force: true });
      await (await open(path, 'wx', OWNER_ONLY)).close();
      await promisify(execFile)('fallocate', ['--length', String(bytes), path]);
    }
    const file = await open(path, 'r+');
    if ((await file.stat()).size !== bytes) throw new Error(`it is not ${bytes} bytes long`);
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
    throw new HeadroomError('ENVIRONMENT', `the local copy ${path} (${bytes} bytes) cannot be kept: ${errorText(error)}`, { cause: error });
  }
}
