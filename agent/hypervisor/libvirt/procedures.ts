/**
 * libvirt's procedures as functions: numbers, argument layouts and answers, written from the protocol's facts. A connection
 * in, typed calls out; every call takes the connection's deadline unless told otherwise. Unknown procedures come back as
 * HYPERVISOR_UNSUPPORTED: the protocol only ever grows.
 */
import type { VmId } from '../../../shared/ids.ts';
import { QEMU_PROGRAM, type RpcConnection } from './rpc-connection.ts';
import { type Params, readParams, type TypedParam, writeParams } from './typed-params.ts';
import { createXdrWriter, type XdrReader, type XdrWriter } from './xdr.ts';

const PROCEDURE = {
  connectOpen: 1,
  connectGetVersion: 4,
  nodeGetInfo: 6,
  connectGetCapabilities: 7,
  domainGetXmlDesc: 14,
  domainGetInfo: 16,
  connectSupportsFeature: 60,
  authList: 66,
  authPolkit: 70,
  domainIsPersistent: 151,
  connectGetLibVersion: 157,
  domainMemoryStats: 159,
  domainGetJobInfo: 163,
  domainUpdateDeviceFlags: 174,
  nwfilterLookupByName: 175,
  nwfilterDefineXml: 180,
  domainSetMemoryFlags: 204,
  domainSetSchedulerParametersFlags: 219,
  domainGetSchedulerParametersFlags: 223,
  nodeGetMemoryStats: 228,
  domainReset: 245,
  domainSetBlockIoTune: 252,
  domainGetBlockIoTune: 253,
  domainSetInterfaceParameters: 256,
  domainGetInterfaceParameters: 257,
  domainSetMetadata: 264,
  domainGetMetadata: 265,
  domainSetMemoryStatsPeriod: 308,
  connectDomainEventCallbackRegisterAny: 316,
  connectGetAllDomainStats: 344,
} as const;
/** Of the QEMU program. */
const QEMU_MONITOR_EVENT_REGISTER = 4;

/** virDomainModificationImpact and virTypedParameterFlags. */
const LIVE = 1;
const STRING_OKAY = 4;
export const XML_INACTIVE = 2;
const METADATA_ELEMENT = 2;
/** virConnectGetAllDomainStatsFlags. */
export const STATS_ACTIVE = 1;
export const STATS_NOWAIT = 2 ** 29;
/** virDrvFeature: keepalive of the program, callbacks per event registration. */
const FEATURE_KEEPALIVE = 10;
const FEATURE_EVENT_CALLBACKS = 14;
const AUTH_NONE = 0;
const AUTH_POLKIT = 2;
const CONNECT_READ_ONLY = 1;
/** Servers refuse more than 16 for these two calls. */
const SCHEDULER_PARAMS_MAX = 16;
const INTERFACE_PARAMS_MAX = 16;
const UUID_BYTES = 16;
const ALL_CELLS = -1;
/** virDomainMemoryStatTags: kinds a daemon may tell, the balloon's size among them, and a tag with a 64-bit value. */
const DOMAIN_MEMORY_STATS_MAX = 64;
const ACTUAL_BALLOON = 6;
const DOMAIN_MEMORY_STAT_BYTES = 12;
/** Name's length and a 64-bit value. */
const MEMORY_STAT_BYTES_MIN = 12;
/** Name, UUID, id and a parameter count. */
const STATS_RECORD_BYTES_MIN = 28;

export interface DomainRef {
  name: string;
  uuid: VmId;
}

export interface DomainInfo {
  state: number;
  maxMemoryKib: number;
  memoryKib: number;
  vcpus: number;
  /** Of its process so far. */
  cpuTimeNs: number;
}

export interface NodeInfo {
  architecture: string;
  memoryKib: number;
  cpus: number;
}

export interface StatsRecord {
  domain: DomainRef;
  params: Params;
}

export function uuidBytes(uuid: string): Uint8Array {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex');
}

export function readDomain(reader: XdrReader): DomainRef {
  const name = reader.string();
  const hex = Buffer.from(reader.opaque(UUID_BYTES)).toString('hex');
  reader.i32();
  const uuid = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
  return { name, uuid: uuid as VmId };
}

/** The daemon finds domains by UUID alone; name and id are for its messages. */
function writeDomain(writer: XdrWriter, domain: DomainRef): XdrWriter {
  return writer.string(domain.name).opaque(uuidBytes(domain.uuid)).i32(-1);
}

export type LibvirtApi = ReturnType<typeof createLibvirtApi>;

export function createLibvirtApi(connection: RpcConnection, deadlineMs: number) {
  const call = (procedure: number, writer?: XdrWriter, otherDeadlineMs?: number): Promise<XdrReader> =>
    connection.call({ procedure, payload: writer?.bytes() ?? new Uint8Array(), deadlineMs: otherDeadlineMs ?? deadlineMs });
  const domainCall = (procedure: number, domain: DomainRef, more: (writer: XdrWriter) => XdrWriter): Promise<XdrReader> =>
    connection.call({
      procedure,
      payload: more(writeDomain(createXdrWriter(), domain)).bytes(),
      deadlineMs,
      domain: domain.uuid,
    });
  return {
    connection,
    ...connectionCalls(connection, call, deadlineMs),
    ...readCalls(domainCall),
    ...writeCalls(domainCall),
  };
}

type Call = (procedure: number, writer?: XdrWriter, otherDeadlineMs?: number) => Promise<XdrReader>;
type DomainCall = (procedure: number, domain: DomainRef, more: (writer: XdrWriter) => XdrWriter) => Promise<XdrReader>;

function connectionCalls(connection: RpcConnection, call: Call, deadlineMs: number) {
  const supports = async (feature: number): Promise<boolean> => {
    const reader = await call(PROCEDURE.connectSupportsFeature, createXdrWriter().i32(feature));
    return reader.i32() !== 0;
  };
  return {
    /** Opening sequence: authenticate, agree on features, open the driver. Returns whether event callbacks are offered. */
    async open(uri: string, readOnly: boolean, openDeadlineMs: number): Promise<boolean> {
      const auth = await call(PROCEDURE.authList, undefined, openDeadlineMs);
      const kinds = Array.from({ length: auth.arrayLength(4) }, () => auth.i32());
      if (kinds.length > 0 && !kinds.includes(AUTH_NONE) && kinds.includes(AUTH_POLKIT)) {
        await call(PROCEDURE.authPolkit, undefined, openDeadlineMs);
      }
      if (await supports(FEATURE_KEEPALIVE)) connection.startKeepalive();
      await call(
        PROCEDURE.connectOpen,
        createXdrWriter()
          .optionalString(uri)
          .u32(readOnly ? CONNECT_READ_ONLY : 0),
        openDeadlineMs,
      );
      return supports(FEATURE_EVENT_CALLBACKS);
    },
    /** Version of the hypervisor; may make the daemon probe its emulators first. */
    async version(otherDeadlineMs: number): Promise<number> {
      return (await call(PROCEDURE.connectGetVersion, undefined, otherDeadlineMs)).u64();
    },
    async libraryVersion(): Promise<number> {
      return (await call(PROCEDURE.connectGetLibVersion)).u64();
    },
    async nodeInfo(): Promise<NodeInfo> {
      const reader = await call(PROCEDURE.nodeGetInfo);
      // `char model[32]` travels as 32 integers.
      const model = Array.from({ length: 32 }, () => reader.i32());
      const architecture = String.fromCharCode(...model.slice(0, model.indexOf(0)));
      return { architecture, memoryKib: reader.u64(), cpus: reader.i32() };
    },
    /** The host's memory as its kernel counts it; null when the daemon does not tell. */
    async nodeMemoryTotalKib(): Promise<number | null> {
      const ask = (count: number) => createXdrWriter().i32(count).i32(ALL_CELLS).u32(0);
      const counted = await call(PROCEDURE.nodeGetMemoryStats, ask(0));
      counted.arrayLength(MEMORY_STAT_BYTES_MIN);
      const reader = await call(PROCEDURE.nodeGetMemoryStats, ask(counted.i32()));
      const count = reader.arrayLength(MEMORY_STAT_BYTES_MIN);
      const stats = Array.from({ length: count }, () => ({ name: reader.string(), valueKib: reader.u64() }));
      return stats.find(({ name }) => name === 'total')?.valueKib ?? null;
    },
    async capabilities(otherDeadlineMs: number): Promise<string> {
      return (await call(PROCEDURE.connectGetCapabilities, undefined, otherDeadlineMs)).string();
    },
    async allStats(groups: number, flags: number, domains: readonly DomainRef[], otherDeadlineMs = deadlineMs): Promise<StatsRecord[]> {
      const writer = createXdrWriter().u32(domains.length);
      for (const domain of domains) writeDomain(writer, domain);
      const reader = await call(PROCEDURE.connectGetAllDomainStats, writer.u32(groups).u32(flags), otherDeadlineMs);
      const records: StatsRecord[] = [];
      const count = reader.arrayLength(STATS_RECORD_BYTES_MIN);
      for (let i = 0; i < count; i++) records.push({ domain: readDomain(reader), params: readParams(reader) });
      return records;
    },
    /** Rejects with LIBVIRT_NO_FILTER when there is none of this name. */
    async lookUpFilter(name: string): Promise<void> {
      await call(PROCEDURE.nwfilterLookupByName, createXdrWriter().string(name));
    },
    async defineFilter(xml: string): Promise<void> {
      await call(PROCEDURE.nwfilterDefineXml, createXdrWriter().string(xml));
    },
    /** Asks for one kind of event of all domains; answers the callback's id. */
    async registerEvent(eventId: number): Promise<number> {
      return (await call(PROCEDURE.connectDomainEventCallbackRegisterAny, createXdrWriter().i32(eventId).u32(0))).i32();
    },
    /** Asks for one kind of QEMU monitor event of all domains. */
    async registerMonitorEvent(event: string): Promise<number> {
      const payload = createXdrWriter().u32(0).optionalString(event).u32(0).bytes();
      return (await connection.call({ program: QEMU_PROGRAM, procedure: QEMU_MONITOR_EVENT_REGISTER, payload, deadlineMs })).i32();
    },
  };
}

function readCalls(domainCall: DomainCall) {
  return {
    async xml(domain: DomainRef, flags: number): Promise<string> {
      return (await domainCall(PROCEDURE.domainGetXmlDesc, domain, (writer) => writer.u32(flags))).string();
    },
    async info(domain: DomainRef): Promise<DomainInfo> {
      const reader = await domainCall(PROCEDURE.domainGetInfo, domain, (writer) => writer);
      return { state: reader.i32(), maxMemoryKib: reader.u64(), memoryKib: reader.u64(), vcpus: reader.i32(), cpuTimeNs: reader.u64() };
    },
    /** The balloon's size as QEMU has it, without what is plugged; null when it is not told. */
    async balloonKib(domain: DomainRef): Promise<number | null> {
      const more = (writer: XdrWriter): XdrWriter => writer.u32(DOMAIN_MEMORY_STATS_MAX).u32(0);
      const reader = await domainCall(PROCEDURE.domainMemoryStats, domain, more);
      const stats = Array.from({ length: reader.arrayLength(DOMAIN_MEMORY_STAT_BYTES) }, () => [reader.i32(), reader.u64()] as const);
      return stats.find(([tag]) => tag === ACTUAL_BALLOON)?.[1] ?? null;
    },
    async isPersistent(domain: DomainRef): Promise<boolean> {
      return (await domainCall(PROCEDURE.domainIsPersistent, domain, (writer) => writer)).i32() !== 0;
    },
    /** virDomainJobType: 0 none, 1 bounded, 2 unbounded. */
    async jobType(domain: DomainRef): Promise<number> {
      return (await domainCall(PROCEDURE.domainGetJobInfo, domain, (writer) => writer)).i32();
    },
    async schedulerParams(domain: DomainRef): Promise<Params> {
      const more = (writer: XdrWriter): XdrWriter => writer.i32(SCHEDULER_PARAMS_MAX).u32(LIVE | STRING_OKAY);
      return readParams(await domainCall(PROCEDURE.domainGetSchedulerParametersFlags, domain, more));
    },
    async interfaceParams(domain: DomainRef, device: string): Promise<Params> {
      const more = (writer: XdrWriter): XdrWriter =>
        writer
          .string(device)
          .i32(INTERFACE_PARAMS_MAX)
          .u32(LIVE | STRING_OKAY);
      return readParams(await domainCall(PROCEDURE.domainGetInterfaceParameters, domain, more));
    },
    async blockIoTune(domain: DomainRef, disk: string): Promise<Params> {
      const ask = (count: number) => (writer: XdrWriter) =>
        writer
          .optionalString(disk)
          .i32(count)
          .u32(LIVE | STRING_OKAY);
      // How many there are differs between versions: ask first.
      const counted = await domainCall(PROCEDURE.domainGetBlockIoTune, domain, ask(0));
      readParams(counted);
      return readParams(await domainCall(PROCEDURE.domainGetBlockIoTune, domain, ask(counted.i32())));
    },
    async metadata(domain: DomainRef, namespace: string, flags = LIVE): Promise<string> {
      const more = (writer: XdrWriter): XdrWriter => writer.i32(METADATA_ELEMENT).optionalString(namespace).u32(flags);
      return (await domainCall(PROCEDURE.domainGetMetadata, domain, more)).string();
    },
  };
}

/** All of these touch the live domain only. */
function writeCalls(domainCall: DomainCall) {
  const write = async (procedure: number, domain: DomainRef, more: (writer: XdrWriter) => XdrWriter): Promise<void> => {
    await domainCall(procedure, domain, more);
  };
  return {
    setSchedulerParams: (domain: DomainRef, params: readonly TypedParam[]): Promise<void> =>
      write(PROCEDURE.domainSetSchedulerParametersFlags, domain, (writer) => writeParams(writer, params).u32(LIVE)),
    setMemory: (domain: DomainRef, memoryKib: number): Promise<void> =>
      write(PROCEDURE.domainSetMemoryFlags, domain, (writer) => writer.u64(memoryKib).u32(LIVE)),
    setInterfaceParams: (domain: DomainRef, device: string, params: readonly TypedParam[]): Promise<void> =>
      write(PROCEDURE.domainSetInterfaceParameters, domain, (writer) => writeParams(writer.string(device), params).u32(LIVE)),
    setBlockIoTune: (domain: DomainRef, disk: string, params: readonly TypedParam[]): Promise<void> =>
      write(PROCEDURE.domainSetBlockIoTune, domain, (writer) => writeParams(writer.string(disk), params).u32(LIVE)),
    setStatsPeriod: (domain: DomainRef, seconds: number): Promise<void> =>
      write(PROCEDURE.domainSetMemoryStatsPeriod, domain, (writer) => writer.i32(seconds).u32(LIVE)),
    /** `xml`: one device, told apart by what of it cannot change (an interface by its hardware address). */
    updateDevice: (domain: DomainRef, xml: string): Promise<void> =>
      write(PROCEDURE.domainUpdateDeviceFlags, domain, (writer) => writer.string(xml).u32(LIVE)),
    reset: (domain: DomainRef): Promise<void> => write(PROCEDURE.domainReset, domain, (writer) => writer.u32(0)),
    setMetadata: (domain: DomainRef, xml: string | null, key: string, namespace: string): Promise<void> =>
      write(PROCEDURE.domainSetMetadata, domain, (writer) =>
        writer.i32(METADATA_ELEMENT).optionalString(xml).optionalString(key).optionalString(namespace).u32(LIVE),
      ),
  };
}
