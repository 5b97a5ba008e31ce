/**
 * libvirt's procedures that stop, save and bring back a guest: numbers and layouts from the protocol's facts, QEMU's own monitor
 * among them. A connection in, typed calls out. Apart from `procedures.ts`, so that what allocates cannot do these by accident.
 */
import { HeadroomError } from '../../../shared/errors.ts';
import { type DomainRef, readDomain, uuidBytes } from './procedures.ts';
import { QEMU_PROGRAM, type RpcConnection } from './rpc-connection.ts';
import { createXdrWriter, type XdrReader, type XdrWriter } from './xdr.ts';

const PROCEDURE = {
  domainCreateXml: 10,
  domainDefineXml: 11,
  domainLookupByUuid: 24,
  domainResume: 28,
  domainSuspend: 34,
  domainManagedSave: 182,
  domainHasManagedSaveImage: 183,
  domainCreateWithFlags: 196,
  domainUndefineFlags: 231,
  domainDestroyFlags: 234,
  domainGetBlockJobInfo: 238,
  domainBlockPull: 240,
  domainSetTime: 338,
  domainManagedSaveGetXml: 388,
  domainManagedSaveDefineXml: 389,
} as const;
/** Of the QEMU program. */
const MONITOR_COMMAND = 1;
/** virDomainCreateFlags. */
const START_PAUSED = 1;
/** virDomainSaveImageXMLFlags: secrets too. */
const SAVED_XML_WHOLE = 1;
/** virDomainUndefineFlags: metadata of libvirt's own snapshots and checkpoints goes, the firmware's variables stay. */
const UNDEFINE_MOVED = 2 + 8 + 16;
/** Starting QEMU takes a second, a restore by libvirt as long as reading the guest's memory does. */
const START_DEADLINE_MS = 60_000;
/** Writing and reading the whole memory of a large guest on a slow disk. */
const SAVE_DEADLINE_MS = 600_000;
/** libvirt gives a guest's agent five seconds to show that it listens. */
const AGENT_DEADLINE_MS = 15_000;

export type SnapshotApi = ReturnType<typeof createSnapshotApi>;

export function createSnapshotApi(connection: RpcConnection, deadlineMs: number) {
  const call = (procedure: number, writer: XdrWriter, otherDeadlineMs = deadlineMs): Promise<XdrReader> =>
    connection.call({ procedure, payload: writer.bytes(), deadlineMs: otherDeadlineMs });
  const ofDomain = ({ name, uuid }: DomainRef): XdrWriter => createXdrWriter().string(name).opaque(uuidBytes(uuid)).i32(-1);
  return {
    async domainByUuid(uuid: string): Promise<DomainRef> {
      return readDomain(await call(PROCEDURE.domainLookupByUuid, createXdrWriter().opaque(uuidBytes(uuid))));
    },
    /** Starts a domain from a definition of the moment, paused; one that is defined persistently keeps that definition. */
    async createPaused(xml: string): Promise<DomainRef> {
      return readDomain(await call(PROCEDURE.domainCreateXml, createXdrWriter().string(xml).u32(START_PAUSED), START_DEADLINE_MS));
    },
    async define(xml: string): Promise<DomainRef> {
      return readDomain(await call(PROCEDURE.domainDefineXml, createXdrWriter().string(xml)));
    },
    async undefine(domain: DomainRef): Promise<void> {
      await call(PROCEDURE.domainUndefineFlags, ofDomain(domain).u32(UNDEFINE_MOVED));
    },
    async suspend(domain: DomainRef): Promise<void> {
      await call(PROCEDURE.domainSuspend, ofDomain(domain));
    },
    async resume(domain: DomainRef): Promise<void> {
      await call(PROCEDURE.domainResume, ofDomain(domain));
    },
    async destroy(domain: DomainRef): Promise<void> {
      await call(PROCEDURE.domainDestroyFlags, ofDomain(domain).u32(0), START_DEADLINE_MS);
    },
    async managedSave(domain: DomainRef): Promise<void> {
      await call(PROCEDURE.domainManagedSave, ofDomain(domain).u32(0), SAVE_DEADLINE_MS);
    },
    async hasManagedSave(domain: DomainRef): Promise<boolean> {
      return (await call(PROCEDURE.domainHasManagedSaveImage, ofDomain(domain).u32(0))).i32() !== 0;
    },
    /** The definition that what libvirt saved of it will be started with. */
    async savedXml(domain: DomainRef): Promise<string> {
      return (await call(PROCEDURE.domainManagedSaveGetXml, ofDomain(domain).u32(SAVED_XML_WHOLE))).string();
    },
    async defineSaved(domain: DomainRef, xml: string): Promise<void> {
      await call(PROCEDURE.domainManagedSaveDefineXml, ofDomain(domain).optionalString(xml).u32(0));
    },
    /** Starts it as it is defined; what libvirt saved of it is restored. */
    async start(domain: DomainRef): Promise<void> {
      await call(PROCEDURE.domainCreateWithFlags, ofDomain(domain).u32(0), SAVE_DEADLINE_MS);
    },
    /** Begins to copy into a disk's image all that it reads from those below it; once it has, it stands alone. */
    async blockPull(domain: DomainRef, target: string): Promise<void> {
      await call(PROCEDURE.domainBlockPull, ofDomain(domain).string(target).u64(0).u32(0));
    },
    async blockJobActive(domain: DomainRef, target: string): Promise<boolean> {
      return (await call(PROCEDURE.domainGetBlockJobInfo, ofDomain(domain).string(target).u32(0))).i32() !== 0;
    },
    /** By the guest's own agent (QEMU's), which has to be there. */
    async setTime(domain: DomainRef, wallMs: number): Promise<void> {
      const nanoseconds = (wallMs % 1000) * 1e6;
      await call(
        PROCEDURE.domainSetTime,
        ofDomain(domain)
          .i64(Math.floor(wallMs / 1000))
          .u32(Math.floor(nanoseconds))
          .u32(0),
        AGENT_DEADLINE_MS,
      );
    },
    /** One command of QEMU's monitor. Throws HYPERVISOR_REFUSED with QEMU's words when it answers an error. */
    async monitor(domain: DomainRef, execute: string, parameters: Record<string, unknown> = {}): Promise<unknown> {
      const command = JSON.stringify({ execute, arguments: parameters });
      const payload = ofDomain(domain).string(command).u32(0).bytes();
      const answer = await connection.call({ program: QEMU_PROGRAM, procedure: MONITOR_COMMAND, payload, deadlineMs });
      return monitorResult(execute, answer.string());
    },
  };
}

function monitorResult(execute: string, text: string): unknown {
  const answer = JSON.parse(text) as { return?: unknown; error?: { class?: string; desc?: string } };
  if (answer.error !== undefined) {
    throw new HeadroomError('HYPERVISOR_REFUSED', `QEMU refused ${execute}: ${answer.error.desc ?? 'no reason'}`);
  }
  return answer.return;
}
