/**
 * Telemetry blocks as InfluxDB line protocol. Input: blocks; output: request bodies of bounded size, one line per row,
 * measurement and forecast tags, times in milliseconds. Lines are put together by hand, what is the same in all rows of a
 * block once: several times cheaper than an object per point. Ids are tags, values are float fields; unknown values (NaN)
 * are left out, and so are infinite ones, which line protocol cannot say: they are counted.
 */
import type { Source, Subject, TelemetryBlock } from '../../../shared/telemetry.ts';
import { LineBuffer } from './line-buffer.ts';
import { parseSeriesName, type SeriesName, safeField, safeText } from './series-name.ts';

export interface LineBody {
  text: string;
  lines: number;
}

export interface Lines {
  bodies: LineBody[];
  notFinite: number;
}

interface Group {
  measurement: string;
  tags: string;
  /** `key`: the field's name and `=`, as bytes. */
  columns: { index: number; key: Uint8Array }[];
}

/** Servers refuse bodies above some tens of megabytes (InfluxDB 1.x: 25 MB). */
const BODY_CHARACTERS_MAX = 4 * 1024 * 1024;

const COMMA = 0x2c;
const SPACE = 0x20;
const LINE_END = 0x0a;

/** Calls run to their end, one after the other: they share the room. */
const buffer = new LineBuffer();

const encoder = new TextEncoder();
const layouts = new WeakMap<readonly string[], Group[]>();

/** `tags`: further tags of every line, already escaped and beginning with a comma. */
export function linesOf(blocks: readonly TelemetryBlock[], tags = ''): Lines {
  const bodies: LineBody[] = [];
  let lines = 0;
  let notFinite = 0;
  buffer.cut(0);
  const finishBody = (): void => {
    if (lines > 0) bodies.push({ text: buffer.take(), lines });
    lines = 0;
  };
  for (const { subject, source, fields, timesMs, values } of blocks) {
    const width = fields.length;
    const shared = subjectTags(subject, source) + tags;
    for (const { measurement, tags: own, columns } of groupsOf(fields)) {
      const head = encoder.encode(`${measurement}${shared}${own} `);
      for (let row = 0; row < timesMs.length; row++) {
        const start = buffer.length;
        let known = 0;
        buffer.put(head);
        for (const { index, key } of columns) {
          const value = values[row * width + index]!;
          if (Number.isFinite(value)) {
            if (known++ > 0) buffer.byte(COMMA);
            buffer.put(key);
            buffer.number(value);
          } else if (!Number.isNaN(value)) notFinite++;
        }
        if (known === 0) {
          buffer.cut(start);
          continue;
        }
        buffer.byte(SPACE);
        buffer.time(timesMs[row]!);
        buffer.byte(LINE_END);
        lines++;
        if (buffer.length >= BODY_CHARACTERS_MAX) finishBody();
      }
    }
  }
  finishBody();
  return { bodies, notFinite };
}

/** Lines, each with its line break, several to a text, as bodies of bounded size. */
export function bodiesOf(texts: readonly string[]): LineBody[] {
  const bodies: LineBody[] = [];
  let body: LineBody = { text: '', lines: 0 };
  for (const text of texts) {
    if (body.text !== '' && body.text.length + text.length > BODY_CHARACTERS_MAX) {
      bodies.push(body);
      body = { text: '', lines: 0 };
    }
    body.text += text;
    body.lines += text.split('\n').length - 1;
  }
  if (body.lines > 0) bodies.push(body);
  return bodies;
}

export function subjectTags(subject: Subject, source: Source): string {
  return `,source=${source},${subject.kind}=${escapeKey(safeText(subject.id))}`;
}

export function forecastTags({ quantile, horizon }: SeriesName): string {
  return quantile === null || horizon === null ? '' : `,quantile=${escapeKey(safeText(quantile))},horizon=${escapeKey(safeText(horizon))}`;
}

/** Tag keys, tag values and field keys. */
export function escapeKey(text: string): string {
  return text.replace(/[, =]/g, '\\$&');
}

function groupsOf(fields: readonly string[]): Group[] {
  const known = layouts.get(fields);
  if (known) return known;
  const groups = new Map<string, Group>();
  for (const [index, name] of fields.entries()) {
    const series = parseSeriesName(name);
    const tags = forecastTags(series);
    const id = series.measurement + tags;
    let group = groups.get(id);
    if (!group) {
      group = { measurement: series.measurement, tags, columns: [] };
      groups.set(id, group);
    }
    group.columns.push({ index, key: encoder.encode(`${escapeKey(safeField(series.field))}=`) });
  }
  const made = [...groups.values()];
  layouts.set(fields, made);
  return made;
}
