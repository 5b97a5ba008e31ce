/**
 * CPU of one VM solved as a whole: from one figure of demand follow the weight's cores, the cap, and how many vCPUs the guest
 * needs online. A cap is a quota of each vCPU: those that are offline leave theirs unused, so with few online the same cores
 * need a higher cap, and that whole cap counts in the host's sums, whatever the guest says is online. Pure.
 */

export interface CpuProblem {
  /** Of the definition, and online now. */
  vcpus: number;
  online: number;
  /** Wanted within the lead, and at most as far as the forecast reaches; with margin. */
  cores: number;
  sustainedCores: number;
  /** Least and most that policy and safety allow. */
  floorCores: number;
  ceilingCores: number;
  /** In force; null = no cap. */
  capCores: number | null;
  /** A cap is set by the plan, or only weights. */
  caps: boolean;
  /** What the host has left for a higher cap. */
  roomCores: number;
  /** vCPUs may be taken offline now, as far as this VM's own rules go. */
  mayTake: boolean;
}

export interface CpuSolution {
  /** The cap with which the vCPUs online can run `cores`; null = none is set. */
  capCores: number | null;
  /** How many vCPUs the guest is to have online. */
  vcpus: number;
}

/** Online vCPUs are never planned to be busier than this: a guest's own scheduler needs idle time to even out its load. */
const BUSY_SHARE_MAX = 0.8;
/** Fewer by less than this share is not worth stopping the whole guest for a moment. */
const TAKEN_SHARE_MIN = 0.25;
/** Not more at once: what that does shows before the rest follows. */
const TAKEN_SHARE_MAX = 0.5;
/** A cap is written in hundredths, rounded up, and read back from whole microseconds. */
const ROUNDING = 1e-3;

export function solveCpu(problem: CpuProblem): CpuSolution {
  const { vcpus, online, cores, caps } = problem;
  const aim = aimOf(problem);
  const inForce = problem.capCores ?? vcpus;
  const most = Math.min(problem.ceilingCores, inForce + problem.roomCores);
  if (!caps) return { capCores: null, vcpus: vcpusFor(problem, aim, [problem.capCores]) };
  // A higher cap comes before vCPUs go; where the host has no room for it, they stay.
  const base = aim < online && capFor(cores, vcpus, aim) > Math.max(inForce, most) + ROUNDING ? online : aim;
  const wanted = capFor(cores, vcpus, Math.min(base, online));
  const capCores = wanted > inForce ? Math.max(Math.min(cores, vcpus), Math.min(wanted, Math.max(most, inForce))) : wanted;
  return { capCores, vcpus: vcpusFor(problem, base, [Math.min(inForce, capCores)]) };
}

/** What demand alone asks for: more at once, less only by enough to be worth it. */
function aimOf({ vcpus, online, cores, sustainedCores, floorCores, ceilingCores, mayTake }: CpuProblem): number {
  const most = Math.max(cores, sustainedCores);
  const underCeiling = ceilingCores > 0 ? (most * vcpus) / ceilingCores : 0;
  const needed = whole(Math.max(most / BUSY_SHARE_MAX, floorCores, underCeiling), vcpus);
  if (needed >= online) return needed;
  if (!mayTake || needed > online * (1 - TAKEN_SHARE_MIN)) return online;
  return Math.max(needed, Math.ceil(online * (1 - TAKEN_SHARE_MAX)));
}

/** So many, and as many more as these caps ask for: a cap is a quota of each vCPU. What is left to take must still be worth it. */
export function vcpusFor({ vcpus, online, cores, sustainedCores }: CpuProblem, aim: number, caps: readonly (number | null)[]): number {
  const most = Math.max(cores, sustainedCores);
  const under = caps.map((cap) => (cap === null ? 1 : whole((most * vcpus) / Math.max(cap, ROUNDING), vcpus)));
  const needed = Math.max(aim, ...under);
  return needed < online && needed > online * (1 - TAKEN_SHARE_MIN) ? online : needed;
}

/** The cap with which so many of its vCPUs can run `cores`. */
function capFor(cores: number, vcpus: number, online: number): number {
  return Math.min(vcpus, (cores * vcpus) / online);
}

function whole(vcpus: number, most: number): number {
  return Math.min(most, Math.max(1, Math.ceil(vcpus - ROUNDING)));
}
