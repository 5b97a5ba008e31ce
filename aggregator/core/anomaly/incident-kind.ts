/**
 * Names an incident and says what it probably is. Input: what the metrics were before and are now, and who contributed;
 * output: a kind and a sentence for people. Rules, not a model: each must be explainable to whoever is woken.
 */
import type { Contributor } from './detector.ts';
import type { IncidentKind, VmMetric } from './incident.ts';
import { MISSING, RISING } from './vm-watch.ts';

/** Shares of the VM's size from which it counts as full. */
const FULL = 0.95;
/** Work from outside has grown when traffic or disk is so many times what it was. */
const MORE_WORK = 1.5;
/** So many points make something last. */
export const LASTS_POINTS = 3;

export interface Situation {
  silent: boolean;
  contributors: readonly Contributor[];
  /** Usual value of each metric before it began. */
  before: Readonly<Partial<Record<VmMetric, number>>>;
  now: Readonly<Partial<Record<VmMetric, number>>>;
  /** Sizes of the VM: cores and MiB. */
  sizes: Readonly<Partial<Record<VmMetric, number>>>;
  /** Share of the points since it began at which memory was higher than at the point before. */
  memoryRose: number;
  /** Points since it began. */
  points: number;
}

export interface Named {
  kind: IncidentKind;
  cause: string;
}

export function nameIncident(situation: Situation): Named {
  if (situation.silent)
    return { kind: 'silence', cause: 'nothing is heard from the VM: it is hung, stopped or cut off, or its telemetry is' };
  const [metric, reason] = (situation.contributors[0]?.name ?? 'cpu: value').split(': ') as [VmMetric, string];
  if (reason === MISSING)
    return { kind: 'silence', cause: `${metric} is no longer told: its collector, the guest's driver or the guest hangs` };
  const before = situation.before[metric] ?? Number.NaN;
  const now = situation.now[metric] ?? Number.NaN;
  const change = changeOf(metric, situation);
  if (metric === 'steal' && now > before)
    return { kind: 'noisy neighbour', cause: `${change}: others on the host take CPU time this VM wants` };
  if (metric === 'memory' && (reason === RISING || (now > before && situation.memoryRose > 0.6))) {
    return { kind: 'leak', cause: `${change} and keeps rising: memory is taken and not given back` };
  }
  const isFull = situation.now.cpu! >= FULL * situation.sizes.cpu! && situation.before.cpu! < FULL * situation.sizes.cpu!;
  if (isFull && situation.points >= LASTS_POINTS && metric !== 'memory') return busy(situation, changeOf('cpu', situation));
  if (reason === 'same value again') return { kind: 'stuck', cause: `${metric} stays at exactly ${shown(now)}: its source hangs` };
  if (situation.points < LASTS_POINTS) return { kind: 'spike', cause: `${change} for a moment` };
  if (metric === 'cpu' && now > before) return busy(situation, change);
  const size = situation.sizes[metric];
  if (size !== undefined && now >= FULL * size) return { kind: 'saturation', cause: `${change}, all there is` };
  return { kind: 'level shift', cause: `${change} and stays there` };
}

const changeOf = (metric: VmMetric, { before, now }: Situation): string =>
  `${metric} went from ${shown(before[metric] ?? Number.NaN)} to ${shown(now[metric] ?? Number.NaN)}`;

/** More CPU with more work coming in is load; without, something runs away. */
function busy({ before, now, sizes }: Situation, change: string): Named {
  const work = (['network', 'disk'] as const).some(
    (metric) => (now[metric] ?? 0) > MORE_WORK * (before[metric] ?? Number.POSITIVE_INFINITY),
  );
  const full = sizes.cpu !== undefined && now.cpu! >= FULL * sizes.cpu;
  if (full && work)
    return { kind: 'saturation', cause: `${change}, all there is, with more traffic or disk work: more load than it can carry` };
  const much = now.cpu! - (before.cpu ?? 0) >= 0.5 * (sizes.cpu ?? Number.POSITIVE_INFINITY);
  if (full || much) return { kind: 'runaway process', cause: `${change} with no more traffic or disk work: a process that runs away` };
  return { kind: 'level shift', cause: `${change} and stays there` };
}

const shown = (value: number): string => (Number.isFinite(value) ? String(Number(value.toPrecision(3))) : 'unknown');
