/** The long runs by name. */
import { fuzz } from './fuzz.ts';
import { simulate } from './simulate.ts';
import type { Soak } from './soak.ts';

export const SOAKS: Readonly<Record<string, Soak>> = { fuzz, simulate };
