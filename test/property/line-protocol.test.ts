/**
 * Goal: every finite number and every time written to a line reads back as the same; every field name and subject comes
 * back from its line as it was; unknown values make no field, and rows without known values no line.
 */
import fc from 'fast-check';
import t from 'tap';
import { LineBuffer } from '../../aggregator/store/remote/line-buffer.ts';
import { linesOf } from '../../aggregator/store/remote/line-protocol.ts';
import { formatSeriesName, fromSafe, parseSeriesName, safeField, safeText } from '../../aggregator/store/remote/series-name.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';

const RUNS = { numRuns: 2000 };

const rounded = fc.integer({ min: -(2 ** 40), max: 2 ** 40 }).map((n) => n / 1e4);
const finite = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  rounded,
  fc.maxSafeInteger(),
  fc.constantFrom(0, -0, 2 ** 31, 0.1, 1e21),
);

t.test('numbers and times', async (t) => {
  fc.assert(
    fc.property(fc.array(finite, { minLength: 1 }), fc.integer({ min: 0, max: 8.64e15 }), (values, time) => {
      const buffer = new LineBuffer();
      for (const value of values) {
        buffer.number(value);
        buffer.byte(0x2c);
      }
      buffer.time(time);
      const read = buffer.take().split(',').map(Number);
      return read.length === values.length + 1 && read.pop() === time && read.every((value, i) => Object.is(value, values[i]));
    }),
    RUNS,
  );
  t.pass();
});

t.test('names', async (t) => {
  const name = fc.oneof(
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }),
    fc
      .tuple(fc.constantFrom('vm_cpu', 'vm_app', 'vm_forecast', 'other_series', 'x', 'a_b_c'), fc.string({ minLength: 0 }))
      .map((parts) => parts.join('.')),
    fc.constantFrom('vm_forecast.cpuCores/q0.99/h1', 'vm_app.time', 'vm_app.%41', 'other_series.x', 'vm_app.vm', 'vm_cpu.usageCores:mean'),
  );
  fc.assert(
    fc.property(name, (name) => {
      const { measurement, field, quantile, horizon } = parseSeriesName(name);
      const stored = { measurement, field: fromSafe(safeField(field)), quantile: quantile && fromSafe(safeText(quantile)), horizon };
      const line = safeField(field);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a line
      return formatSeriesName(stored) === name && !/[\u0000-\u001f\\]/.test(line) && line !== 'time' && line !== 'vm';
    }),
    RUNS,
  );
  t.pass();
});

/** Values between unescaped separators of line protocol. */
const split = (text: string, separator: string): string[] => text.split(new RegExp(`(?<!\\\\)${separator}`));
const plain = (text: string): string => text.replace(/\\([, =])/g, '$1');

t.test('blocks', async (t) => {
  const fields = ['vm_cpu.a', 'vm_cpu.b c', 'vm_memory.c,d=e', 'vm_forecast.x/q0.5/h1'];
  const value = fc.oneof({ weight: 3, arbitrary: finite }, { weight: 1, arbitrary: fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY) });
  const row = fc.tuple(value, value, value, value);
  fc.assert(
    fc.property(fc.array(row), fc.string({ minLength: 1, maxLength: 20 }), (rows, id) => {
      const block: TelemetryBlock = {
        subject: { kind: 'host', id },
        source: 'guest',
        fields,
        timesMs: Float64Array.from(rows, (_, i) => 1_700_000_000_000 + i),
        values: Float64Array.from(rows.flat()),
      };
      const { bodies, notFinite } = linesOf([block]);
      const read = new Map<string, number>();
      for (const line of bodies.flatMap(({ text }) => text.split('\n').slice(0, -1))) {
        const [head, values, time] = split(line, ' ') as [string, string, string];
        const [measurement, ...tags] = split(head, ',');
        const tag = Object.fromEntries(tags.map((pair) => split(pair, '=').map(plain)));
        if (tag.source !== 'guest' || fromSafe(tag.host!) !== id) return false;
        for (const pair of split(values, ',')) {
          const [field, number] = split(pair, '=') as [string, string];
          const series = {
            measurement: measurement!,
            field: fromSafe(plain(field)),
            quantile: tag.quantile ?? null,
            horizon: tag.horizon ?? null,
          };
          read.set(`${formatSeriesName(series)} ${time}`, Number(number));
        }
      }
      const known = rows.flatMap((values, i) =>
        values.map((value, j): [string, number] => [`${fields[j]} ${1_700_000_000_000 + i}`, value]),
      );
      const finiteOnes = known.filter(([, value]) => Number.isFinite(value));
      return (
        notFinite === known.filter(([, value]) => value === Number.POSITIVE_INFINITY).length &&
        read.size === finiteOnes.length &&
        finiteOnes.every(([name, value]) => Object.is(read.get(name), value))
      );
    }),
    { numRuns: 500 },
  );
  t.pass();
});

t.test('bodies stay bounded, and lose no line', async (t) => {
  const rows = 60_000;
  const block: TelemetryBlock = {
    subject: { kind: 'vm', id: '00000000-0000-4000-8000-00000000000a' },
    source: 'host',
    fields: ['vm_cpu.usageCores', 'vm_cpu.overheadCores'],
    timesMs: Float64Array.from({ length: rows }, (_, i) => 1_700_000_000_000 + i),
    values: Float64Array.from({ length: rows * 2 }, (_, i) => i / 7),
  };
  const { bodies } = linesOf([block]);
  t.ok(bodies.length > 1 && bodies.every(({ text }) => text.length < 4.2 * 1024 * 1024));
  t.equal(
    bodies.reduce((sum, { text, lines }) => (text.split('\n').length - 1 === lines ? sum + lines : Number.NaN), 0),
    rows,
  );
});
