/**
 * How much of what a VM will touch first is fetched ahead, and how long ahead, learnt from what it cost: a bandit over a few ways ("arms"), all
 * within what the policy allows, the first of which is what it says. Pure. Input: what earlier suspensions of this VM, and of others under
 * the same rule, cost with which arm; output: the arm for the next one, and why in words. Costs are in seconds of waiting.
 *
 * The method is a sliding-window UCB (Garivier and Moulines 2011) with the bound scaled by what was seen to vary (as UCB1-Tuned: Auer,
 * Cesa-Bianchi and Fischer 2002), for costs: the arm is taken for which mean * (1 - v * sqrt(X ln n / n_arm)) is lowest, where v is how much costs
 * swing around their arm's mean, as a share of it. Costs of one VM swing by shares: a bound from their whole range, which the difference
 * between arms makes wide, would go on trying what is known to be dear. Old suspensions fall out of the window, so that a guest that changed is
 * learnt anew; costs above four times their arm's median are cut there, since one hung disk is no news about an arm; and other VMs'
 * suspensions count half, some forty-eight at most, so that a VM resumed once a day need not try all by itself.
 */
export interface PrefetchArm {
  /** Of the predicted mass, likeliest chunks first; 0 = it is not made ready ahead. */
  share: number;
  /** Of the policy's lead. */
  lead: number;
}

export const PREFETCH_ARMS: readonly PrefetchArm[] = [
  { share: 1, lead: 1 },
  { share: 1, lead: 0.5 },
  { share: 0.6, lead: 1 },
  { share: 0.6, lead: 0.5 },
  { share: 0, lead: 0 },
];

/** What one suspension cost, from when it was put aside until it had touched what it needed, with its arm's place in the list. */
export interface ArmCost {
  arm: number;
  costSeconds: number;
}

/** Suspensions of one VM that are remembered: two months of working days. */
export const WINDOW = 48;
/** Half of what the proofs for a bound of one ask for: being wrong costs one suspension some waiting, and soon shows. */
const EXPLORATION = 0.5;
const CUT_AT_MEDIANS = 4;
const OTHERS_WEIGHT = 0.5;
const OTHERS_MAX = 48;

export interface ArmChoice {
  arm: number;
  why: string;
}

/** The window with one more. */
export function noteCost(window: readonly ArmCost[], cost: ArmCost): ArmCost[] {
  return [...window, cost].slice(-WINDOW);
}

export interface ArmFigures {
  /** Own suspensions, and with others' as they count. */
  own: number;
  count: number;
  /** NaN: it was never tried. */
  meanSeconds: number;
}

export function armFigures(own: readonly ArmCost[], others: readonly ArmCost[]): ArmFigures[] {
  return weighed(own, others).map(({ own: mine, costs, count }) => {
    const sum = costs.reduce((total, { cost, weight }) => total + weight * cost, 0);
    return { own: mine, count, meanSeconds: sum / count };
  });
}

/** Deterministic: of equals the one nearest to what the policy says. */
export function chooseArm(own: readonly ArmCost[], others: readonly ArmCost[]): ArmChoice {
  const figures = armFigures(own, others);
  const untried = figures.findIndex(({ count }) => count === 0);
  if (untried >= 0) return { arm: untried, why: 'it was not tried yet' };
  const all = figures.reduce((sum, { count }) => sum + count, 0);
  const swing = swingOf(own, others, figures);
  const bounds = figures.map(
    ({ meanSeconds, count }) => meanSeconds * (1 - swing * Math.sqrt((EXPLORATION * Math.log(Math.max(1, all))) / count)),
  );
  const arm = bounds.indexOf(Math.min(...bounds));
  const least = Math.min(...figures.map(({ meanSeconds }) => meanSeconds));
  const cheapest = figures[arm]!.meanSeconds === least;
  return { arm, why: cheapest ? 'it cost least so far' : 'it was tried too seldom to know that it costs more' };
}

interface Weighed {
  own: number;
  costs: { cost: number; weight: number }[];
  count: number;
}

/** By arm, cut, each with what it counts. */
function weighed(own: readonly ArmCost[], others: readonly ArmCost[]): Weighed[] {
  const weight = Math.min(OTHERS_WEIGHT, OTHERS_MAX / Math.max(1, others.length));
  return PREFETCH_ARMS.map((_, arm) => {
    const of = (costs: readonly ArmCost[]): number[] => costs.filter((one) => one.arm === arm).map(({ costSeconds }) => costSeconds);
    const [mine, theirs] = [of(own), of(others)];
    const cut = cutOf([...mine, ...theirs]);
    const costs = [...mine.map((cost) => ({ cost, weight: 1 })), ...theirs.map((cost) => ({ cost, weight }))];
    return {
      own: mine.length,
      costs: costs.map((one) => ({ ...one, cost: Math.min(cut, one.cost) })),
      count: mine.length + weight * theirs.length,
    };
  });
}

/** How far costs lie from their arm's mean, as a share of it: the root of the mean square. */
function swingOf(own: readonly ArmCost[], others: readonly ArmCost[], figures: readonly ArmFigures[]): number {
  let [squares, weights] = [0, 0];
  for (const [arm, { costs }] of weighed(own, others).entries()) {
    const mean = figures[arm]!.meanSeconds;
    if (!(mean > 0) || costs.length < 2) continue;
    for (const { cost, weight } of costs) {
      squares += weight * (cost / mean - 1) ** 2;
      weights += weight;
    }
  }
  return weights === 0 ? 0 : Math.min(1, Math.sqrt(squares / weights));
}

function cutOf(costs: readonly number[]): number {
  const sorted = costs.toSorted((a, b) => a - b);
  return CUT_AT_MEDIANS * (sorted[Math.floor(sorted.length / 2)] ?? 0);
}
