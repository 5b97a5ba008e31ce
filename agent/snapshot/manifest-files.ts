/**
 * Manifests of one tenant's snapshots as files: each with a copy, so that damage to one of the two is mended as it is read, and those
 * of snapshots whose records are on their way from another host. Input: `StoreFiles`, a folder, the tenant's seal; output: manifests.
 * What is written is on the disk when a call resolves; what is removed, after `synced`.
 */
import { HeadroomError } from '../../shared/errors.ts';
import { decodeManifest, encodeManifest, type Manifest } from './manifest.ts';
import type { Seal } from './seal.ts';
import { isUnfinished, putDurably, readWhole, type StoreFiles } from './store-files.ts';

const MANIFEST_NAME = /^([0-9a-f]{64})\.manifest$/;
const COPY_NAME = /^([0-9a-f]{64})\.copy$/;
const ARRIVING_NAME = /^([0-9a-f]{64})\.arriving$/;
/** Table of a guest of 300 GiB. */
const MANIFEST_BYTES_MAX = 512 * 1024 * 1024;

export async function openManifestFiles(files: StoreFiles, folder: string, seal: Seal): Promise<ManifestFiles> {
  await files.makeFolder(folder);
  const names = await files.list(folder);
  // A copy is written before its manifest, and removed after it.
  const unfinished = (name: string): boolean => {
    const id = COPY_NAME.exec(name)?.[1];
    return isUnfinished(name) || (id !== undefined && !names.includes(`${id}.manifest`));
  };
  for (const name of names) if (unfinished(name)) await files.remove(`${folder}/${name}`);
  return new ManifestFiles(files, folder, seal);
}

export class ManifestFiles {
  readonly #files: StoreFiles;
  readonly #folder: string;
  readonly #seal: Seal;
  /** Ids of those of which one of the two files is not as it was written. */
  readonly #damaged = new Set<string>();

  constructor(files: StoreFiles, folder: string, seal: Seal) {
    this.#files = files;
    this.#folder = folder;
    this.#seal = seal;
  }

  get damaged(): number {
    return this.#damaged.size;
  }

  /** Ids. */
  list(): Promise<string[]> {
    return this.#named(MANIFEST_NAME);
  }

  /** Ids of snapshots of which not all has come. */
  arriving(): Promise<string[]> {
    return this.#named(ARRIVING_NAME);
  }

  /** Throws NOT_FOUND, or STORE_CORRUPT when neither file is what its id says. */
  async read(id: string): Promise<Manifest> {
    const [sealed, copy] = [await this.#whole(id, 'manifest'), await this.#whole(id, 'copy')];
    if (sealed === null) throw new HeadroomError('NOT_FOUND', `there is no snapshot ${id}`);
    const manifest = this.#decoded(id, copy === null ? [sealed] : [sealed, copy]);
    if (copy?.equals(sealed) !== true) this.#damaged.add(id);
    return manifest;
  }

  /** Throws STORE_CORRUPT as `read` does. */
  async readArriving(id: string): Promise<Manifest> {
    return this.#decoded(id, [(await this.#whole(id, 'arriving')) ?? Buffer.alloc(0)]);
  }

  sealed(manifest: Manifest): Buffer {
    return this.#seal.seal(Buffer.from(manifest.id, 'hex'), encodeManifest(manifest));
  }

  async write(manifest: Manifest): Promise<void> {
    const sealed = this.sealed(manifest);
    await putDurably(this.#files, this.#folder, `${manifest.id}.copy`, [sealed]);
    await putDurably(this.#files, this.#folder, `${manifest.id}.manifest`, [sealed]);
  }

  /** As known from before, or else as its source has it, and kept from now on: an agent that begins anew may find the other host away. */
  async adopt(id: string, source: (id: string) => Promise<Buffer>): Promise<Manifest> {
    const known = await this.#whole(id, 'arriving');
    const sealed = known ?? (await source(id));
    const manifest = this.#decoded(id, [sealed]);
    if (known === null) await putDurably(this.#files, this.#folder, `${id}.arriving`, [sealed]);
    return manifest;
  }

  /** All of it has come. */
  async arrived(manifest: Manifest): Promise<void> {
    await this.write(manifest);
    await this.#files.remove(this.#path(manifest.id, 'arriving'));
  }

  /** What was found damaged is written anew. */
  async mend(): Promise<void> {
    for (const id of this.#damaged) await this.write(await this.read(id));
    this.#damaged.clear();
  }

  async remove(id: string): Promise<void> {
    for (const kind of ['manifest', 'copy', 'arriving'] as const) await this.#files.remove(this.#path(id, kind));
    await this.synced();
    this.#damaged.delete(id);
  }

  /** One that was removed and not synced could be back after a power cut. */
  async synced(): Promise<void> {
    await this.#files.syncFolder(this.#folder);
  }

  async #named(kind: RegExp): Promise<string[]> {
    return (await this.#files.list(this.#folder)).flatMap((name) => kind.exec(name)?.[1] ?? []);
  }

  #whole(id: string, kind: Kind): Promise<Buffer | null> {
    return readWhole(this.#files, this.#path(id, kind));
  }

  #path(id: string, kind: Kind): string {
    return `${this.#folder}/${id}.${kind}`;
  }

  #decoded(id: string, copies: readonly Buffer[]): Manifest {
    for (const sealed of copies) {
      const bytes = this.#seal.open(Buffer.from(id, 'hex'), sealed, MANIFEST_BYTES_MAX);
      if (bytes !== null) return decodeManifest(this.#seal, id, bytes);
    }
    throw new HeadroomError('STORE_CORRUPT', `the manifest of snapshot ${id} is not what was written, or not this key's`);
  }
}

type Kind = 'manifest' | 'copy' | 'arriving';
