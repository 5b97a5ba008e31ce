/**
 * The journal inside the VM's own metadata element: a copy that survives the loss of the state directory. Input: the
 * element's XML as it is (an administrator's labels may be in it), a record or null; output: the XML with or without our
 * part, everything else untouched. Pure text work: the element belongs to Headroom and holds no other `journal`.
 */
import { HeadroomError } from '../../shared/errors.ts';
import type { VmRecord } from './journal.ts';

const PART = /<journal>[^<]*<\/journal>/;
/** The root for a VM that had no such element. */
const ROOT = '<vm></vm>';
const EMPTY_ROOT = /^<vm(\s[^>]*)?(?:\/>|>\s*<\/vm>)$/;

/** `xml` null = no element. Returns null when nothing but our part was in it. */
export function metadataWithRecord(xml: string | null, record: VmRecord | null): string | null {
  const bare = (xml ?? ROOT).trim().replace(PART, '');
  if (record === null) return xml === null || EMPTY_ROOT.test(bare) ? null : bare;
  const part = `<journal>${Buffer.from(JSON.stringify(record)).toString('base64')}</journal>`;
  const open = bare.replace(/^<([\w:.-]+)((?:\s[^>]*?)?)\/>$/, '<$1$2></$1>');
  const end = open.lastIndexOf('</');
  if (end < 0) throw new HeadroomError('HYPERVISOR_REFUSED', `the VM's metadata element is not XML with an end tag: ${bare.slice(0, 80)}`);
  return `${open.slice(0, end)}${part}${open.slice(end)}`;
}

/** The JSON text of the record in the element, null when there is none. */
export function recordTextInMetadata(xml: string | null): string | null {
  const part = xml === null ? null : PART.exec(xml);
  if (!part) return null;
  return Buffer.from(part[0].slice('<journal>'.length, -'</journal>'.length), 'base64').toString('utf8');
}
