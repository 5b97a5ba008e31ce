/**
 * The journal inside the VM's metadata: a copy that survives the loss of the state directory. The element is Headroom's own
 * (an administrator's labels live in another one). Input: a record; output: the element's XML, and back. Pure.
 */
import type { VmRecord } from './journal.ts';

/** The hypervisor may give the element, and what is in it, a namespace prefix of its own. */
const JOURNAL = /<(?:[\w.-]+:)?journal(?:\s[^>]*)?>([A-Za-z0-9+/=\s]*)<\//;

export function metadataOf(record: VmRecord): string {
  return `<state><journal>${Buffer.from(JSON.stringify(record)).toString('base64')}</journal></state>`;
}

/** The JSON text of the record in the element, null when there is none. */
export function recordTextInMetadata(xml: string | null): string | null {
  const journal = xml === null ? undefined : JOURNAL.exec(xml)?.[1];
  return journal === undefined ? null : Buffer.from(journal, 'base64').toString('utf8');
}
