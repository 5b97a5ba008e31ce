/**
 * Where the time of a login went, and whether what it waited for were resources. Input: our own times, the guest's report of its
 * work, the shares of time that the host saw the VM wait; output: phases with the rest that none accounts for, and the causes of
 * a delay. Pure. What the guest says is a claim: it is told to its owner and moves nothing.
 */
export const WAITED_FOR = ['memory', 'cpu', 'io'] as const;
export type WaitedFor = (typeof WAITED_FOR)[number];

/** `queue`: until a host took the command; `delivery`: until the guest agent had read it; the others are the guest's work. */
export const LOGIN_PHASES = ['queue', 'delivery', 'secret', 'encrypt', 'account'] as const;
export type LoginPhase = (typeof LOGIN_PHASES)[number];

export interface LoginTimes {
  totalMs: number;
  phases: { name: LoginPhase; ms: number }[];
  /** Of the total, what is in no phase: the way back, and whatever the guest did between them. */
  unaccountedMs: number;
}

export interface Cause {
  resource: WaitedFor;
  /** Of the time, the share in which something in the VM waited for this; 0..1, null = it is short of it, by how much is unknown. */
  share: number | null;
  seenBy: 'guest' | 'host';
}

/** What the host saw of late: the share of time in which the VM waited, and whether it was short. */
export interface Wait {
  share: number | null;
  short: boolean;
}

/** Since the guest agent read the command. */
export interface GuestWork {
  elapsedMs: number;
  phases: readonly { name: LoginPhase; ms: number }[];
  /** Null = the guest's kernel does not tell. */
  stalledMs: Readonly<Record<WaitedFor, number | null>>;
}

/** A login takes well under a second on an idle machine, and a password's hash another: more is a delay. */
export const LATE_MS = 5000;
/** A fifth of the time: less than this is the noise of any machine that also does something else. */
const SHARE_MIN = 0.2;

export function timesOf(own: { totalMs: number; queueMs: number; deliveryMs: number | null }, guest: GuestWork | null): LoginTimes {
  const phases: LoginTimes['phases'] = [{ name: 'queue', ms: own.queueMs }];
  if (own.deliveryMs !== null) phases.push({ name: 'delivery', ms: own.deliveryMs });
  phases.push(...(guest?.phases ?? []));
  const known = phases.reduce((sum, { ms }) => sum + ms, 0);
  return { totalMs: own.totalMs, phases, unaccountedMs: Math.max(0, own.totalMs - known) };
}

/**
 * Null: it is not late. Memory comes first: a guest that is short of it waits for its disk and its CPU as well, because of it.
 * `seenByHost` counts where the guest tells nothing.
 */
export function causesOf(totalMs: number, guest: GuestWork | null, seenByHost: Readonly<Record<WaitedFor, Wait>>): Cause[] | null {
  if (totalMs < LATE_MS) return null;
  return WAITED_FOR.flatMap((resource): Cause[] => {
    const stalled = guest?.stalledMs[resource] ?? null;
    const told = stalled === null || guest === null || guest.elapsedMs <= 0 ? null : Math.min(1, stalled / guest.elapsedMs);
    if (told !== null) return told >= SHARE_MIN ? [{ resource, share: told, seenBy: 'guest' }] : [];
    const { share, short } = seenByHost[resource];
    return short || (share ?? 0) >= SHARE_MIN ? [{ resource, share, seenBy: 'host' }] : [];
  });
}
