/**
 * Looks over Headroom's shoulder: are the allocations that its API claims those that virsh shows? Input: what the API says;
 * output: how many comparisons agreed, and each that did not, in words. A value may change between the two looks, so a
 * difference counts only if it is still there after several.
 */
import type { VmView } from '../aggregator/http/service.ts';
import { kibToMiB } from '../shared/units.ts';
import { virsh } from './machine/virsh.ts';

export interface CrossCheck {
  agreed: number;
  differences: string[];
}

export interface Shown {
  /** Cores over all vCPUs, null = no cap. */
  capCores: number | null;
  balloonMiB: number;
}

/** The API's view is a few seconds old at most: telemetry each second, a plan every five. */
const TRIES = 6;
const TRY_MS = 2000;
/** Quotas are whole microseconds of a 100 ms period; balloons move in pages and report in whole MiB here and there. */
const CORES_EPSILON = 0.005;
const MIB_EPSILON = 2;

/** `virsh schedinfo` and `virsh dommemstat` output → what is in force. Pure. */
export function parseShown(schedinfo: string, dommemstat: string, vcpus: number): Shown {
  const field = (text: string, name: string): number => Number(new RegExp(`^${name}\\s*:?\\s*(-?\\d+)`, 'm').exec(text)?.[1] ?? Number.NaN);
  const caps = [
    [field(schedinfo, 'vcpu_quota'), field(schedinfo, 'vcpu_period'), vcpus],
    [field(schedinfo, 'global_quota'), field(schedinfo, 'global_period'), 1],
  ].flatMap(([quota = Number.NaN, period = Number.NaN, times = 1]) => (quota > 0 && period > 0 ? [(quota / period) * times] : []));
  return { capCores: caps.length === 0 ? null : Math.min(...caps), balloonMiB: kibToMiB(field(dommemstat, 'actual')) };
}

async function shownByVirsh(name: string): Promise<Shown> {
  return parseShown(await virsh('schedinfo', name), await virsh('dommemstat', name), 1);
}

export function differencesOf(view: VmView, shown: Shown): string[] {
  const { cpu, memory } = view.resources;
  const found: string[] = [];
  const claimedCores = cpu.uncapped ? null : cpu.allocation;
  const sameCap =
    claimedCores === null || shown.capCores === null
      ? claimedCores === shown.capCores
      : Math.abs(claimedCores - shown.capCores) <= CORES_EPSILON;
  if (!sameCap) found.push(`${view.name} cpu: Headroom claims ${claimedCores ?? 'no cap'}, virsh shows ${shown.capCores ?? 'no cap'}`);
  if (memory.allocation === null || Math.abs(memory.allocation - shown.balloonMiB) > MIB_EPSILON) {
    found.push(`${view.name} memory: Headroom claims ${memory.allocation} MiB, virsh shows ${shown.balloonMiB} MiB`);
  }
  return found;
}

export async function crossCheck(viewOf: () => Promise<VmView>, sleep: (ms: number) => Promise<void>): Promise<CrossCheck> {
  let differences: string[] = [];
  for (let attempt = 0; attempt < TRIES; attempt++) {
    if (attempt > 0) await sleep(TRY_MS);
    const view = await viewOf();
    differences = differencesOf(view, await shownByVirsh(view.name));
    if (differences.length === 0) return { agreed: 2, differences };
  }
  return { agreed: 2 - differences.length, differences };
}
