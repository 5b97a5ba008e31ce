/** The few shapes kernel text files have. Text in, numbers out; what is not there is NaN. Pure. */

/** `name 123` a line (/proc/vmstat, cgroup cpu.stat), or `Name:  123 kB` (/proc/meminfo): the number after `name`. */
export function numberAfter(text: string, name: string): number {
  let at = 0;
  for (;;) {
    at = text.indexOf(name, at);
    if (at < 0) return Number.NaN;
    const atLineStart = at === 0 || text.charCodeAt(at - 1) === 10;
    const next = text.charCodeAt(at + name.length);
    at += name.length;
    if (atLineStart && (next === 32 || next === 58 || next === 9)) return leadingNumber(text, at + 1);
  }
}

/** The number that begins at or after `from`, blanks skipped; NaN when something else stands there. */
export function leadingNumber(text: string, from = 0): number {
  let at = from;
  while (text.charCodeAt(at) === 32 || text.charCodeAt(at) === 9) at++;
  const start = at;
  while (isDigit(text.charCodeAt(at))) at++;
  return at === start ? Number.NaN : Number(text.slice(start, at));
}

/** A PSI file's running total in µs, of its `some` or `full` line. */
export function pressureTotalUs(text: string, kind: 'some' | 'full'): number {
  const line = text.startsWith(kind) ? 0 : text.indexOf(`\n${kind} `);
  if (line < 0) return Number.NaN;
  const at = text.indexOf('total=', line);
  return at < 0 ? Number.NaN : leadingNumber(text, at + 6);
}

/** How many items a kernel list like `0-3,8,10-11` names; NaN when it is no list. */
export function listCount(text: string): number {
  let count = 0;
  for (const part of text.trim().split(',')) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part);
    if (!match) return Number.NaN;
    count += match[2] === undefined ? 1 : Number(match[2]) - Number(match[1]) + 1;
  }
  return count;
}

/** The numbers of one line, split at blanks; words become NaN. */
export function numbers(line: string): number[] {
  return line.trim().split(/\s+/).map(Number);
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57;
}
