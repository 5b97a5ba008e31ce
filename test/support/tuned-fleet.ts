/**
 * A made fleet whose VMs are put aside and wanted back again and again, with the tuning deciding how each is made ready. Pure. Input: what each
 * arm costs on the mean (before and after a change), how many VMs and suspensions, a generator; output: what was chosen and what it cost.
 */
import { type ArmCost, chooseArm, noteCost, PREFETCH_ARMS } from '../../aggregator/core/resume/prefetch-tuning.ts';
import type { Prng } from '../../shared/prng.ts';

export interface TunedFleet {
  /** Mean cost in seconds of each arm, as it is at this suspension. */
  costsAt: (suspension: number) => readonly number[];
  vms: number;
  suspensions: number;
}

export interface TunedFigures {
  /** Of the last third of suspensions, by arm. */
  lastShares: number[];
  /** Seconds a suspension, mean over all of them, and what the best arm at each would have cost. */
  meanSeconds: number;
  bestSeconds: number;
  windows: ArmCost[][];
}

export function tunedFleet({ costsAt, vms, suspensions }: TunedFleet, prng: Prng): TunedFigures {
  let windows: ArmCost[][] = Array.from({ length: vms }, () => []);
  const last = PREFETCH_ARMS.map(() => 0);
  let [spent, best] = [0, 0];
  for (let suspension = 0; suspension < suspensions; suspension++) {
    const costs = costsAt(suspension);
    const before = windows;
    windows = before.map((own, vm) => {
      const { arm } = chooseArm(
        own,
        before.flatMap((other, i) => (i === vm ? [] : other)),
      );
      // Some swing, and now and then a disk that hangs.
      const swing = (0.6 + 0.8 * prng.next()) * (prng.next() < 0.03 ? 12 : 1);
      const costSeconds = costs[arm]! * swing;
      spent += costSeconds;
      best += Math.min(...costs) * swing;
      if (suspension >= (2 * suspensions) / 3) last[arm]!++;
      return noteCost(own, { arm, costSeconds });
    });
  }
  const counted = last.reduce((a, b) => a + b, 0);
  return {
    lastShares: last.map((count) => count / counted),
    meanSeconds: spent / (vms * suspensions),
    bestSeconds: best / (vms * suspensions),
    windows,
  };
}
