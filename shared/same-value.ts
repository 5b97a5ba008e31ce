/**
 * Are two plain values the same, as they would be on the wire? Parts that are one object are not looked into, so that what is
 * compared every few seconds costs little where it is kept. Input: values of frames; output: yes or no. Pure.
 */
export function sameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    for (let i = 0; i < a.length; i++) if (!sameValue(a[i], b[i])) return false;
    return true;
  }
  if (Array.isArray(b)) return false;
  return sameFields(a as Record<string, unknown>, b as Record<string, unknown>);
}

/** An absent field is one that is undefined. */
function sameFields(a: Record<string, unknown>, b: Record<string, unknown>): boolean {
  let told = 0;
  for (const name in a) {
    if (a[name] === undefined) continue;
    told++;
    if (!sameValue(a[name], b[name])) return false;
  }
  for (const name in b) if (b[name] !== undefined) told--;
  return told === 0;
}
