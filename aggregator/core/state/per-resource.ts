/** One value for each resource. */
import type { Resource } from '../../../shared/resources.ts';

export const perResource = <T>(make: (resource: Resource) => T): Record<Resource, T> => ({
  cpu: make('cpu'),
  memory: make('memory'),
  network: make('network'),
  disk: make('disk'),
});
