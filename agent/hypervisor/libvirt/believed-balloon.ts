/**
 * The size of a VM's memory as it is to be believed, in a record of bulk statistics. Statistics, what is known of guests that boot, and
 * what was read of a virtio-mem device in; statistics out. Pure.
 */
import { kibToMiB } from '../../../shared/units.ts';
import type { VmStats } from '../hypervisor.ts';
import type { BootingVms } from './booting-vms.ts';
import type { PluggedReading } from './memory-tuning.ts';

export function believedBalloon(stats: VmStats, booting: BootingVms): VmStats {
  const { actualMiB, maximumMiB, lastUpdateSeconds, availableMiB: totalMiB } = stats.balloon ?? {};
  if (actualMiB === undefined || maximumMiB === undefined) return stats;
  booting.told(stats.id, { reportedMiB: actualMiB, bootMiB: maximumMiB, lastUpdateSeconds, totalMiB });
  const sizeMiB = booting.sizeMiB(stats.id, actualMiB, maximumMiB);
  return { ...stats, balloon: { ...stats.balloon, actualMiB: sizeMiB } };
}

/** `reading` null: it could not be read, so that the size is not told. The sum in the statistics is not believed (see memory-tuning.ts). */
export function believedParts(stats: VmStats, booting: BootingVms, reading: PluggedReading | null): VmStats {
  const { actualMiB: _sum, ...told } = stats.balloon ?? {};
  if (reading === null) return { ...stats, balloon: told };
  const pluggedMiB = kibToMiB(reading.domain.pluggedKib);
  const bootMiB = kibToMiB(reading.domain.bootKib);
  const reportedMiB = kibToMiB(reading.balloonKib);
  // The guest's own total counts what is plugged.
  const totalMiB = told.availableMiB === undefined ? undefined : told.availableMiB - pluggedMiB;
  booting.told(stats.id, { reportedMiB, bootMiB, lastUpdateSeconds: told.lastUpdateSeconds, totalMiB });
  return { ...stats, balloon: { ...told, actualMiB: booting.sizeMiB(stats.id, reportedMiB, bootMiB) + pluggedMiB } };
}
