/** Byte and request rates of a VM's disks: hold at once, read back exactly. */
import { type Actuate, writeExact } from './actuator.ts';

export const actuateDisk: Actuate<'disk'> = (context, vm, target) => writeExact(context, vm, target);
