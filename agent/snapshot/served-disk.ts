/**
 * A disk that has not all come yet: an image that holds what its guest writes, above a socket where we serve its snapshot, whose chunks
 * come from another host as they are asked for. Input: the snapshot, paths; output: the image, and a server of what lies below it. A reader
 * that waits too long is told of an error: QEMU stops its guest then, rather than hang with it, and asks again when it goes on.
 */
import { chmod, chown, mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import { createAhead } from './chunks-ahead.ts';
import { IMAGE_MODE, type LaidImage, layImage } from './disk-capture.ts';
import { createOverlay } from './disk-image.ts';
import { FOLDER_MODE } from './memory-place.ts';
import { type NbdServer, serveNbd } from './nbd-server.ts';
import type { OpenSnapshot } from './snapshot-store.ts';

/** QEMU's monitor waits as long, when its guest is to be paused meanwhile; disks that are not virtio's are given up by guests after 30 s. */
const ANSWER_MS_MAX = 5000;

export interface ServedDiskOptions {
  snapshot: OpenSnapshot;
  socket: string;
  clock: Clock;
  /** Whom QEMU runs as, if not as whom we run. */
  owner?: { uid: number; gid: number };
  onStuck(chunk: number, problem: unknown): void;
}

export async function serveDisk({ snapshot, socket, clock, owner, onStuck }: ServedDiskOptions): Promise<NbdServer> {
  await mkdir(dirname(socket), { recursive: true, mode: FOLDER_MODE });
  await rm(socket, { force: true });
  const { chunk, given, answered } = createAhead(snapshot);
  const bytes = snapshot.manifest.facts.memoryBytes;
  const server = await serveNbd({ path: socket, bytes, clock, chunk, given, answered, onStuck, answerMsMax: ANSWER_MS_MAX });
  try {
    await chmod(socket, IMAGE_MODE);
    if (owner !== undefined) await chown(socket, owner.uid, owner.gid);
    return server;
  } catch (error) {
    await server.close();
    throw error;
  }
}

/** The image, with nothing in it yet. The socket must be served. Throws STORE_FULL when all of the disk would not find room there. */
export function layOverlay(snapshot: OpenSnapshot, path: string, socket: string, owner?: { uid: number; gid: number }): Promise<LaidImage> {
  // What is copied up from below is no change of the guest's: QEMU does not note it in the bitmap.
  return layImage(snapshot, path, owner, (part) => createOverlay(part, snapshot.manifest.facts.memoryBytes, socket));
}
