/**
 * What was saved and what it cost, always together: neither figure is shown without the other. Input: the report of a time; output:
 * the sums side by side, and both in every row, those that were harmed most first.
 */
import type { Answer } from '../client/words.ts';
import { answer, client, serverNowMs } from './api.ts';
import { Asked } from './asked.ts';
import { el, setText } from './dom.ts';
import { amount, RESOURCE_NAMES, span, UNKNOWN } from './format.ts';
import { emptyLine, newest, type Page, unreadable } from './page.ts';
import { table } from './table.ts';

type Report = Answer<'/v1/reports/savings'>;
type Row = Report['items'][number];

const HOUR_MS = 3_600_000;
const SPANS: readonly [label: string, hours: number][] = [
  ['hour', 1],
  ['day', 24],
  ['week', 168],
  ['30 days', 720],
];
/** The report reads series: not with every event. */
const EVERY_MS = 30_000;

function figure(label: string): { element: HTMLElement; say: (value: string, note: string) => void } {
  const value = el('dd', {});
  const note = el('dd', { class: 'note' });
  return {
    element: el('div', {}, el('dt', {}, label), value, note),
    say(text, why) {
      setText(value, text);
      setText(note, why);
    },
  };
}

const hoursText = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toFixed(1));
const percent = (share: number | null): string =>
  share === null ? 'unknown' : `${(100 * share).toFixed(share > 0 && share < 0.001 ? 3 : 1)} %`;
const longText = (seconds: number | null): string => (seconds === null ? 'unknown' : span(seconds * 1000));

function sums() {
  const [cores, memory] = [figure('CPU not granted'), figure('Memory not granted')];
  const [short, throttled, stalled, harmful] = [
    figure('Short of CPU'),
    figure('Throttled'),
    figure('Stalled on memory'),
    figure('Changes that did harm'),
  ];
  return {
    element: el(
      'div',
      { class: 'both' },
      el('section', { class: 'panel' }, el('h2', {}, 'Saved'), el('dl', { class: 'sums' }, cores.element, memory.element)),
      el(
        'section',
        { class: 'panel' },
        el('h2', {}, 'What it cost'),
        el('dl', { class: 'sums' }, short.element, throttled.element, stalled.element, harmful.element),
      ),
    ),
    show(report: Report): void {
      cores.say(`${hoursText(report.savedCoreHours)} core hours`, 'of what guests were made with, where it is known');
      memory.say(`${hoursText(report.savedMiBHours / 1024)} GiB hours`, 'likewise');
      short.say(percent(report.shortShare.cpu), `of the time known; of memory ${percent(report.shortShare.memory)}`);
      throttled.say(longText(report.throttledSeconds), report.throttledSeconds === null ? 'no host tells' : 'by caps, summed over guests');
      stalled.say(
        longText(report.memoryStalledSeconds),
        report.memoryStalledSeconds === null ? 'no host tells' : 'all of a guest waiting for memory',
      );
      harmful.say(String(report.harmfulChanges), 'found to have done harm, and taken back');
    },
  };
}

export function savingsPage(): Page {
  const picker = el('select', {}, ...SPANS.map(([label, hours]) => el('option', { value: hours }, label)));
  picker.value = '24';
  const both = sums();
  const rows = table(
    'Savings and harm by guest',
    ['Guest', 'Resource', 'Mode', 'Size', 'Granted', 'Saved', 'Short', 'Held back', 'Known'],
    [3, 4, 5, 6, 7, 8],
  );
  const none = emptyLine();
  both.element.hidden = true;
  let hosts = 0;
  const asked = new Asked({
    everyMs: EVERY_MS,
    ask: () => {
      const toMs = Math.round(serverNowMs());
      return answer(client.GET('/v1/reports/savings', { params: { query: { fromMs: toMs - Number(picker.value) * HOUR_MS, toMs } } }));
    },
    show(report) {
      const known = report.items.filter(({ granted }) => granted !== null);
      both.element.hidden = known.length === 0;
      both.show(report);
      rows.show(report.items.toSorted(worstFirst).map(cells));
      none.say(known.length > 0 ? null : whyNone(hosts));
    },
    failed: (reason) => (reason === null ? undefined : none.say(unreadable(reason))),
  });
  picker.addEventListener('change', () => void asked.now());
  const tools = el('div', { class: 'tools' }, el('h1', {}, 'Savings and harm'), el('label', { class: 'picker' }, 'Of the last ', picker));
  return {
    element: el(
      'div',
      { class: 'stack' },
      tools,
      none.element,
      both.element,
      el('section', { class: 'panel' }, el('h2', {}, 'By guest'), rows.element),
    ),
    update(state) {
      const first = hosts === 0 && state.hosts.length > 0;
      hosts = state.hosts.length;
      asked.update(first ? newest(state) : '');
    },
    remove() {},
  };
}

const shareShort = ({ shortHours, knownHours }: Row): number => (knownHours === 0 ? 0 : shortHours / knownHours);

const worstFirst = (a: Row, b: Row): number =>
  shareShort(b) - shareShort(a) ||
  (b.heldSeconds ?? 0) - (a.heldSeconds ?? 0) ||
  a.vmName.localeCompare(b.vmName) ||
  (a.resource < b.resource ? -1 : 1);

function cells(row: Row): (string | HTMLElement)[] {
  const short = row.knownHours === 0 ? UNKNOWN : percent(shareShort(row));
  return [
    el('a', { href: `#/vm/${row.vm}` }, row.vmName),
    RESOURCE_NAMES[row.resource],
    row.mode,
    amount(row.size, row.unit),
    amount(row.granted, row.unit),
    row.granted === null ? UNKNOWN : percent(1 - row.granted / row.size),
    el('span', row.shortHours > 0 ? { class: 'warn' } : {}, short),
    row.heldSeconds === null ? 'not told' : longText(row.heldSeconds),
    `${row.knownHours.toFixed(1)} h`,
  ];
}

const whyNone = (hosts: number): string =>
  hosts === 0
    ? 'There is nothing to reckon because no host has connected. The report fills a few steps after a host agent has connected.'
    : 'Of this time nothing is known of what guests were granted. The report fills with the first steps that end; choose a longer time for older ones.';
