/**
 * The host that brings a suspended VM back: one with room for it now and at the peak that is forecast, and of those the one to which least
 * must move before it runs. Pure. Input: hosts with what they have free and which of its chunks they hold, what the VM needs; output: a
 * host, and in words why this one and why not each of the others.
 */
import type { HostId } from '../../../shared/ids.ts';

export interface ResumeCandidate {
  host: HostId;
  /** Its snapshot lies there: nothing has to move. */
  own: boolean;
  /** Why it cannot take part, in words; null = nothing speaks against it. */
  barred: string | null;
  /** Beyond its reserve; null = unknown. */
  freeMiB: number | null;
  /** The same at the highest forecast of the coming hour; null = too little is known. */
  peakFreeMiB: number | null;
  peakFreeCores: number | null;
  /** Shares, 0..1, of what the VM touches first and of the rest that lie there; null = not known, as good as nothing. */
  held: { first: number; rest: number } | null;
}

export interface ResumeNeed {
  memoryMiB: number;
  /** Null: nothing is known of it. */
  cores: number | null;
  /** Of its memory, what it touches first and the rest; null = not known. */
  bytes: { first: number; rest: number } | null;
}

export interface ResumePlacement {
  host: HostId;
  reason: string;
  /** Best first. */
  others: { host: HostId; reason: string }[];
}

const MIB = 1024 * 1024;
/** A tenth of a second of a gigabit: nobody feels less, and the roomier host is better for it. */
const FELT_BYTES = 16 * MIB;

type Fit = 'now and then' | 'now' | 'no';
const FITS: readonly Fit[] = ['now and then', 'now', 'no'];

interface Judged extends ResumeCandidate {
  fit: Fit;
  /** To move there before it runs, and afterwards. */
  before: number;
  after: number;
}

/** Null: no host is known at all. One that has no room is answered only where none has, and then the VM's own: it says why not. */
export function chooseResumeHost(candidates: readonly ResumeCandidate[], need: ResumeNeed): ResumePlacement | null {
  const judged = candidates.map((one) => judge(one, need)).toSorted(better);
  const able = judged.filter(({ barred }) => barred === null);
  const best = able.find(({ fit }) => fit !== 'no') ?? judged.find(({ own }) => own) ?? able[0];
  if (best === undefined) return null;
  return {
    host: best.host,
    reason: `${best.host}: ${best.barred ?? `${roomWords(best, need)}; ${moveWords(best, need)}`}`,
    others: judged.filter((one) => one !== best).map((one) => ({ host: one.host, reason: whyNot(one, best, need) })),
  };
}

function judge(one: ResumeCandidate, { memoryMiB, cores, bytes }: ResumeNeed): Judged {
  const fitsNow = one.freeMiB !== null && one.freeMiB >= memoryMiB;
  // What is not known of the hour to come speaks neither for nor against a host.
  const fitsThen = (one.peakFreeMiB ?? memoryMiB) >= memoryMiB && (one.peakFreeCores ?? cores ?? 0) >= (cores ?? 0);
  const lacks = (share: number | undefined, all: number): number => (one.own ? 0 : (1 - (share ?? 0)) * all);
  return {
    ...one,
    fit: fitsNow ? (fitsThen ? 'now and then' : 'now') : 'no',
    before: lacks(one.held?.first, bytes?.first ?? 0),
    after: lacks(one.held?.rest, bytes?.rest ?? 0),
  };
}

const felt = (bytes: number): number => Math.floor(bytes / FELT_BYTES);
const roomOf = ({ peakFreeMiB, freeMiB }: Judged): number =>
  Math.min(peakFreeMiB ?? Number.POSITIVE_INFINITY, freeMiB ?? Number.NEGATIVE_INFINITY);

/** Able ones first, then by room, what moves before it runs, its own, what moves after, room again; names last: choices are stable. */
function better(a: Judged, b: Judged): number {
  return (
    Number(a.barred !== null) - Number(b.barred !== null) ||
    FITS.indexOf(a.fit) - FITS.indexOf(b.fit) ||
    felt(a.before) - felt(b.before) ||
    Number(b.own) - Number(a.own) ||
    felt(a.after) - felt(b.after) ||
    (roomOf(a) === roomOf(b) ? 0 : roomOf(b) - roomOf(a)) ||
    (a.host < b.host ? -1 : Number(a.host > b.host))
  );
}

function whyNot(one: Judged, best: Judged, need: ResumeNeed): string {
  if (one.barred !== null) return one.barred;
  if (one.fit !== 'now and then' && FITS.indexOf(one.fit) >= FITS.indexOf(best.fit) && one.fit !== best.fit) return roomWords(one, need);
  if (one.fit === 'no') return roomWords(one, need);
  const words = `${roomWords(one, need)}; ${moveWords(one, need)}`;
  if (felt(one.before) > felt(best.before)) return `more would have to move before it runs: ${words}`;
  if (best.own && !one.own) return `all of it lies on ${best.host}: ${words}`;
  if (felt(one.after) > felt(best.after)) return `more would have to move after it runs: ${words}`;
  return `no better: ${words}`;
}

function roomWords({ freeMiB, peakFreeMiB, peakFreeCores, fit }: Judged, { memoryMiB, cores }: ResumeNeed): string {
  if (freeMiB === null) return 'what it has free is not known';
  const now = `${whole(freeMiB)} MiB free now`;
  const needed = `${Math.ceil(memoryMiB)} MiB needed`;
  if (fit === 'no') return `${now}, ${needed}`;
  if (peakFreeMiB !== null && peakFreeMiB < memoryMiB) return `${now}, ${whole(peakFreeMiB)} at the peak forecast for the hour, ${needed}`;
  if (peakFreeCores !== null && cores !== null && peakFreeCores < cores)
    return `${now}, but ${peakFreeCores.toFixed(1)} cores at the peak forecast for the hour, ${cores.toFixed(1)} needed`;
  return peakFreeMiB === null ? `${now}, nothing forecast yet` : `${now}, ${whole(peakFreeMiB)} at the peak forecast for the hour`;
}

function moveWords({ own, held, before, after }: Judged, { bytes }: ResumeNeed): string {
  if (own) return 'all of its snapshot is there';
  if (held === null) return 'what it holds of it is not known';
  const moves = `${mib(before)} MiB move before it runs, ${mib(after)} after`;
  if (bytes !== null && bytes.first === 0)
    return `what it touches first was never seen, ${Math.round(held.rest * 100)} % of all of it is there: ${moves}`;
  return `${Math.round(held.first * 100)} % of what it touches first is there: ${moves}`;
}

const whole = (value: number): number => Math.max(0, Math.floor(value));
const mib = (bytes: number): string => (bytes / MIB).toFixed(0);
