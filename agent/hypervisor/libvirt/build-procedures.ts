/**
 * libvirt's procedures that make and end things: storage volumes, definitions, power. Numbers and layouts from the protocol's
 * facts. A connection in, typed calls out. Apart from `procedures.ts`, so that what allocates cannot do these by accident.
 */
import { type DomainRef, readDomain, uuidBytes } from './procedures.ts';
import type { RpcConnection } from './rpc-connection.ts';
import { createXdrWriter, type XdrReader, type XdrWriter } from './xdr.ts';

const PROCEDURE = {
  domainDefineXml: 11,
  domainLookupByName: 23,
  domainLookupByUuid: 24,
  storagePoolRefresh: 83,
  storagePoolLookupByName: 84,
  storagePoolGetInfo: 87,
  storageVolCreateXml: 93,
  storageVolDelete: 94,
  storageVolLookupByName: 95,
  storageVolGetInfo: 98,
  storageVolGetPath: 100,
  domainCreateWithFlags: 196,
  domainUndefineFlags: 231,
  domainDestroyFlags: 234,
  domainShutdownFlags: 258,
  domainSetMetadata: 264,
  storagePoolListAllVolumes: 282,
  domainInterfaceAddresses: 353,
} as const;
const UUID_BYTES = 16;
/** virDomainMetadataType and virDomainModificationImpact. */
const METADATA_ELEMENT = 2;
const CONFIG = 2;
/** virDomainUndefineFlags: what libvirt keeps beside the definition goes with it (saved memory, snapshots' and checkpoints' metadata, NVRAM). */
const UNDEFINE_ALL = 1 + 2 + 4 + 16;
/** Test driver and older daemons know fewer. */
const UNDEFINE_SAVED = 1 + 2;
/** virDomainShutdownFlagValues. */
export const SHUTDOWN_ACPI = 1;
export const SHUTDOWN_GUEST_AGENT = 2;
export const POOL_RUNNING = 2;
/** virDomainInterfaceAddressesSource: by libvirt's own DHCP servers, not by the guest agent's word (1). */
const ADDRESSES_OF_LEASES = 0;
/** Length of a name, no hardware address, a count. */
const INTERFACE_BYTES_MIN = 12;
/** Type, length of the text, prefix. */
const ADDRESS_BYTES_MIN = 12;
/** A volume over an image of gigabytes is made in milliseconds; a pool on a network may take longer. */
const STORAGE_DEADLINE_MS = 60_000;
/** Starting a domain waits for QEMU to come up. */
const START_DEADLINE_MS = 60_000;

export interface PoolRef {
  name: string;
  uuid: Uint8Array;
}

export interface VolumeRef {
  pool: string;
  name: string;
  key: string;
}

const readPool = (reader: XdrReader): PoolRef => ({ name: reader.string(), uuid: Uint8Array.from(reader.opaque(UUID_BYTES)) });
const readVolume = (reader: XdrReader): VolumeRef => ({ pool: reader.string(), name: reader.string(), key: reader.string() });
function readInterface(reader: XdrReader): string[] {
  reader.string();
  // A hardware address, if it has one.
  if (reader.u32() !== 0) reader.string();
  return Array.from({ length: reader.arrayLength(ADDRESS_BYTES_MIN) }, () => {
    reader.i32();
    const address = reader.string();
    reader.u32();
    return address;
  });
}
/** Two strings and a key, each at least its length. */
const VOLUME_BYTES_MIN = 12;

export type BuildApi = ReturnType<typeof createBuildApi>;

export function createBuildApi(connection: RpcConnection, deadlineMs: number) {
  const call = (procedure: number, writer: XdrWriter, otherDeadlineMs = deadlineMs): Promise<XdrReader> =>
    connection.call({ procedure, payload: writer.bytes(), deadlineMs: otherDeadlineMs });
  const ofPool = ({ name, uuid }: PoolRef): XdrWriter => createXdrWriter().string(name).opaque(uuid);
  const ofVolume = ({ pool, name, key }: VolumeRef): XdrWriter => createXdrWriter().string(pool).string(name).string(key);
  const ofDomain = ({ name, uuid }: DomainRef): XdrWriter => createXdrWriter().string(name).opaque(uuidBytes(uuid)).i32(-1);
  return {
    async pool(name: string): Promise<PoolRef> {
      return readPool(await call(PROCEDURE.storagePoolLookupByName, createXdrWriter().string(name)));
    },
    async poolInfo(pool: PoolRef): Promise<{ state: number; availableBytes: number }> {
      const reader = await call(PROCEDURE.storagePoolGetInfo, ofPool(pool));
      const state = reader.i32();
      // Capacity and allocation come before.
      reader.u64();
      reader.u64();
      return { state, availableBytes: reader.u64() };
    },
    async refreshPool(pool: PoolRef): Promise<void> {
      await call(PROCEDURE.storagePoolRefresh, ofPool(pool).u32(0), STORAGE_DEADLINE_MS);
    },
    async volumes(pool: PoolRef): Promise<VolumeRef[]> {
      const reader = await call(PROCEDURE.storagePoolListAllVolumes, ofPool(pool).i32(1).u32(0), STORAGE_DEADLINE_MS);
      return Array.from({ length: reader.arrayLength(VOLUME_BYTES_MIN) }, () => readVolume(reader));
    },
    async volume(pool: PoolRef, name: string): Promise<VolumeRef> {
      return readVolume(await call(PROCEDURE.storageVolLookupByName, ofPool(pool).string(name)));
    },
    async volumePath(volume: VolumeRef): Promise<string> {
      return (await call(PROCEDURE.storageVolGetPath, ofVolume(volume))).string();
    },
    async volumeCapacityBytes(volume: VolumeRef): Promise<number> {
      const reader = await call(PROCEDURE.storageVolGetInfo, ofVolume(volume));
      reader.i32();
      return reader.u64();
    },
    async createVolume(pool: PoolRef, xml: string): Promise<VolumeRef> {
      return readVolume(await call(PROCEDURE.storageVolCreateXml, ofPool(pool).string(xml).u32(0), STORAGE_DEADLINE_MS));
    },
    async deleteVolume(volume: VolumeRef): Promise<void> {
      await call(PROCEDURE.storageVolDelete, ofVolume(volume).u32(0), STORAGE_DEADLINE_MS);
    },
    async domainByUuid(uuid: string): Promise<DomainRef> {
      return readDomain(await call(PROCEDURE.domainLookupByUuid, createXdrWriter().opaque(uuidBytes(uuid))));
    },
    async domainByName(name: string): Promise<DomainRef> {
      return readDomain(await call(PROCEDURE.domainLookupByName, createXdrWriter().string(name)));
    },
    async define(xml: string): Promise<DomainRef> {
      return readDomain(await call(PROCEDURE.domainDefineXml, createXdrWriter().string(xml)));
    },
    async start(domain: DomainRef): Promise<void> {
      await call(PROCEDURE.domainCreateWithFlags, ofDomain(domain).u32(0), START_DEADLINE_MS);
    },
    /** Of all its interfaces, as text. */
    async leasedAddresses(domain: DomainRef): Promise<string[]> {
      const reader = await call(PROCEDURE.domainInterfaceAddresses, ofDomain(domain).u32(ADDRESSES_OF_LEASES).u32(0));
      return Array.from({ length: reader.arrayLength(INTERFACE_BYTES_MIN) }, () => readInterface(reader)).flat();
    },
    /** In the persistent definition; `xml` null takes it off. */
    async setMetadata(domain: DomainRef, xml: string | null, key: string, namespace: string): Promise<void> {
      const asked = ofDomain(domain).i32(METADATA_ELEMENT).optionalString(xml).optionalString(key).optionalString(namespace);
      await call(PROCEDURE.domainSetMetadata, asked.u32(CONFIG));
    },
    async shutdown(domain: DomainRef, flags: number): Promise<void> {
      await call(PROCEDURE.domainShutdownFlags, ofDomain(domain).u32(flags));
    },
    async destroy(domain: DomainRef): Promise<void> {
      await call(PROCEDURE.domainDestroyFlags, ofDomain(domain).u32(0), START_DEADLINE_MS);
    },
    async undefine(domain: DomainRef, all: boolean): Promise<void> {
      await call(PROCEDURE.domainUndefineFlags, ofDomain(domain).u32(all ? UNDEFINE_ALL : UNDEFINE_SAVED));
    },
  };
}
