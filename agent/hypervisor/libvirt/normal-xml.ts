/**
 * A live definition as lines that can be compared, without what libvirt cannot take back. Once a scheduler value was ever
 * written, libvirt 9 keeps `<shares>`, `<period>` and `<quota>` in the live XML with the value they have (a quota of 0 is
 * ignored, -1 is kept), a burst's length keeps its default of one second, and a removed metadata element leaves
 * `<metadata/>`: a default that is spelled out means the same as one that is not. I/O limits and the statistics period
 * vanish from the XML when set to 0. Whether a guest has a channel open (`state`) is no setting and left out. XML in, lines
 * out.
 */
import { type CgroupVersion, isUnlimited } from './cpu-tuning.ts';
import { parseXml, type XmlElement } from './xml-tree.ts';

const PERIOD_US_DEFAULT = 100_000;
const SHARES_DEFAULT: Record<CgroupVersion, number> = { 1: 1024, 2: 100 };
/** Elements that mean nothing when they are empty. */
const EMPTY_MEANS_NOTHING = ['cputune', 'metadata', 'iotune', 'bandwidth'];

/** One line per element, attribute and text, indented; equal lines mean equal definitions. */
export function normalXml(xml: string, version: CgroupVersion): string[] {
  return linesOf(parseXml(xml), '', version);
}

function linesOf(element: XmlElement, indent: string, version: CgroupVersion): string[] {
  const children = element.children.filter((child) => !(['cputune', 'iotune'].includes(element.name) && isDefault(child, version)));
  const inner = children.flatMap((child) => linesOf(child, `${indent}  `, version));
  if (EMPTY_MEANS_NOTHING.includes(element.name) && inner.length === 0 && element.attributes.size === 0 && element.text === '') return [];
  const attributes = [...element.attributes]
    .filter(([name]) => !(element.name === 'target' && name === 'state'))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => ` ${name}="${value}"`);
  return [`${indent}${element.name}${attributes.join('')}${element.text === '' ? '' : `: ${element.text}`}`, ...inner];
}

function isDefault({ name, text }: XmlElement, version: CgroupVersion): boolean {
  if (name.endsWith('_max_length')) return Number(text) === 1;
  if (name === 'shares') return Number(text) === SHARES_DEFAULT[version];
  if (name === 'period') return Number(text) === PERIOD_US_DEFAULT;
  return name === 'quota' && isUnlimited(Number(text));
}
