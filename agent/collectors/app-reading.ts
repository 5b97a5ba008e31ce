/** Values under applications' own names as a reading: names beyond the agent's limit are left out. `fields` grows along. */
import type { AppNames } from '../core/app-names.ts';
import { type Reading, reading } from './collector.ts';

export function namedReading(values: Readonly<Record<string, number>>, names: AppNames, fields: string[]): Reading {
  const named: Record<string, number> = {};
  for (const [name, value] of Object.entries(values)) {
    const field = names.fieldFor(name);
    if (field === null) continue;
    named[field] = value;
    if (!fields.includes(field)) fields.push(field);
  }
  return reading(named);
}
