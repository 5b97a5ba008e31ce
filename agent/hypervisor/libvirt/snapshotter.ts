/**
 * The snapshotter's seam over libvirt and QEMU's monitor, by a connection of its own. The capability that leaves shared memory out
 * of QEMU's stream is on only while one of our own streams runs: libvirt does not know it, and what it saved meanwhile would lack
 * the memory. See `VmSnapshotter` for what each call means.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, sleep } from '../../../shared/clock.ts';
import { HeadroomError } from '../../../shared/errors.ts';
import type { VmId } from '../../../shared/ids.ts';
import type { GuestMachine, SnapshotSupport, VmSnapshotter } from '../snapshotter.ts';
import type { LibvirtOptions } from './adapter.ts';
import { incomingXml, machineTypeOf, memoryFileOf, ownMemoryXml } from './memory-file-xml.ts';
import { type OwnSession, openOwnSession } from './own-session.ts';
import { type DomainRef, type LibvirtApi, XML_INACTIVE } from './procedures.ts';
import { LIBVIRT_NO_DOMAIN, LibvirtError } from './rpc-errors.ts';
import { createSnapshotApi, type SnapshotApi } from './snapshot-procedures.ts';
import { receiveState, sendState } from './state-stream.ts';

/** virDomainXMLFlags: secrets too, and in the form libvirt starts from elsewhere. */
const XML_TO_START = 1 + 8;
const STREAM_DEADLINE_MS = 30_000;
const POLL_MS = 2;
/** virDomainState. */
const PAUSED = 3;
/** No state, shut off, crashed. */
const OFF: readonly number[] = [0, 5, 6];

export interface LibvirtSnapshotterOptions extends LibvirtOptions {
  /** For sockets that QEMU connects to: its user must be able to reach into it. */
  socketFolder: string;
}

export function createLibvirtSnapshotter(options: LibvirtSnapshotterOptions): VmSnapshotter {
  return new LibvirtSnapshotter(options);
}

interface Apis {
  read: LibvirtApi;
  snapshot: SnapshotApi;
}

class LibvirtSnapshotter implements VmSnapshotter {
  readonly #session: OwnSession;
  readonly #clock: Clock;
  readonly #socketFolder: string;

  constructor(options: LibvirtSnapshotterOptions) {
    this.#clock = options.clock;
    this.#socketFolder = options.socketFolder;
    this.#session = openOwnSession(options);
  }

  async inspect(id: VmId): Promise<SnapshotSupport> {
    const { read, snapshot } = await this.#apis();
    const domain = await snapshot.domainByUuid(id);
    const domainXml = await read.xml(domain, XML_TO_START);
    const memory = memoryFileOf(domainXml);
    if (memory === null)
      return { recipe: 'managed-save', reason: 'its memory does not lie in a file: its definition does not ask for that' };
    const lacking = await this.#lacking(snapshot, domain);
    if (lacking !== null) return { recipe: 'managed-save', reason: lacking };
    const { qemu } = (await snapshot.monitor(domain, 'query-version')) as { qemu: { major: number; minor: number; micro: number } };
    return {
      recipe: 'memory-file',
      memoryPath: memory.path,
      memoryBytes: memory.memoryBytes,
      machine: { qemuVersion: `${qemu.major}.${qemu.minor}.${qemu.micro}`, machineType: machineTypeOf(domainXml), domainXml },
    };
  }

  async definition(id: VmId): Promise<string | null> {
    const { read, snapshot } = await this.#apis();
    try {
      return await read.xml(await snapshot.domainByUuid(id), XML_INACTIVE + XML_TO_START);
    } catch (error) {
      if (error instanceof LibvirtError && error.libvirtCode === LIBVIRT_NO_DOMAIN) return null;
      throw error;
    }
  }

  async define(id: VmId, xml: string): Promise<void> {
    const { snapshot } = await this.#apis();
    const { uuid } = await snapshot.define(xml);
    if (uuid !== id) throw refused(`the definition is of VM ${uuid}, not of ${id}`);
  }

  async undefine(id: VmId): Promise<void> {
    const { snapshot } = await this.#apis();
    await snapshot.undefine(await snapshot.domainByUuid(id));
  }

  async power(id: VmId): Promise<'running' | 'paused' | 'off'> {
    const { read, snapshot } = await this.#apis();
    const { state } = await read.info(await snapshot.domainByUuid(id));
    return state === PAUSED ? 'paused' : OFF.includes(state) ? 'off' : 'running';
  }

  async cpuMs(id: VmId): Promise<number> {
    const { read, snapshot } = await this.#apis();
    return (await read.info(await snapshot.domainByUuid(id))).cpuTimeNs / 1e6;
  }

  async hasSaved(id: VmId): Promise<boolean> {
    const { snapshot } = await this.#apis();
    return snapshot.hasManagedSave(await snapshot.domainByUuid(id));
  }

  async calmDown(id: VmId): Promise<void> {
    const { snapshot } = await this.#apis();
    const domain = await snapshot.domainByUuid(id);
    await snapshot.monitor(domain, 'migrate_cancel');
    await this.#leaveOutSharedMemory(domain, false);
  }

  async pause(id: VmId): Promise<void> {
    const { snapshot } = await this.#apis();
    await snapshot.suspend(await snapshot.domainByUuid(id));
  }

  async goOn(id: VmId): Promise<void> {
    const { snapshot } = await this.#apis();
    await snapshot.resume(await snapshot.domainByUuid(id));
  }

  async deviceState(id: VmId): Promise<Buffer> {
    const { read, snapshot } = await this.#apis();
    const domain = await snapshot.domainByUuid(id);
    if ((await read.info(domain)).state !== PAUSED) throw refused(`VM ${id} is not paused: its state would not be of one moment`);
    return this.#withSocket((path) =>
      this.#withoutSharedMemory(domain, async () => {
        const begin = async (): Promise<void> => void (await snapshot.monitor(domain, 'migrate', { uri: `unix:${path}` }));
        const state = await receiveState(path, this.#clock, STREAM_DEADLINE_MS, begin);
        await this.#streamEnded(snapshot, domain);
        return state;
      }),
    );
  }

  async end(id: VmId): Promise<void> {
    const { snapshot } = await this.#apis();
    await snapshot.destroy(await snapshot.domainByUuid(id));
  }

  async prepare(id: VmId, machine: GuestMachine, memoryPath: string): Promise<void> {
    const { snapshot } = await this.#apis();
    const domain = await snapshot.createPaused(incomingXml(machine.domainXml, memoryPath, randomUUID()));
    if (domain.uuid !== id) {
      await snapshot.destroy(domain);
      throw refused(`the definition is of VM ${domain.uuid}, not of ${id}`);
    }
  }

  async loadState(id: VmId, state: Buffer): Promise<void> {
    const { snapshot } = await this.#apis();
    const domain = await snapshot.domainByUuid(id);
    await this.#withSocket((path) =>
      this.#withoutSharedMemory(domain, async () => {
        await snapshot.monitor(domain, 'migrate-incoming', { uri: `unix:${path}` });
        await sendState(path, state, this.#clock, STREAM_DEADLINE_MS);
        await this.#streamEnded(snapshot, domain);
      }),
    );
  }

  async setClock(id: VmId, wallMs: number): Promise<void> {
    const { snapshot } = await this.#apis();
    await snapshot.setTime(await snapshot.domainByUuid(id), wallMs);
  }

  async save(id: VmId): Promise<void> {
    const { snapshot } = await this.#apis();
    const domain = await snapshot.domainByUuid(id);
    await snapshot.managedSave(domain);
    // It is saved either way; `restore` tries again, and tells what is wrong.
    await this.#ontoOwnMemory(domain).catch(() => undefined);
  }

  async restore(id: VmId): Promise<void> {
    const { snapshot } = await this.#apis();
    const domain = await snapshot.domainByUuid(id);
    if (!(await snapshot.hasManagedSave(domain))) throw refused(`libvirt holds nothing saved of VM ${id}: it would boot anew`);
    await this.#ontoOwnMemory(domain);
    await snapshot.start(domain);
  }

  async close(): Promise<void> {
    this.#session.close();
  }

  /** What libvirt saved of a guest that was shown its memory elsewhere begins where its definition has it: what showed it ends with it. */
  async #ontoOwnMemory(domain: DomainRef): Promise<void> {
    const { read, snapshot } = await this.#apis();
    const own = memoryFileOf(await read.xml(domain, XML_INACTIVE + XML_TO_START));
    const saved = await snapshot.savedXml(domain);
    const shown = memoryFileOf(saved);
    if (own === null || shown === null || shown.path === own.path) return;
    await snapshot.defineSaved(domain, ownMemoryXml(saved, own.path));
  }

  /** In words; null = QEMU has what is needed. */
  async #lacking(snapshot: SnapshotApi, domain: DomainRef): Promise<string | null> {
    const known = (await snapshot.monitor(domain, 'query-migrate-capabilities')) as { capability: string }[];
    return known.some(({ capability }) => capability === 'x-ignore-shared')
      ? null
      : 'this QEMU cannot leave shared memory out of its stream';
  }

  async #withoutSharedMemory<T>(domain: DomainRef, work: () => Promise<T>): Promise<T> {
    const set = (state: boolean): Promise<unknown> => this.#leaveOutSharedMemory(domain, state);
    await set(true);
    const done = await work().catch(async (error: unknown) => {
      // A QEMU that is gone cannot be told any more: what broke first is what counts.
      await set(false).catch(() => undefined);
      throw error;
    });
    await set(false);
    return done;
  }

  async #leaveOutSharedMemory(domain: DomainRef, state: boolean): Promise<unknown> {
    const { snapshot } = await this.#apis();
    return snapshot.monitor(domain, 'migrate-set-capabilities', { capabilities: [{ capability: 'x-ignore-shared', state }] });
  }

  async #withSocket<T>(work: (path: string) => Promise<T>): Promise<T> {
    const folder = await mkdtemp(join(this.#socketFolder, 'state-'));
    try {
      return await work(join(folder, 's'));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async #streamEnded(snapshot: SnapshotApi, domain: DomainRef): Promise<void> {
    const untilMs = this.#clock.monotonicMs() + STREAM_DEADLINE_MS;
    while (this.#clock.monotonicMs() < untilMs) {
      const answer = (await snapshot.monitor(domain, 'query-migrate')) as { status?: string; 'error-desc'?: string };
      if (answer.status === 'completed') return;
      if (answer.status === 'failed' || answer.status === 'cancelled') {
        throw refused(`QEMU's stream ${answer.status}: ${answer['error-desc'] ?? 'no reason given'}`);
      }
      await sleep(this.#clock, POLL_MS);
    }
    throw refused(`QEMU's stream did not end within ${STREAM_DEADLINE_MS} ms`);
  }

  async #apis(): Promise<Apis> {
    const read = await this.#session.api();
    return { read, snapshot: createSnapshotApi(read.connection, this.#session.callDeadlineMs) };
  }
}

const refused = (message: string): HeadroomError => new HeadroomError('HYPERVISOR_REFUSED', message);
