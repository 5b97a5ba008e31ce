/**
 * Memory of one live domain: its balloon, and what its virtio-mem device has plugged where it has one. The domain and what is wanted
 * in; the memory its guest has, as one figure, out. Of a domain with a device libvirt's own sum is not asked: libvirt 9.0 adds what is
 * plugged once more at each reset of the guest. QEMU's balloon and the device in the live definition are.
 */
import { sleep } from '../../../shared/clock.ts';
import { HeadroomError } from '../../../shared/errors.ts';
import { kibToMiB, miBToKib } from '../../../shared/units.ts';
import { guestBlock, partsFor } from '../../core/plugged-memory.ts';
import type { NativeSettings } from '../hypervisor.ts';
import { type PluggableDomain, pluggableDomainOf } from './memory-device.ts';
import { nativeOf, recordedNumber } from './native.ts';
import type { Tuning } from './resource-tuning.ts';

/** A balloon gives back what it holds within seconds; a guest that has not by then will not soon. */
const RESTORE_MS_MAX = 10_000;
const POLL_MS = 200;
/** A balloon at rest within a page or two of its target is there. */
const EPSILON_KIB = 1024;
const REQUESTED = 'requestedKib';
const BALLOON = 'balloonKib';

/** Both parts as they are now. */
export interface PluggedReading {
  domain: PluggableDomain;
  balloonKib: number;
}

export async function readPlugged({ api, domain }: Tuning): Promise<PluggedReading | null> {
  const [xml, balloonKib] = await Promise.all([api.xml(domain, 0), api.balloonKib(domain)]);
  const found = pluggableDomainOf(xml);
  if (found === null) return null;
  if (balloonKib === null) throw new HeadroomError('HYPERVISOR_UNSUPPORTED', `the size of the balloon of ${domain.name} is not told`);
  return { domain: found, balloonKib };
}

export async function readMemoryMiB(tuning: Tuning): Promise<number> {
  const { api, domain, booting } = tuning;
  const plugged = tuning.pluggable ? await readPlugged(tuning) : null;
  if (plugged === null) {
    const { memoryKib, maxMemoryKib } = await api.info(domain);
    return booting.sizeMiB(domain.uuid, kibToMiB(memoryKib), kibToMiB(maxMemoryKib));
  }
  const balloonMiB = booting.sizeMiB(domain.uuid, kibToMiB(plugged.balloonKib), kibToMiB(plugged.domain.bootKib));
  return balloonMiB + kibToMiB(plugged.domain.pluggedKib);
}

export async function writeMemory(tuning: Tuning, memoryMiB: number): Promise<void> {
  const plugged = tuning.pluggable ? await readPlugged(tuning) : null;
  if (plugged === null) return tuning.api.setMemory(tuning.domain, miBToKib(memoryMiB));
  const { bootKib, sizeKib, blockKib, pluggedKib } = plugged.domain;
  const totalKib = miBToKib(memoryMiB);
  if (totalKib > bootKib + sizeKib) {
    const most = `${kibToMiB(bootKib + sizeKib)} MiB, what it boots with and what may be plugged`;
    throw new HeadroomError('HYPERVISOR_REFUSED', `${tuning.domain.name} cannot be given ${memoryMiB} MiB: it can have ${most}`);
  }
  const room = { boot: bootKib, size: sizeKib, block: guestBlock(blockKib, miBToKib(1)) };
  const parts = partsFor(totalKib, { balloon: plugged.balloonKib, plugged: pluggedKib }, room);
  if (parts === null) {
    const blocks = `blocks of ${kibToMiB(room.block)} MiB`;
    throw new HeadroomError(
      'HYPERVISOR_REFUSED',
      `${tuning.domain.name} cannot be given ${memoryMiB} MiB: what is plugged goes in ${blocks}, and its kernel would have too little beside it`,
    );
  }
  await setParts(tuning, plugged, parts.balloon, parts.plugged);
}

/** What frees memory of the host comes first, what takes it last; a balloon is told always, since its size says nothing of where it was sent. */
async function setParts(
  { api, domain }: Tuning,
  { domain: found }: PluggedReading,
  balloonKib: number,
  requestedKib: number,
): Promise<void> {
  const request = async (): Promise<void> => {
    if (requestedKib !== found.requestedKib) await api.updateDevice(domain, found.xmlWith(requestedKib));
  };
  if (requestedKib < found.requestedKib) await request();
  await api.setMemory(domain, balloonKib);
  if (requestedKib > found.requestedKib) await request();
}

export async function readNativeMemory(tuning: Tuning): Promise<NativeSettings> {
  const plugged = tuning.pluggable ? await readPlugged(tuning) : null;
  if (plugged === null) return nativeOf({ [BALLOON]: (await tuning.api.info(tuning.domain)).memoryKib });
  return nativeOf({ [BALLOON]: plugged.balloonKib, [REQUESTED]: plugged.domain.requestedKib });
}

/** The journal knows whether there was a device: nothing else may have been asked of this domain before. */
export function restoreMemory(tuning: Tuning, native: NativeSettings): Promise<string[]> {
  const balloonKib = recordedNumber(native, BALLOON);
  return REQUESTED in native.values
    ? restoreParts(tuning, balloonKib, recordedNumber(native, REQUESTED))
    : restoreBalloon(tuning, balloonKib);
}

async function restoreParts(tuning: Tuning, balloonKib: number, requestedKib: number): Promise<string[]> {
  const before = await readPlugged(tuning);
  if (before === null) return restoreBalloon(tuning, balloonKib);
  await setParts(tuning, before, balloonKib, requestedKib);
  const untilMs = tuning.clock.monotonicMs() + RESTORE_MS_MAX;
  for (;;) {
    const now = await readPlugged(tuning);
    if (now === null) return ['its memory device is gone'];
    const isBalloonThere = Math.abs(now.balloonKib - balloonKib) <= EPSILON_KIB;
    const { pluggedKib } = now.domain;
    if (now.domain.requestedKib === requestedKib && pluggedKib === requestedKib && isBalloonThere) return [];
    if (tuning.clock.monotonicMs() >= untilMs) {
      const is = `${kibToMiB(now.balloonKib)} MiB and ${kibToMiB(pluggedKib)} MiB plugged`;
      return [`it has ${is} instead of ${kibToMiB(balloonKib)} MiB and ${kibToMiB(requestedKib)} MiB: the guest has not followed yet`];
    }
    await sleep(tuning.clock, POLL_MS);
  }
}

/** Waits for the exact size, and at the end takes a page or two less: some drivers round. */
async function restoreBalloon({ api, domain, clock }: Tuning, wantedKib: number): Promise<string[]> {
  await api.setMemory(domain, wantedKib);
  const untilMs = clock.monotonicMs() + RESTORE_MS_MAX;
  for (;;) {
    const { memoryKib } = await api.info(domain);
    if (memoryKib === wantedKib) return [];
    if (clock.monotonicMs() >= untilMs) {
      if (Math.abs(memoryKib - wantedKib) <= EPSILON_KIB) return [];
      return [`the balloon is at ${kibToMiB(memoryKib)} MiB instead of ${kibToMiB(wantedKib)} MiB: the guest has not followed yet`];
    }
    await sleep(clock, POLL_MS);
  }
}
