/** The long runs by name. */
import { fuzz } from './fuzz.ts';
import type { Soak } from './soak.ts';

export const SOAKS: Readonly<Record<string, Soak>> = { fuzz };
