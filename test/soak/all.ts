/** The long runs by name. */
import { fuzz } from './fuzz.ts';
import { guests } from './guests.ts';
import { host } from './host.ts';
import { images } from './images.ts';
import { migration } from './migration.ts';
import { resume } from './resume.ts';
import { rollout } from './rollout.ts';
import { simulate } from './simulate.ts';
import type { Soak } from './soak.ts';
import { spawn } from './spawn.ts';

export const SOAKS: Readonly<Record<string, Soak>> = { fuzz, guests, host, images, migration, resume, rollout, simulate, spawn };
