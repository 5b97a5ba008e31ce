/**
 * The hypervisor seam over libvirt: a local daemon's Unix socket in, the `Hypervisor` interface out. Units, quirks and
 * numbers of libvirt end here. Reconnects by itself; every call has a deadline; VMs that do not answer are asked seldom
 * and never hold up the others.
 */
import { dirname } from 'node:path';
import { type Clock, sleep } from '../../../shared/clock.ts';
import { HeadroomError, isHeadroomError } from '../../../shared/errors.ts';
import type { VmId } from '../../../shared/ids.ts';
import type { Prng } from '../../../shared/prng.ts';
import type { Resource, Setting, SettingOf } from '../../../shared/resources.ts';
import { kibToMiB } from '../../../shared/units.ts';
import type { InterfaceFilter, Link } from '../../core/isolation.ts';
import type { VmFacts } from '../../core/vm-facts.ts';
import type { HostCapacity, Hypervisor, HypervisorEvent, NativeSettings, StatsGroup, VmStats, VmSummary } from '../hypervisor.ts';
import { believedBalloon, believedParts } from './believed-balloon.ts';
import { createBootingVms } from './booting-vms.ts';
import { numaNodesOf } from './capabilities.ts';
import { parseConnectUri } from './connect-uri.ts';
import type { CgroupVersion } from './cpu-tuning.ts';
import { defineQuarantine, readLinks, setFilters, setLinks } from './cut-off.ts';
import { settingsFromXml } from './definition.ts';
import { LABELS_NAMESPACE, labelsFromElement, STATE_NAMESPACE } from './domain-metadata.ts';
import { channelByAlias, factsFromXml } from './domain-xml.ts';
import { isCameAlive, powerOf, type RawEvent } from './events.ts';
import { cgroupVersion, processAgeMsOf, processIdOf } from './local-host.ts';
import { readPlugged } from './memory-tuning.ts';
import { type DomainRef, type LibvirtApi, STATS_ACTIVE, STATS_NOWAIT, XML_INACTIVE } from './procedures.ts';
import { nativesWith, readNativeResource, readResource, restoreNative, type Tuning, writeResource } from './resource-tuning.ts';
import { LIBVIRT_NO_METADATA, LibvirtError } from './rpc-errors.ts';
import { createSession, type Session } from './session.ts';
import { answered, groupBits, statsOf } from './stats.ts';
import { createStuckVms } from './stuck-vms.ts';
import { numberOf } from './typed-params.ts';

export interface LibvirtOptions {
  /** `qemu:///system`, `test:///default`, or either with `?socket=/path`. */
  uri: string;
  readOnly?: boolean;
  clock: Clock;
  prng: Prng;
  /** `/` on a real host: where /run, /proc and /sys are read. */
  root?: string;
  callDeadlineMs?: number;
}

/** libvirt answers in milliseconds; a call that takes this long waits for a VM that does not answer. */
const CALL_DEADLINE_MS = 5000;
/** Bulk statistics of all groups took 11–18 ms a VM on two busy cores; twice that, and a floor for small hosts. */
const STATS_DEADLINE_MS = 2000;
const STATS_DEADLINE_MS_PER_VM = 40;
/** Each VM that newly hangs costs one try: beyond this many at once the host has other troubles. */
const STATS_TRIES_MAX = 5;
/** The first question after the daemon's start makes it probe its emulators, which takes seconds each. */
const PROBE_DEADLINE_MS = 20_000;
/** Jobs of other callers (a query, a setting) end within this time on a VM that answers. */
const BUSY_PAUSE_MS = 300;
const METADATA_KEY = 'headroom';
const GUEST_AGENT_CHANNEL = 'org.qemu.guest_agent.0';
/** Where the daemon notes its VMs' processes, when its socket is the usual one. */
const STATE_FOLDER = '/run/libvirt';

export function createLibvirtHypervisor(options: LibvirtOptions): Hypervisor {
  return new LibvirtHypervisor(options);
}

class LibvirtHypervisor implements Hypervisor {
  readonly name: string;
  readonly #session: Session;
  readonly #clock: Clock;
  readonly #root: string;
  readonly #stateFolder: string;
  readonly #listeners = new Set<(event: HypervisorEvent) => void>();
  readonly #stuck = createStuckVms();
  readonly #booting = createBootingVms();
  /** Names by UUID, as last listed: libvirt wants both, and puts the name in its messages. */
  readonly #names = new Map<VmId, string>();
  /** Those with a virtio-mem device and a balloon, by the facts read last. */
  readonly #pluggable = new Set<VmId>();
  #cgroup: CgroupVersion | null = null;
  #numaNodes: HostCapacity['numaNodes'] | null = null;

  constructor(options: LibvirtOptions) {
    const target = parseConnectUri(options.uri, options.readOnly ?? false);
    this.name = `libvirt ${options.uri}`;
    this.#clock = options.clock;
    this.#root = options.root ?? '/';
    this.#stateFolder = target.sockets.length === 1 ? dirname(target.sockets[0] as string) : STATE_FOLDER;
    this.#session = createSession({
      target,
      readOnly: options.readOnly ?? false,
      clock: options.clock,
      prng: options.prng,
      callDeadlineMs: options.callDeadlineMs ?? CALL_DEADLINE_MS,
      onEvent: (event) => this.#onEvent(event),
    });
  }

  get connected(): boolean {
    return this.#session.connected;
  }

  async connect(): Promise<void> {
    this.#cgroup = await cgroupVersion(this.#root);
    await this.#session.connect();
  }

  async close(): Promise<void> {
    this.#session.close();
  }

  onEvent(listener: (event: HypervisorEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async capacity(): Promise<HostCapacity> {
    const api = this.#session.control();
    const [node, hypervisor, library] = await Promise.all([
      api.nodeInfo(),
      unlessProbing(api.version(PROBE_DEADLINE_MS)),
      api.libraryVersion(),
    ]);
    const memoryKib = (await unlessUnsupported(api.nodeMemoryTotalKib())) ?? node.memoryKib;
    this.#numaNodes ??= await this.#readNumaNodes(api);
    return {
      cpuCores: node.cpus,
      memoryMiB: kibToMiB(memoryKib),
      numaNodes: this.#numaNodes ?? [],
      hypervisorVersion: `hypervisor ${hypervisor === null ? 'of unknown version' : versionText(hypervisor)}, libvirt ${versionText(library)}`,
      architecture: node.architecture,
    };
  }

  async #readNumaNodes(api: LibvirtApi): Promise<HostCapacity['numaNodes'] | null> {
    const xml = await unlessProbing(api.capabilities(PROBE_DEADLINE_MS));
    return xml === null ? null : numaNodesOf(xml);
  }

  async list(): Promise<VmSummary[]> {
    // The state group asks no VM, so this answers however many of them hang.
    const records = await this.#session.control().allStats(groupBits(['state']), STATS_NOWAIT, []);
    this.#names.clear();
    return records.map(({ domain, params }) => {
      this.#names.set(domain.uuid, domain.name);
      return {
        id: domain.uuid,
        name: domain.name,
        power: powerOf(numberOf(params, 'state.state') ?? -1, numberOf(params, 'state.reason') ?? null),
      };
    });
  }

  async facts(id: VmId): Promise<VmFacts> {
    const api = this.#session.control();
    const domain = await this.#domain(id);
    const [xml, persistent] = await Promise.all([api.xml(domain, 0), api.isPersistent(domain)]);
    const facts = factsFromXml(xml, { id, name: domain.name, persistent });
    if (facts.plugged !== undefined && facts.balloonModel === 'virtio') this.#pluggable.add(id);
    else this.#pluggable.delete(id);
    // Labels given with --config on a running VM are in the persistent definition alone until it restarts.
    if (!persistent || Object.keys(facts.labels).length > 0) return facts;
    const element = await this.#metadata(api, domain, LABELS_NAMESPACE, XML_INACTIVE);
    return element === null ? facts : { ...facts, labels: labelsFromElement(element) };
  }

  async processId(id: VmId): Promise<number | null> {
    return processIdOf(this.#root, this.#stateFolder, await this.#domain(id));
  }

  async processAgeMs(id: VmId): Promise<number | null> {
    const pid = await this.processId(id);
    return pid === null ? null : processAgeMsOf(this.#root, pid);
  }

  async stats(groups: readonly StatsGroup[], ids?: readonly VmId[]): Promise<{ stats: VmStats[]; stuck: VmId[] }> {
    const domains = ids === undefined ? [] : await Promise.all(ids.map((id) => this.#domain(id)));
    if (ids !== undefined && domains.length === 0) return { stats: [], stuck: [] };
    const deadlineMs = STATS_DEADLINE_MS + STATS_DEADLINE_MS_PER_VM * Math.max(domains.length, this.#names.size);
    for (let tries = 1; ; tries++) {
      const api = await this.#session.statistics();
      try {
        const read = async (asked: readonly DomainRef[]) =>
          this.#withPlugged(this.#collect(await api.allStats(groupBits(groups), STATS_NOWAIT + STATS_ACTIVE, asked, deadlineMs), groups));
        const found = await read(domains);
        if (found.stuck.length === 0) return found;
        // A VM whose job was only taken for a moment answers when asked again.
        await sleep(this.#clock, BUSY_PAUSE_MS);
        const again = await read(await Promise.all(found.stuck.map((id) => this.#domain(id))));
        return { stats: [...found.stats, ...again.stats], stuck: again.stuck };
      } catch (error) {
        // The call that hangs keeps the stuck VM's job in the daemon, so that the next one passes it by.
        if (!isHeadroomError(error, 'HYPERVISOR_UNAVAILABLE') || tries >= STATS_TRIES_MAX || !this.connected) throw error;
        if (api.connection.open) this.#session.dropStatistics('a VM did not answer in time');
      }
    }
  }

  #collect(records: Awaited<ReturnType<LibvirtApi['allStats']>>, groups: readonly StatsGroup[]): { stats: VmStats[]; stuck: VmId[] } {
    const nowMs = this.#clock.monotonicMs();
    const stats: VmStats[] = [];
    const stuck: VmId[] = [];
    for (const record of records) {
      const id = record.domain.uuid;
      if (answered(record.params, groups)) {
        if (groups.includes('balloon') || groups.includes('block')) this.#stuck.answered(id);
        const told = statsOf(record, groups, nowMs);
        stats.push(this.#pluggable.has(id) ? told : believedBalloon(told, this.#booting));
      } else stuck.push(id);
    }
    return { stats, stuck };
  }

  /** What is plugged is not part of bulk statistics: each of the few VMs that have such a device is asked. */
  async #withPlugged({ stats, stuck }: { stats: VmStats[]; stuck: VmId[] }): Promise<{ stats: VmStats[]; stuck: VmId[] }> {
    const asked = stats.map(async (told) => {
      if (told.balloon === undefined || !this.#pluggable.has(told.id)) return told;
      const reading = await this.#ask(told.id, readPlugged).catch((error: unknown) => unlessKnown(error));
      return believedParts(told, this.#booting, reading);
    });
    return { stats: await Promise.all(asked), stuck };
  }

  setStatsPeriod(id: VmId, seconds: number): Promise<void> {
    return this.#ask(id, ({ api, domain }) => api.setStatsPeriod(domain, Math.max(0, Math.round(seconds))));
  }

  readSetting<R extends Resource>(id: VmId, resource: R): Promise<SettingOf<R>> {
    return this.#ask(id, (tuning) => readResource(tuning, resource));
  }

  writeSetting<S extends Setting>(id: VmId, setting: S): Promise<SettingOf<S['resource']>> {
    return this.#ask(id, async (tuning) => {
      await writeResource(tuning, setting);
      return readResource(tuning, setting.resource as S['resource']);
    });
  }

  readNative(id: VmId, resource: Resource): Promise<NativeSettings> {
    return this.#ask(id, (tuning) => readNativeResource(tuning, resource));
  }

  nativesWith(id: VmId, native: NativeSettings, setting: Setting): Promise<NativeSettings[]> {
    return this.#ask(id, (tuning) => nativesWith(tuning, native, setting));
  }

  writeNative(id: VmId, resource: Resource, native: NativeSettings): Promise<void> {
    return this.#ask(id, async (tuning) => {
      const left = await restoreNative(tuning, resource, native);
      if (left.length > 0) throw new HeadroomError('HYPERVISOR_REFUSED', `${tuning.domain.name}: not restored: ${left.join('; ')}`);
    });
  }

  readLinks(id: VmId): Promise<Link[]> {
    return this.#ask(id, readLinks);
  }

  setLinks(id: VmId, macs: readonly string[], up: boolean): Promise<Link[]> {
    return this.#ask(id, (tuning) => setLinks(tuning, macs, up));
  }

  async prepareQuarantine(): Promise<void> {
    await defineQuarantine(this.#session.control());
  }

  setFilters(id: VmId, filters: readonly InterfaceFilter[]): Promise<Link[]> {
    return this.#ask(id, (tuning) => setFilters(tuning, filters));
  }

  restart(id: VmId): Promise<void> {
    return this.#ask(id, ({ api, domain }) => api.reset(domain));
  }

  async baseline(id: VmId): Promise<Setting[]> {
    const domain = await this.#domain(id);
    // For a transient domain libvirt answers this from the live definition.
    return settingsFromXml(await this.#session.control().xml(domain, XML_INACTIVE), this.#cgroup ?? 1);
  }

  jobActive(id: VmId): Promise<boolean> {
    return this.#ask(id, async ({ api, domain }) => {
      const type = await unlessUnsupported(api.jobType(domain));
      return type === 1 || type === 2;
    });
  }

  async cameAlive(id: VmId): Promise<boolean> {
    const [record] = await this.#session.control().allStats(groupBits(['state']), STATS_NOWAIT, [await this.#domain(id)]);
    if (record === undefined) return false;
    return isCameAlive(numberOf(record.params, 'state.state') ?? -1, numberOf(record.params, 'state.reason') ?? -1);
  }

  readMetadata(id: VmId): Promise<string | null> {
    return this.#ask(id, ({ api, domain }) => this.#metadata(api, domain, STATE_NAMESPACE, 1));
  }

  writeMetadata(id: VmId, xml: string | null): Promise<void> {
    return this.#ask(id, async ({ api, domain }) => {
      if (xml === null && (await this.#metadata(api, domain, STATE_NAMESPACE, 1)) === null) return;
      await api.setMetadata(domain, xml, METADATA_KEY, STATE_NAMESPACE);
    });
  }

  async #metadata(api: LibvirtApi, domain: DomainRef, namespace: string, flags: number): Promise<string | null> {
    try {
      return await api.metadata(domain, namespace, flags);
    } catch (error) {
      if (error instanceof LibvirtError && error.libvirtCode === LIBVIRT_NO_METADATA) return null;
      throw error;
    }
  }

  async #domain(id: VmId): Promise<DomainRef> {
    if (!this.#names.has(id)) await this.list();
    return { name: this.#names.get(id) ?? id, uuid: id };
  }

  /** A call to one VM: refused at once while that VM is known not to answer. */
  async #ask<T>(id: VmId, run: (tuning: Tuning) => Promise<T>): Promise<T> {
    const domain = await this.#domain(id);
    if (!this.#stuck.mayAsk(id, this.#clock.monotonicMs())) {
      throw new HeadroomError('HYPERVISOR_UNAVAILABLE', `${domain.name} does not answer; it is asked again later`);
    }
    const api = this.#session.control();
    try {
      const [cgroup, pluggable] = [this.#cgroup ?? 1, this.#pluggable.has(id)];
      return await run({ api, domain, cgroup, clock: this.#clock, booting: this.#booting, pluggable });
    } catch (error) {
      if (isHeadroomError(error, 'HYPERVISOR_UNAVAILABLE') && api.connection.open) this.#stuck.silent(id, this.#clock.monotonicMs());
      throw error;
    }
  }

  #onEvent(event: RawEvent): void {
    if (event.kind === 'port') {
      void this.#onPort(event);
      return;
    }
    if (event.kind === 'connection' && event.connected) {
      this.#numaNodes = null;
      this.#booting.reconnected();
    }
    if (event.kind === 'defined' || event.kind === 'lifecycle') this.#names.set(event.id, event.name);
    if (event.kind === 'balloon') this.#booting.moved(event.id, this.#clock.wallMs());
    // Of what is plugged this event knows nothing.
    if (event.kind === 'balloon' && this.#pluggable.has(event.id)) this.#tellSize(event.id);
    else this.#emit(event);
    if (event.kind === 'lifecycle') this.#onPower(event);
  }

  #onPower({ id, power, detail }: Extract<HypervisorEvent, { kind: 'lifecycle' }>): void {
    if (power === 'shutoff' || power === 'crashed') this.#booting.gone(id);
    if (!/^(started|rebooted)/.test(detail)) return;
    this.#booting.reset(id, this.#clock.wallMs());
    // Nobody else tells that the guest has all its memory again.
    this.#tellSize(id);
  }

  #tellSize(id: VmId): void {
    void this.readSetting(id, 'memory').then(
      ({ memoryMiB }) => this.#emit({ kind: 'balloon', id, actualMiB: memoryMiB }),
      () => undefined,
    );
  }

  /** Names the channel behind a port's alias; a domain gone meanwhile has no channel to tell of. */
  async #onPort({ domain, alias, connected }: Extract<RawEvent, { kind: 'port' }>): Promise<void> {
    try {
      const channel = channelByAlias(await this.#session.control().xml(domain, 0), alias);
      // libvirt tells of the QEMU guest agent's channel by an event of its own.
      if (channel !== null && channel !== GUEST_AGENT_CHANNEL) this.#emit({ kind: 'channel', id: domain.uuid, channel, connected });
    } catch (error) {
      if (!isHeadroomError(error)) throw error;
    }
  }

  #emit(event: HypervisorEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

/** What could not be read is not told. */
function unlessKnown(error: unknown): null {
  if (isHeadroomError(error)) return null;
  throw error;
}

/** Null instead of an error for what this hypervisor does not offer. */
async function unlessUnsupported<T>(call: Promise<T>): Promise<T | null> {
  try {
    return await call;
  } catch (error) {
    if (isHeadroomError(error, 'HYPERVISOR_UNSUPPORTED')) return null;
    throw error;
  }
}

/** Null when the daemon is too busy probing its emulators to tell: it is asked again next time. */
async function unlessProbing<T>(call: Promise<T>): Promise<T | null> {
  try {
    return await call;
  } catch (error) {
    if (isHeadroomError(error)) return null;
    throw error;
  }
}

/** libvirt packs versions as major × 1,000,000 + minor × 1,000 + release. */
function versionText(packed: number): string {
  return [Math.floor(packed / 1e6), Math.floor(packed / 1000) % 1000, packed % 1000].join('.');
}
