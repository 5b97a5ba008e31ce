/**
 * Which columns of a block demand is estimated from. Input: a field list; output: the plain signals with their columns, and
 * the columns that are read together (two directions of a network, the figures of a memory reading); -1 = not there.
 */
import { fieldPlan } from './field-plan.ts';

/** What is summed up over a step's windows. */
export const SIGNALS = ['cpu', 'throttled', 'wait', 'cap', 'vcpus', 'steal', 'runQueue', 'network', 'disk'] as const;
export const SIGNAL = Object.fromEntries(SIGNALS.map((name, i) => [name, i])) as Record<(typeof SIGNALS)[number], number>;

const PLAIN: Readonly<Record<string, (typeof SIGNALS)[number]>> = {
  'vm_cpu.usageCores': 'cpu',
  'vm_cpu.throttledFraction': 'throttled',
  'vm_cpu.waitFraction': 'wait',
  'vm_cpu.capCores': 'cap',
  'vm_cpu.vcpusOnline': 'vcpus',
  'vm_cpu.guestStealFraction': 'steal',
  'vm_cpu.guestRunQueue': 'runQueue',
};

export interface DemandColumns {
  /** Columns of plain signals, ascending, and at the same places which signals they are. */
  readonly plainColumns: readonly number[];
  readonly plainSignals: readonly number[];
  readonly receive: number;
  readonly transmit: number;
  readonly read: number;
  readonly write: number;
  readonly balloon: number;
  readonly available: number;
  readonly total: number;
  readonly statsAge: number;
  readonly swapIn: number;
  readonly pressureFull: number;
  readonly guestTotal: number;
  readonly guestAvailable: number;
  readonly guestSwapIn: number;
  readonly guestRefaults: number;
  readonly guestPressureFull: number;
}

export const demandColumns = fieldPlan((fields): DemandColumns => {
  const plain = fields.flatMap((name, column) => (Object.hasOwn(PLAIN, name) ? [{ column, signal: SIGNAL[PLAIN[name]!] }] : []));
  const at = (name: string): number => fields.indexOf(name);
  return {
    plainColumns: plain.map(({ column }) => column),
    plainSignals: plain.map(({ signal }) => signal),
    receive: at('vm_network.receiveBytesPerSecond'),
    transmit: at('vm_network.transmitBytesPerSecond'),
    read: at('vm_disk.readBytesPerSecond'),
    write: at('vm_disk.writeBytesPerSecond'),
    balloon: at('vm_memory.balloonMiB'),
    available: at('vm_memory.availableMiB'),
    total: at('vm_memory.totalMiB'),
    statsAge: at('vm_memory.statsAgeMs'),
    swapIn: at('vm_memory.swapInMiBPerSecond'),
    pressureFull: at('vm_pressure.memoryFullFraction'),
    guestTotal: at('vm_memory.guestTotalMiB'),
    guestAvailable: at('vm_memory.guestAvailableMiB'),
    guestSwapIn: at('vm_memory.guestSwapInMiBPerSecond'),
    guestRefaults: at('vm_memory.guestRefaultsPerSecond'),
    guestPressureFull: at('vm_pressure.guestMemoryFullFraction'),
  };
});
