/** `headroom report savings`: what was saved, beside what it cost. */
import type { Answer } from '../../client/words.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, table } from '../output.ts';
import { age, amount } from '../words.ts';
import { secondsOf } from './agent-key.ts';
import { show } from './show.ts';

type Report = Answer<'/v1/reports/savings'>;
type Row = Report['items'][number];

const percent = (share: number | null): string => (share === null ? '?' : `${(100 * share).toFixed(1)}%`);

const heldText = (seconds: number | null): string => (seconds === null ? '?' : age(seconds * 1000));

const COLUMNS: readonly Column<Row>[] = [
  { title: 'VM', text: ({ vmName }) => vmName },
  { title: 'RESOURCE', text: ({ resource }) => resource },
  { title: 'SIZE', right: true, text: ({ size, unit }) => amount(size, unit) },
  { title: 'GRANTED', right: true, text: ({ granted, unit }) => amount(granted, unit) },
  { title: 'SAVED', right: true, text: ({ granted, size }) => percent(granted === null ? null : 1 - granted / size) },
  { title: 'SHORT', right: true, text: ({ shortHours, knownHours }) => percent(knownHours === 0 ? null : shortHours / knownHours) },
  { title: 'HELD BACK', right: true, text: ({ heldSeconds }) => heldText(heldSeconds) },
  { title: 'MODE', wide: true, text: ({ mode }) => mode },
  { title: 'HOST', wide: true, text: ({ host }) => host },
  { title: 'KNOWN', right: true, wide: true, text: ({ knownHours }) => `${knownHours.toFixed(1)} h` },
];

function text(report: Report, wide: boolean): string {
  const { savedCoreHours, savedMiBHours, shortShare, throttledSeconds, memoryStalledSeconds, harmfulChanges } = report;
  const lines = [
    `saved:    ${savedCoreHours.toFixed(1)} core hours, ${(savedMiBHours / 1024).toFixed(1)} GiB hours`,
    `it cost:  short of CPU ${percent(shortShare.cpu)} and of memory ${percent(shortShare.memory)} of the time, throttled ${heldText(throttledSeconds)}, stalled on memory ${heldText(memoryStalledSeconds)}, ${harmfulChanges} harmful changes`,
  ];
  return `${lines.join('\n')}\n\n${report.items.length === 0 ? 'no VM is known yet\n' : table(report.items, COLUMNS, wide)}`;
}

export const reportSavings: ApiCommand = {
  kind: 'api',
  name: 'report savings',
  summary: 'what was saved, beside what it cost: short, throttled, stalled, harmful changes',
  args: [],
  options: { last: { type: 'string', value: 'TIME', help: 'of which time until now: 1h, 24h (default), 7d; at most 31d' } },
  details: 'What is unknown counts neither way. "Held back" is throttled time (cpu) or time stalled on memory, as the host tells it.',
  async run(context) {
    const { last } = context.values;
    const { nowMs } = await context.api.get('/v1/status');
    const fromMs = nowMs - secondsOf(typeof last === 'string' ? last : '24h') * 1000;
    const report = await context.api.get('/v1/reports/savings', { query: { fromMs, toMs: nowMs } });
    show(context, report, (wide) => text(report, wide));
    return EXIT.ok;
  },
};
