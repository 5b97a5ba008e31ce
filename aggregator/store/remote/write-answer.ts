/**
 * What a server's answer to a write means. Input: status and text; output: one of four ways to go on. A partial write has
 * stored its good lines: sending them again would be no use and the refused ones never get better.
 */

export type WriteAnswer =
  | { kind: 'stored' }
  /** Good lines are stored; so many were refused for ever. */
  | { kind: 'partial'; refusedLines: number; reason: string }
  /** Nothing is stored because of something in the lines. */
  | { kind: 'unusable' }
  /** Worth another try. */
  | { kind: 'later' }
  /** Will not get better by trying: credentials, address, database. */
  | { kind: 'refused' };

export function readWriteAnswer(status: number, text: string): WriteAnswer {
  if (status >= 200 && status < 300) return { kind: 'stored' };
  if (status === 429 || status === 408 || status >= 500) return { kind: 'later' };
  if ((status === 400 || status === 422) && /partial write/i.test(text)) {
    return { kind: 'partial', refusedLines: refusedLines(text), reason: reasonOf(text) };
  }
  if (status === 400 || status === 413 || status === 422) return { kind: 'unusable' };
  return { kind: 'refused' };
}

/** InfluxDB 1 and 2 end with `dropped=N` (lines that could not be parsed are not in it); version 3 lists the lines. */
function refusedLines(text: string): number {
  const dropped = Number(/dropped=(\d+)/.exec(text)?.[1] ?? 0);
  const unparsed = text.match(/unable to parse|"line_number"/g)?.length ?? 0;
  return Math.max(1, dropped + unparsed);
}

/** A counter's name: few, whatever the text. */
function reasonOf(text: string): string {
  if (/beyond retention policy|outside the retention/i.test(text)) return 'beyond-retention';
  if (/field type conflict|type mismatch|invalid column type/i.test(text)) return 'field-type-conflict';
  if (/max-series-per-database|max-values-per-tag|limit exceeded/i.test(text)) return 'cardinality-limit';
  return 'refused-by-server';
}
