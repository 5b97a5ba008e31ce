/** The host's capabilities XML → NUMA nodes. Text in; nodes out, empty when it tells none or cannot be read. */
import { kibToMiB } from '../../../shared/units.ts';
import type { HostCapacity } from '../hypervisor.ts';
import { memoryKib } from './domain-xml.ts';
import { at, attribute, childrenOf, parseXml, type XmlElement } from './xml-tree.ts';

export function numaNodesOf(xml: string): HostCapacity['numaNodes'] {
  let root: XmlElement;
  try {
    root = parseXml(xml);
  } catch {
    return [];
  }
  return childrenOf(at(root, 'host', 'topology', 'cells'), 'cell').flatMap((cell) => {
    const id = Number(attribute(cell, 'id'));
    const sizeKib = memoryKib(at(cell, 'memory'), []);
    const cpus = childrenOf(at(cell, 'cpus'), 'cpu').map((cpu) => Number(attribute(cpu, 'id')));
    return Number.isInteger(id) ? [{ id, memoryMiB: kibToMiB(sizeKib), cpus: cpus.filter(Number.isInteger) }] : [];
  });
}
