/** Who takes part in the demo: one guest per role, with the names and sizes that everything else refers to. */
import { ROLES, type Role } from '../workload/pattern.ts';
import { NAME_PREFIX } from './guests.ts';

export interface RosterEntry {
  name: string;
  role: Role;
  memoryMiB: number;
  labels: Record<string, string>;
}

/** Base of about 100 MiB, 232 MiB of load at most, and room above that a static grant would waste. */
const MEMORY_MIB = 640;

export const guestName = (role: Role): string => `${NAME_PREFIX}${role}`;

export const ROSTER: readonly RosterEntry[] = ROLES.map((role) => ({
  name: guestName(role),
  role,
  memoryMiB: MEMORY_MIB,
  labels: { role },
}));
