/**
 * One array per distinct field list, whoever named it: ten thousand agents of one kind name the same lists, and what is
 * looked up by a list (where its fields stand, which number it has in the store) is then looked up once and stays warm.
 * Input: a checked list; output: the same names, frozen. Pure but for the table, which forgets all when it is full: lists
 * named before stay shared among those who have them.
 */

/** At most some 16 MiB of names, however hostile. */
const LISTS_MAX = 1024;

const known = new Map<string, readonly string[]>();

export function sharedFieldList(fields: readonly string[]): readonly string[] {
  // No field name has a line break in it.
  const text = fields.join('\n');
  const before = known.get(text);
  if (before !== undefined) return before;
  if (known.size >= LISTS_MAX) known.clear();
  const list = Object.freeze([...fields]);
  known.set(text, list);
  return list;
}
