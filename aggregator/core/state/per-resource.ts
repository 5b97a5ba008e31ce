/** One value for each resource. */
import type { Resource } from '../../../shared/resources.ts';

export const perResource = <T>(make: (resource: Resource) => T): Record<Resource, T> => ({
  cpu: make('cpu'),
  memory: make('memory'),
  network: make('network'),
  disk: make('disk'),
});

/** The same with one part less, made anew: an object that a part is deleted from is slow to read ever after. */
export function without<T>(parts: Partial<Record<Resource, T>>, resource: Resource): Partial<Record<Resource, T>> {
  if (parts[resource] === undefined) return parts;
  const left: Partial<Record<Resource, T>> = {};
  for (const [other, part] of Object.entries(parts) as [Resource, T][]) if (other !== resource) left[other] = part;
  return left;
}
