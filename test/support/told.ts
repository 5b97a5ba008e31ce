/** What a calm guest told of its memory a second ago, as the memory guard takes it. Input: MiB, null = nothing fresh. */
import type { VouchedMemory } from '../../agent/core/memory-guard.ts';

type Told = Pick<VouchedMemory, 'availableMiB' | 'workingSetMiB' | 'growthMiBPerSecond' | 'toldAgeMs'>;

export const told = (availableMiB: number | null, workingSetMiB: number | null): Told => ({
  ...{ availableMiB, workingSetMiB },
  ...{ growthMiBPerSecond: 0, toldAgeMs: 1000 },
});
