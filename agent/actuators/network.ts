/**
 * Bandwidth limits of a VM's interfaces. A host without the traffic-control modules may take one direction and refuse the
 * other: what is read back is reported as it is.
 */
import { type Actuate, writeExact } from './actuator.ts';

export const actuateNetwork: Actuate<'network'> = (context, vm, target) => writeExact(context, vm, target);
