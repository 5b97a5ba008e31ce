/** Freeze windows: times of the week, in a time zone, in which no plan changes anything. Moments in, the window in force out. */
import type { FleetPolicy } from './policy.ts';

const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'] as const;
const MINUTES_PER_DAY = 1440;

/** `Fri 18:00` → minutes since Monday 00:00. */
export function minuteOfWeek(text: string): number {
  const [day, time] = text.split(' ') as [(typeof DAYS)[number], string];
  const [hours, minutes] = time.split(':').map(Number) as [number, number];
  return DAYS.indexOf(day) * MINUTES_PER_DAY + hours * 60 + minutes;
}

export function validTimeZone(timeZone: string): boolean {
  try {
    formatterFor(timeZone);
    return true;
  } catch {
    return false;
  }
}

/** Making one costs 50 µs, and each plan asks. */
const formatters = new Map<string, Intl.DateTimeFormat>();

/** Throws RangeError for an unknown zone. */
export function formatterFor(timeZone: string): Intl.DateTimeFormat {
  let formatter = formatters.get(timeZone);
  if (!formatter) {
    formatter = new Intl.DateTimeFormat('en-US', { timeZone, weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
    formatters.set(timeZone, formatter);
  }
  return formatter;
}

function localMinuteOfWeek(nowMs: number, timeZone: string): number {
  const parts = Object.fromEntries(
    formatterFor(timeZone)
      .formatToParts(nowMs)
      .map(({ type, value }) => [type, value]),
  );
  return minuteOfWeek(`${parts.weekday} ${parts.hour}:${parts.minute}`);
}

/** The freeze window in force, null = none. A window whose end lies before its start runs over the week's end. */
export function freezeAt(nowMs: number, windows: FleetPolicy['freezeWindows']): FleetPolicy['freezeWindows'][number] | null {
  for (const window of windows) {
    const minute = localMinuteOfWeek(nowMs, window.timeZone);
    const { fromMinuteOfWeek: from, toMinuteOfWeek: to } = window;
    if (from < to ? minute >= from && minute < to : minute >= from || minute < to) return window;
  }
  return null;
}
