/** Says for people what was learnt of fetching ahead for a VM. Pure. */
import { type ArmCost, type ArmFigures, armFigures, chooseArm, PREFETCH_ARMS, type PrefetchArm } from './prefetch-tuning.ts';

const MINUTE_MS = 60_000;

/** What is done the next time. */
export interface TuningView {
  /** Of what it will touch first; 0 = nothing is made ready ahead. */
  share: number;
  leadMs: number;
  /** Own suspensions it rests on. */
  suspensions: number;
  text: string;
}

export function armWords({ share, lead }: PrefetchArm, leadMs: number): string {
  if (share === 0) return 'nothing ahead';
  const part = share === 1 ? 'all it will touch first' : `${Math.round(share * 100)} % of what it will touch first`;
  return `${part}, ${Math.round((lead * leadMs) / MINUTE_MS)} min ahead at most`;
}

/** @param current its arm while it is suspended, null = the next one is still to be chosen */
export function tuningView(own: readonly ArmCost[], others: readonly ArmCost[], leadMs: number, current: number | null): TuningView {
  const chosen = chooseArm(own, others);
  const arm = current ?? chosen.arm;
  const { share, lead } = PREFETCH_ARMS[arm] as PrefetchArm;
  const figures = armFigures(own, others);
  const why = current === null || current === chosen.arm ? `: ${chosen.why}` : '';
  const seen = figures.flatMap((one, i) =>
    one.count === 0 ? [] : [`${armWords(PREFETCH_ARMS[i] as PrefetchArm, leadMs)}: ${costWords(one)}`],
  );
  const rests = seen.length === 0 ? 'nothing was seen of it yet' : `cost so far, seconds of waiting: ${seen.join('; ')}`;
  const text = `${armWords({ share, lead }, leadMs)}${why}; ${rests}`;
  return { share, leadMs: lead * leadMs, suspensions: own.length, text };
}

const costWords = ({ meanSeconds, own, count }: ArmFigures): string =>
  `${meanSeconds.toFixed(2)} (${own} ${own === 1 ? 'suspension' : 'suspensions'}${count > own ? ", and of other VMs'" : ''})`;
