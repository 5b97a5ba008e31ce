/**
 * What a command found, on the screen or for a program. Input: a value and how to show it as a table; output: text. Names
 * come from guests and administrators, so control characters never reach the terminal.
 */
import { stringify } from 'yaml';
import type { Output } from './command.ts';

export interface Column<Row> {
  title: string;
  /** Numbers stand under each other. */
  right?: boolean;
  /** Only with `-o wide`. */
  wide?: boolean;
  text: (row: Row) => string;
}

/** Control characters and those that turn the direction of text, made visible. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

const TWO_COLUMNS =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/gu;

/** Columns of a terminal that a text takes. */
function widthOf(text: string): number {
  const letters = [...text.normalize('NFC')].filter((c) => !/\p{Mn}/u.test(c)).length;
  return letters + (text.match(TWO_COLUMNS)?.length ?? 0);
}

export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[], wide: boolean): string {
  const shown = columns.filter((column) => wide || !column.wide);
  const cells = [shown.map(({ title }) => title), ...rows.map((row) => shown.map((column) => printable(column.text(row))))];
  const widths = shown.map((_, i) => Math.max(...cells.map((line) => widthOf(line[i]!))));
  const lines = cells.map((line) =>
    line
      .map((cell, i) => {
        const space = ' '.repeat(widths[i]! - widthOf(cell));
        return shown[i]!.right ? space + cell : cell + space;
      })
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

/** One document for json and yaml; while watching, a stream of them: one JSON line each, YAML documents with `---`. */
export function render(output: Output, value: unknown, asText: (wide: boolean) => string, watch: boolean): string {
  if (output === 'json') return `${JSON.stringify(value, null, watch ? 0 : 2)}\n`;
  if (output === 'yaml') return `${watch ? '---\n' : ''}${stringify(value)}`;
  return asText(output === 'wide');
}
