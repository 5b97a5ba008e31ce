/** Picks the actuator for a setting. A balloon on its way counts as carried out; any other difference is a failure. */
import type { VmId } from '../../shared/ids.ts';
import type { Setting } from '../../shared/resources.ts';
import type { Actuation, ActuatorContext } from './actuator.ts';
import { actuateCpu } from './cpu.ts';
import { actuateDisk } from './disk.ts';
import { actuateMemory } from './memory.ts';
import { actuateNetwork } from './network.ts';

export function actuate(context: ActuatorContext, vm: VmId, target: Setting): Promise<Actuation> {
  switch (target.resource) {
    case 'cpu':
      return actuateCpu(context, vm, target);
    case 'memory':
      return actuateMemory(context, vm, target);
    case 'network':
      return actuateNetwork(context, vm, target);
    case 'disk':
      return actuateDisk(context, vm, target);
  }
}
