/**
 * XML text → a plain tree that is pleasant to ask. Hostile input is expected: no DOCTYPE (so no entities of its own), a
 * size limit, and any parse failure is an error value in words, never an exception from the depths.
 */
import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { errorText, HeadroomError } from '../../../shared/errors.ts';

/** The largest domain definitions seen (hundreds of disks) stay under 1 MiB; libvirt's own limit is 4 MiB (REMOTE_STRING_MAX). */
const XML_CHARACTERS_MAX = 4 * 1024 * 1024;
/** Definitions nest about ten deep. */
const DEPTH_MAX = 64;

export interface XmlElement {
  /** Name with its prefix, as written. */
  name: string;
  attributes: ReadonlyMap<string, string>;
  children: XmlElement[];
  text: string;
}

const ATTRIBUTES = ':@';
const TEXT = '#text';

const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: '',
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: true,
  processEntities: true,
  ignoreDeclaration: true,
  ignorePiTags: true,
});

/** Throws HYPERVISOR_REFUSED saying what is wrong with the text. */
export function parseXml(text: string): XmlElement {
  if (text.length > XML_CHARACTERS_MAX) throw unreadable(`it is longer than ${XML_CHARACTERS_MAX} characters`);
  if (/<!DOCTYPE|<!ENTITY/i.test(text)) throw unreadable('it declares a document type, which libvirt never does');
  if (nestingOf(text) > DEPTH_MAX) throw unreadable(`it nests deeper than ${DEPTH_MAX} elements`);
  let nodes: unknown;
  try {
    const valid = XMLValidator.validate(text);
    if (valid !== true) throw new Error(`${valid.err.msg} (line ${valid.err.line})`);
    nodes = parser.parse(text);
  } catch (error) {
    throw unreadable(errorText(error));
  }
  const roots = Array.isArray(nodes) ? nodes.map(toElement).filter((element) => element !== null) : [];
  const root = roots[0];
  if (root === undefined || roots.length !== 1) throw unreadable(`it has ${roots.length} root elements`);
  return root;
}

const unreadable = (why: string): HeadroomError => new HeadroomError('HYPERVISOR_REFUSED', `XML could not be read: ${why}`);

/** An upper bound of the depth, found without parsing. */
function nestingOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (const match of text.matchAll(/<(\/?)[A-Za-z_][^>]*?(\/?)>/g)) {
    if (match[1]) depth--;
    else if (!match[2]) deepest = Math.max(deepest, ++depth);
  }
  return deepest;
}

function toElement(node: unknown): XmlElement | null {
  if (typeof node !== 'object' || node === null) return null;
  const record = node as Record<string, unknown>;
  const name = Object.keys(record).find((key) => key !== ATTRIBUTES && key !== TEXT);
  if (name === undefined || name.startsWith('?')) return null;
  const content = Array.isArray(record[name]) ? (record[name] as unknown[]) : [];
  const attributes = new Map<string, string>();
  const given = record[ATTRIBUTES];
  if (typeof given === 'object' && given !== null) {
    for (const [key, value] of Object.entries(given)) attributes.set(key, String(value));
  }
  const text = content.map((child) => String((child as Record<string, unknown>)[TEXT] ?? '')).join('');
  return { name, attributes, children: content.map(toElement).filter((child) => child !== null), text: text.trim() };
}

export function childrenOf(element: XmlElement | undefined, name: string): XmlElement[] {
  return element?.children.filter((child) => child.name === name) ?? [];
}

/** The element at the end of a path of names, undefined when there is none. */
export function at(element: XmlElement | undefined, ...path: string[]): XmlElement | undefined {
  let found = element;
  for (const name of path) found = found?.children.find((child) => child.name === name);
  return found;
}

export function attribute(element: XmlElement | undefined, name: string): string | undefined {
  return element?.attributes.get(name);
}

/** A child that belongs to a namespace, whatever its prefix; `scope` are the elements around it, outermost first. */
export function childInNamespace(
  element: XmlElement | undefined,
  namespace: string,
  local: string,
  scope: readonly XmlElement[],
): XmlElement | undefined {
  return element?.children.find((child) => {
    const [prefix, name] = child.name.includes(':') ? (child.name.split(':', 2) as [string, string]) : ['', child.name];
    if (name !== local) return false;
    const declaration = prefix === '' ? 'xmlns' : `xmlns:${prefix}`;
    const declared = [child, element, ...[...scope].reverse()].find((one) => one.attributes.has(declaration));
    return declared?.attributes.get(declaration) === namespace;
  });
}
