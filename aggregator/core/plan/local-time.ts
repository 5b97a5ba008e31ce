/**
 * Wall-clock times in a time zone → UTC. Input: `2026-03-29 02:30` and a zone; output: milliseconds. Where the clocks are
 * set back an hour comes twice: the caller says which; where they are set forward a time that never was is the moment of
 * the change's other side.
 */
const PATTERN = /^(\d{4})-(\d{2})-(\d{2}) (\d{2}):(\d{2})$/;
export const LOCAL_TIME_PATTERN = '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01]) ([01][0-9]|2[0-3]):[0-5][0-9]$';
const DAY_MS = 86_400_000;

const formatters = new Map<string, Intl.DateTimeFormat>();

/** How far the zone's clocks are ahead of UTC at a moment, ms. Throws RangeError for an unknown zone. */
function offsetMs(utcMs: number, timeZone: string): number {
  let formatter = formatters.get(timeZone);
  if (!formatter) {
    const digits = '2-digit' as const;
    formatter = new Intl.DateTimeFormat('en-US', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: digits,
      day: digits,
      hour: digits,
      minute: digits,
    });
    formatters.set(timeZone, formatter);
  }
  const parts = Object.fromEntries(formatter.formatToParts(utcMs).map(({ type, value }) => [type, Number(value)]));
  const minuteMs = Math.floor(utcMs / 60_000) * 60_000;
  return Date.UTC(parts.year!, parts.month! - 1, parts.day!, parts.hour!, parts.minute!) - minuteMs;
}

/** Null: no such day (30 February). */
export function utcOfLocal(text: string, timeZone: string, which: 'first' | 'last'): number | null {
  const [year, month, day, hour, minute] = (PATTERN.exec(text) ?? []).slice(1).map(Number) as [number, number, number, number, number];
  const asUtcMs = Date.UTC(year, month - 1, day, hour, minute);
  if (Number.isNaN(asUtcMs) || new Date(asUtcMs).getUTCDate() !== day) return null;
  // A zone changes its offset at most once within two days.
  const offsets = [offsetMs(asUtcMs - DAY_MS, timeZone), offsetMs(asUtcMs + DAY_MS, timeZone)];
  const moments = offsets.map((offset) => asUtcMs - offset).filter((utcMs) => utcMs + offsetMs(utcMs, timeZone) === asUtcMs);
  if (moments.length === 0) return asUtcMs - Math.min(...offsets);
  return which === 'first' ? Math.min(...moments) : Math.max(...moments);
}
