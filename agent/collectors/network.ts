/**
 * Bytes received and sent by this machine (/proc/net/dev, without loopback). A host counts interfaces with a device behind
 * them, so that bridges, bonds and its VMs' own ports are not counted on top of the wire. Output: bytes/s.
 */
import { createRates } from '../core/rates.ts';
import { type Collector, noData, reading } from './collector.ts';
import type { KernelFiles } from './files.ts';
import { numbers } from './parse.ts';

/** Interfaces come and go rarely: which of them are hardware is asked again after so many samples. */
const LIST_EVERY_SAMPLES = 60;

export function createNetwork(files: KernelFiles, role: 'guest' | 'host', gapMsMax: number): Collector {
  const [receiveField, transmitField] =
    role === 'guest'
      ? ['vm_network.guestReceiveBytesPerSecond', 'vm_network.guestTransmitBytesPerSecond']
      : ['host_network.receiveBytesPerSecond', 'host_network.transmitBytesPerSecond'];
  const rates = createRates(['received', 'sent'], { gapMsMax });
  let hardware: ReadonlySet<string> = new Set();
  let samples = 0;
  return {
    name: 'network',
    fields: [receiveField, transmitField],
    required: [],
    update(nowMs) {
      const text = files.read('proc/net/dev');
      if (text === null) return noData('/proc/net/dev is not there');
      if (role === 'host' && samples++ % LIST_EVERY_SAMPLES === 0) hardware = interfacesWithDevice(files);
      const { received, sent } = rates(sumOfInterfaces(text, role === 'host' ? hardware : null), nowMs);
      return reading({ [receiveField]: received, [transmitField]: sent });
    },
  };
}

function interfacesWithDevice(files: KernelFiles): ReadonlySet<string> {
  const names = files.list('sys/class/net') ?? [];
  return new Set(names.filter((name) => files.list(`sys/class/net/${name}/device`) !== null));
}

/** Sums over the interfaces in `only` (null = all but loopback); NaN when there is none, which is not a quiet network. */
function sumOfInterfaces(text: string, only: ReadonlySet<string> | null): { received: number; sent: number } {
  let received = 0;
  let sent = 0;
  let seen = 0;
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon < 0) continue;
    const name = line.slice(0, colon).trim();
    if (name === 'lo' || (only !== null && !only.has(name))) continue;
    const columns = numbers(line.slice(colon + 1));
    received += columns[0] ?? Number.NaN;
    sent += columns[8] ?? Number.NaN;
    seen++;
  }
  return seen === 0 ? { received: Number.NaN, sent: Number.NaN } : { received, sent };
}
