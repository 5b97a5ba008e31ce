/**
 * The builder's seam over libvirt: storage pools, definitions and power by a connection of its own, so that a volume that takes
 * its time never holds up what allocates. Connects when first asked. See `VmBuilder` for what each call means.
 */
import { HeadroomError } from '../../../shared/errors.ts';
import type { VmId } from '../../../shared/ids.ts';
import { BYTES_PER_MIB } from '../../../shared/units.ts';
import type { VmBuild } from '../../../shared/vm-build.ts';
import type { BuildFiles, BuildMark, HandMark, VmBuilder, Volume } from '../builder.ts';
import type { PowerState } from '../hypervisor.ts';
import type { LibvirtOptions } from './adapter.ts';
import { type BuildApi, createBuildApi, POOL_RUNNING, SHUTDOWN_ACPI, SHUTDOWN_GUEST_AGENT } from './build-procedures.ts';
import { builtDomainXml, domainTypesOf, HAND_KEY, HAND_NAMESPACE, handOf, handXml, markOf, volumeXml } from './build-xml.ts';
import { powerOf } from './events.ts';
import { macsOf, neighboursOf, readNeighbours } from './neighbours.ts';
import { type OwnSession, openOwnSession } from './own-session.ts';
import { type DomainRef, type LibvirtApi, XML_INACTIVE } from './procedures.ts';
import { LibvirtError } from './rpc-errors.ts';

/** As it runs. */
const XML_LIVE = 0;
const NO_DOMAIN = 42;
const NO_POOL = 49;
const NO_VOLUME = 50;
/** The first question after the daemon's start makes it probe its emulators. */
const CAPABILITIES_DEADLINE_MS = 20_000;

export function createLibvirtBuilder(options: LibvirtOptions): VmBuilder {
  return new LibvirtBuilder(options);
}

class LibvirtBuilder implements VmBuilder {
  readonly #session: OwnSession;
  #domainTypes: string[] | null = null;

  constructor(options: LibvirtOptions) {
    this.#session = openOwnSession(options);
  }

  async poolFreeBytes(pool: string): Promise<number | null> {
    const { build } = await this.#api();
    const found = await unless(NO_POOL, build.pool(pool));
    if (found === null) return null;
    const { state, availableBytes } = await build.poolInfo(found);
    return state === POOL_RUNNING ? availableBytes : null;
  }

  async volumes(pool: string): Promise<string[]> {
    const { build } = await this.#api();
    const found = await build.pool(pool);
    // Files that came by other ways (an image copied there, a volume deleted by hand) are seen from then on.
    await build.refreshPool(found);
    return (await build.volumes(found)).map(({ name }) => name);
  }

  async volume(pool: string, name: string): Promise<Volume | null> {
    const { build } = await this.#api();
    const found = await unless(NO_POOL, build.pool(pool));
    const volume = found === null ? null : await unless(NO_VOLUME, build.volume(found, name));
    return volume === null ? null : { pool, name, path: await build.volumePath(volume) };
  }

  async createOverlay(
    pool: string,
    name: string,
    image: Volume,
    format: VmBuild['disk']['format'],
    sizeMiB: number | null,
  ): Promise<Volume> {
    const { build } = await this.#api();
    const there = await this.volume(pool, name);
    if (there !== null) return there;
    const within = await build.pool(pool);
    const imageBytes = await build.volumeCapacityBytes(await build.volume(await build.pool(image.pool), image.name));
    const bytes = sizeMiB === null ? imageBytes : sizeMiB * BYTES_PER_MIB;
    if (bytes < imageBytes) {
      throw new HeadroomError('HYPERVISOR_REFUSED', `a disk of ${bytes} bytes is smaller than its image ${image.name} of ${imageBytes}`);
    }
    const made = await build.createVolume(within, volumeXml(name, image, format, bytes));
    return { pool, name, path: await build.volumePath(made) };
  }

  async deleteVolume(pool: string, name: string): Promise<void> {
    const { build } = await this.#api();
    const found = await unless(NO_POOL, build.pool(pool));
    const volume = found === null ? null : await unless(NO_VOLUME, build.volume(found, name));
    if (volume !== null) await unless(NO_VOLUME, build.deleteVolume(volume));
  }

  async power(id: VmId): Promise<PowerState | null> {
    const { read } = await this.#api();
    const domain = await this.#domain(id);
    const info = domain === null ? null : await unless(NO_DOMAIN, read.info(domain));
    return info === null ? null : powerOf(info.state);
  }

  async domainTypes(): Promise<string[]> {
    const { read } = await this.#api();
    this.#domainTypes ??= domainTypesOf(await read.capabilities(CAPABILITIES_DEADLINE_MS));
    return this.#domainTypes;
  }

  async define(id: VmId, build: VmBuild, files: BuildFiles, mark: BuildMark): Promise<void> {
    const api = await this.#api();
    const sameName = await unless(NO_DOMAIN, api.build.domainByName(build.name));
    if (sameName !== null && sameName.uuid !== id) {
      throw new HeadroomError('HYPERVISOR_REFUSED', `a VM called ${build.name} is there already, with id ${sameName.uuid}`);
    }
    if (sameName !== null && (await this.mark(id))?.orderId !== mark.orderId) {
      throw new HeadroomError('HYPERVISOR_REFUSED', `VM ${id} is there already and was not made by order ${mark.orderId}`);
    }
    const types = await this.domainTypes();
    const domainType = build.domainType === 'auto' ? types[0] : types.find((type) => type === build.domainType);
    if (domainType === undefined) {
      throw new HeadroomError('HYPERVISOR_UNSUPPORTED', `this host runs ${types.join(', ') || 'no guests'}, not ${build.domainType}`);
    }
    await api.build.define(builtDomainXml({ id, build, files, mark, domainType }));
  }

  async mark(id: VmId): Promise<BuildMark | null> {
    const xml = await this.#definition(id);
    return xml === null ? null : markOf(xml);
  }

  async hand(id: VmId, mark: HandMark | null): Promise<void> {
    const { build } = await this.#api();
    await build.setMetadata(await this.#present(id), mark === null ? null : handXml(mark), HAND_KEY, HAND_NAMESPACE);
  }

  async handed(id: VmId): Promise<HandMark | null> {
    const xml = await this.#definition(id);
    return xml === null ? null : handOf(xml);
  }

  async start(id: VmId): Promise<void> {
    const { build } = await this.#api();
    const power = await this.power(id);
    if (power === 'running' || power === 'paused') return;
    await build.start(await this.#present(id));
  }

  async addresses(id: VmId): Promise<string[]> {
    const { build, read } = await this.#api();
    const domain = await this.#present(id);
    const leased = await build.leasedAddresses(domain);
    if (leased.length > 0) return leased;
    return neighboursOf(macsOf(await read.xml(domain, XML_LIVE)), await readNeighbours());
  }

  async shutdown(id: VmId): Promise<void> {
    const { build } = await this.#api();
    const domain = await this.#domain(id);
    const power = await this.power(id);
    if (domain === null || power === 'shutoff' || power === 'crashed') return;
    try {
      await build.shutdown(domain, SHUTDOWN_GUEST_AGENT);
    } catch {
      // Mostly there is no QEMU guest agent in it.
      await build.shutdown(domain, SHUTDOWN_ACPI);
    }
  }

  async powerOff(id: VmId): Promise<void> {
    const { build } = await this.#api();
    const domain = await this.#domain(id);
    const power = await this.power(id);
    if (domain !== null && power !== 'shutoff' && power !== null) await build.destroy(domain);
  }

  async undefine(id: VmId): Promise<void> {
    const { build } = await this.#api();
    const domain = await this.#domain(id);
    if (domain === null) return;
    try {
      await build.undefine(domain, true);
    } catch (error) {
      if (!(error instanceof LibvirtError) || error.code !== 'HYPERVISOR_UNSUPPORTED') throw error;
      await build.undefine(domain, false);
    }
  }

  async close(): Promise<void> {
    this.#session.close();
  }

  async #api(): Promise<{ build: BuildApi; read: LibvirtApi }> {
    const read = await this.#session.api();
    return { read, build: createBuildApi(read.connection, this.#session.callDeadlineMs) };
  }

  /** Its persistent definition. */
  async #definition(id: VmId): Promise<string | null> {
    const { read } = await this.#api();
    const domain = await this.#domain(id);
    return domain === null ? null : unless(NO_DOMAIN, read.xml(domain, XML_INACTIVE));
  }

  async #domain(id: VmId): Promise<DomainRef | null> {
    const { build } = await this.#api();
    return unless(NO_DOMAIN, build.domainByUuid(id));
  }

  async #present(id: VmId): Promise<DomainRef> {
    const domain = await this.#domain(id);
    if (domain === null) throw new HeadroomError('HYPERVISOR_REFUSED', `there is no VM ${id} on this host`);
    return domain;
  }
}

/** Null for this one error of libvirt's: what was asked for is not there. */
async function unless<T>(libvirtCode: number, answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof LibvirtError && error.libvirtCode === libvirtCode) return null;
    throw error;
  }
}
