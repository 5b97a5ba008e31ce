/** CPU weight and cap of a VM: hold at once, read back exactly. Emulator and I/O threads are left alone by the adapter. */
import { type Actuate, writeExact } from './actuator.ts';

export const actuateCpu: Actuate<'cpu'> = (context, vm, target) => writeExact(context, vm, target);
