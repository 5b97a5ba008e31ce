/**
 * A domain's XML whose guest has its memory in a file of ours. Pure: XML text in, XML text or facts out. libvirt's own element for
 * memory in files makes the file anew at each start and removes it at the end, so QEMU is told by its own command line, which
 * libvirt passes on as it is.
 */
import { HeadroomError } from '../../../shared/errors.ts';
import { xmlText } from './xml-text.ts';
import { at, attribute, parseXml, type XmlElement } from './xml-tree.ts';

const QEMU_NAMESPACE = 'http://libvirt.org/schemas/domain/qemu/1.0';
const BACKEND = 'headroom-ram';
const BACKEND_ARGUMENT = new RegExp(`^memory-backend-file,id=${BACKEND},mem-path=([^,]+),size=(\\d+),share=on(?:,align=\\d+[KMG]?)?$`);
/**
 * Where QEMU maps a resumed guest's memory: at a multiple of a chunk. On a fault the kernel maps what is in memory already of the 64 KiB
 * around it, counted from the process's addresses; QEMU's own choice lies one page beside them, and each chunk that was touched then
 * showed its neighbour as touched, too: at each resume the prediction grew by the chunks beside it.
 */
const ALIGN_BYTES = 64 * 1024;
const GENERATION_ID = /<genid>\s*[0-9a-fA-F-]{36}\s*<\/genid>/;
const INCOMING = ['-incoming', 'defer'] as const;

/** What goes into a definition so that its guest can be suspended into chunks: `path` is made when the guest starts. */
export function memoryFileXml(path: string, memoryBytes: number): string {
  if (!path.startsWith('/') || path.includes(',')) {
    throw new HeadroomError('HYPERVISOR_REFUSED', `guest memory cannot lie at "${path}": an absolute path without commas is needed`);
  }
  return commandLine('qemu', ['-object', backendAt(path, memoryBytes), '-machine', `memory-backend=${BACKEND}`]);
}

const backendAt = (path: string, memoryBytes: number): string =>
  `memory-backend-file,id=${BACKEND},mem-path=${path},size=${memoryBytes},share=on`;

/** Null: its memory does not lie in a file of ours. */
export function memoryFileOf(domainXml: string): { path: string; memoryBytes: number } | null {
  for (const argument of argumentsOf(parseXml(domainXml))) {
    const [, path, bytes] = BACKEND_ARGUMENT.exec(argument) ?? [];
    if (path !== undefined && bytes !== undefined) return { path, memoryBytes: Number(bytes) };
  }
  return null;
}

/**
 * The same guest over another file, waiting for its devices' state. `generation`, a UUID: where the guest has a generation id it gets this
 * one, so that what must not repeat itself (random seeds, leases of time) knows that it stood still. Throws HYPERVISOR_REFUSED when its memory is in none.
 */
export function incomingXml(definition: string, path: string, generation: string): string {
  const domainXml = definition.replace(GENERATION_ID, () => `<genid>${generation}</genid>`);
  return withArguments(domainXml, (memoryBytes) => `${backendAt(path, memoryBytes)},align=${ALIGN_BYTES}`, INCOMING);
}

/**
 * What the hypervisor saved of a guest that lived on another file, over its own file again: the other one is gone by the time it is brought
 * back. Throws as above.
 */
export function ownMemoryXml(saved: string, path: string): string {
  return withArguments(saved, (memoryBytes) => backendAt(path, memoryBytes), []);
}

function withArguments(domainXml: string, backend: (memoryBytes: number) => string, more: readonly string[]): string {
  const memory = memoryFileOf(domainXml);
  const from = domainXml.search(/<[\w.-]+:commandline\b/);
  const end = /<\/([\w.-]+):commandline>/.exec(domainXml);
  if (memory === null || from < 0 || end === null) {
    throw new HeadroomError('HYPERVISOR_REFUSED', "the definition does not have the guest's memory in a file");
  }
  const known = argumentsOf(parseXml(domainXml));
  const at = known.indexOf(INCOMING[0]);
  const rest = at < 0 ? known : known.toSpliced(at, INCOMING.length);
  const moved = rest.map((argument) => (BACKEND_ARGUMENT.test(argument) ? backend(memory.memoryBytes) : argument));
  return domainXml.slice(0, from) + commandLine(end[1] as string, [...moved, ...more]) + domainXml.slice(end.index + end[0].length);
}

export function machineTypeOf(domainXml: string): string {
  return attribute(at(parseXml(domainXml), 'os', 'type'), 'machine') ?? 'unknown';
}

function commandLine(prefix: string, values: readonly string[]): string {
  const args = values.map((value) => `<${prefix}:arg value='${xmlText(value)}'/>`);
  return `<${prefix}:commandline xmlns:${prefix}='${QEMU_NAMESPACE}'>${args.join('')}</${prefix}:commandline>`;
}

function argumentsOf(domain: XmlElement): string[] {
  const lines = domain.children.filter(({ name }) => name.endsWith(':commandline'));
  return lines.flatMap((line) => line.children.filter(({ name }) => name.endsWith(':arg')).flatMap((one) => attribute(one, 'value') ?? []));
}
