/**
 * One resource of one guest: mode, figures that double as the chart's legend, the chart, the decision and its reason, the
 * numbers as a table. Input: views and series; output: an element kept up to date.
 */
import type { ResourceState, Series, Vm } from '../client/words.ts';
import { api, serverNowMs } from './api.ts';
import { Chart } from './chart.ts';
import { chartData, expectedHigh } from './chart-data.ts';
import { el, setAttribute, setChildren, setText } from './dom.ts';
import { amount, clock, figure, RESOURCE_NAMES, span, UNKNOWN, type Unit } from './format.ts';

/** Telemetry comes each second: older than this is worth a word. */
const STALE_MS = 15_000;
const TABLE_ROWS = 12;
/** About a row a pixel: more cannot be seen. */
const POINTS_MAX = 600;
/** Samples come each second; three of them are worth a question. */
const REFRESH_MS_MIN = 3000;
/** A long window moves slowly. */
const REFRESH_SHARE = 1 / 400;
const REFRESH_MS_MAX = 60_000;

/** Charts about to be scrolled into view are asked for already. */
const NEARLY_SEEN = { rootMargin: '300px' };

export interface PanelOptions {
  resource: keyof Vm['resources'];
  heightPx: number;
  /** How far back the chart goes. */
  windowMs: () => number;
  headingLevel: 'h2' | 'h4';
}

export interface ResourcePanel {
  element: HTMLElement;
  update(vm: Vm): void;
  remove(): void;
}

function figureBox(name: string, swatch: string): { element: HTMLElement; value: HTMLElement } {
  const value = el('dd');
  return { value, element: el('div', {}, el('dt', { class: swatch }, name), value) };
}

export function resourcePanel(options: PanelOptions): ResourcePanel {
  return new Panel(options);
}

class Panel implements ResourcePanel {
  readonly element: HTMLElement;
  readonly #options: PanelOptions;
  readonly #mode = el('span', { class: 'mode' });
  readonly #notes = el('p', { class: 'notes' });
  readonly #uses = figureBox('uses', 'swatch usage');
  readonly #expected = figureBox('may need', 'swatch forecast');
  readonly #granted = figureBox('granted', 'swatch granted');
  readonly #bounds = figureBox('bounds', 'swatch bound');
  readonly #plot = el('div', { class: 'plot', 'aria-hidden': 'true' });
  readonly #empty = el('p', { class: 'empty', hidden: true });
  readonly #reading = el('p', { class: 'reading', 'aria-hidden': 'true' });
  readonly #caption = el('figcaption', { class: 'unseen' });
  readonly #decision = el('p', { class: 'decision' });
  readonly #tableBody = el('tbody');
  readonly #numbers: HTMLDetailsElement;
  readonly #figure: HTMLElement;
  readonly #seen: IntersectionObserver;
  #chart: Chart | null = null;
  #vm: Vm | null = null;
  #series: { data: Series; fromMs: number; nowMs: number } | null = null;
  #visible = false;
  #asking = false;
  #askedAtMs = 0;
  #askedWindowMs = 0;
  #problem: string | null = null;

  constructor(options: PanelOptions) {
    this.#options = options;
    const name = RESOURCE_NAMES[options.resource];
    this.#figure = el('figure', { 'data-chart': options.resource }, this.#plot, this.#empty, this.#reading, this.#caption);
    this.#numbers = el('details', { class: 'numbers' }, el('summary', {}, `Numbers behind the ${name} chart`), this.#table(name));
    this.#numbers.addEventListener('toggle', () => this.#fillTable());
    this.element = el(
      'section',
      { class: 'resource', 'data-resource': options.resource, 'aria-label': name },
      el('div', { class: 'resource-head' }, el(options.headingLevel, {}, name), this.#mode),
      el('dl', { class: 'figures' }, this.#uses.element, this.#expected.element, this.#granted.element, this.#bounds.element),
      this.#figure,
      this.#decision,
      this.#notes,
      this.#numbers,
    );
    this.#seen = new IntersectionObserver((entries) => {
      this.#visible = entries.at(-1)?.isIntersecting ?? false;
      this.#refresh();
    }, NEARLY_SEEN);
    this.#seen.observe(this.#figure);
  }

  update(vm: Vm): void {
    this.#vm = vm;
    const view = vm.resources[this.#options.resource];
    this.#showHead(view);
    this.#showFigures(view);
    setAttribute(this.element, 'aria-label', `${RESOURCE_NAMES[this.#options.resource]} of ${vm.name}`);
    setText(this.#decision, decisionText(view));
    this.#draw();
    this.#refresh();
  }

  remove(): void {
    this.#seen.disconnect();
    this.#chart?.destroy();
    this.#chart = null;
    this.#vm = null;
  }

  #showHead(view: ResourceState): void {
    const never = !view.eligible.allowed;
    setText(this.#mode, never ? 'never changed' : view.mode);
    setAttribute(this.#mode, 'class', `mode ${never ? 'mode-never' : `mode-${view.mode}`}`);
    setAttribute(this.#mode, 'title', never ? '' : `by the policy rule “${view.rule}”`);
    setText(this.#notes, notesOf(view).join(' '));
  }

  #showFigures(view: ResourceState): void {
    const unit = view.unit;
    setText(this.#uses.value, amount(view.usage, unit));
    setText(this.#expected.value, amount(expectedHigh(view.forecast), unit));
    setText(this.#granted.value, view.uncapped ? 'no limit' : amount(view.allocation, unit));
    setText(
      this.#bounds.value,
      view.floor === null && view.ceiling === null ? 'none' : `${figure(view.floor, unit)} – ${figure(view.ceiling, unit)}`,
    );
    setText(this.#caption, captionOf(RESOURCE_NAMES[this.#options.resource], view));
  }

  /** Asks for the series when the chart is seen and the last answer is old enough for the window. */
  #refresh(): void {
    const windowMs = this.#options.windowMs();
    const everyMs = Math.min(REFRESH_MS_MAX, Math.max(REFRESH_MS_MIN, windowMs * REFRESH_SHARE));
    const due = windowMs !== this.#askedWindowMs || Date.now() - this.#askedAtMs >= everyMs;
    if (!this.#visible || this.#asking || this.#vm === null || !due) return;
    this.#asking = true;
    this.#askedAtMs = Date.now();
    this.#askedWindowMs = windowMs;
    const nowMs = serverNowMs();
    const points = Math.min(POINTS_MAX, Math.max(100, Math.round(this.#figure.clientWidth)));
    api
      .series(this.#vm.id, this.#options.resource, nowMs - windowMs, nowMs, points)
      .then(
        (data) => {
          this.#series = { data, fromMs: nowMs - windowMs, nowMs };
          this.#problem = null;
        },
        (error: unknown) => {
          this.#problem = error instanceof Error ? error.message : String(error);
        },
      )
      .finally(() => {
        this.#asking = false;
        this.#draw();
        this.#fillTable();
      });
  }

  #draw(): void {
    if (this.#vm === null) return;
    const view = this.#vm.resources[this.#options.resource];
    const series = this.#series;
    const something = series !== null && [series.data.usage, series.data.allocation].some((column) => column.some((v) => v !== null));
    const why = something ? null : this.#whyEmpty(view);
    this.#empty.hidden = why === null;
    this.#plot.hidden = why !== null;
    setText(this.#empty, why ?? '');
    setAttribute(this.#figure, 'data-rows', series === null ? null : series.data.timesMs.length);
    if (series === null || why !== null) return;
    this.#chart ??= new Chart({
      host: this.#plot,
      unit: view.unit,
      heightPx: this.#options.heightPx,
      onReading: (text) => setText(this.#reading, text ?? ''),
    });
    this.#chart.show(chartData({ series: series.data, view, fromMs: series.fromMs, nowMs: series.nowMs }));
  }

  #whyEmpty(view: ResourceState): string {
    if (this.#problem !== null) return `The series could not be read: ${this.#problem}. It is asked for again in a few seconds.`;
    if (this.#series === null) return 'Asking for the series…';
    const state = this.#vm?.state ?? 'unknown';
    if (view.mode === 'off') return 'Mode is off: nothing of this resource is watched. Set its mode to observe to see it here.';
    if (state !== 'ready' && state !== 'launching') return `The guest is ${state}: nothing is measured. The chart fills when it runs.`;
    if (view.ageMs === null)
      return 'No sample has come yet. The host agent sends one a second once it sees the guest; the chart fills from then on.';
    return `Nothing was stored in this window; the newest sample is ${span(view.ageMs)} old. Choose a longer window, or wait for the next one.`;
  }

  #table(name: string): HTMLElement {
    const heads = ['time', 'used', 'expected', 'at most', 'granted'].map((text) => el('th', { scope: 'col' }, text));
    return el(
      'table',
      { 'data-table': this.#options.resource },
      el('caption', { class: 'unseen' }, `${name}: newest rows`),
      el('thead', {}, el('tr', {}, ...heads)),
      this.#tableBody,
    );
  }

  #fillTable(): void {
    if (!this.#numbers.open || this.#series === null || this.#vm === null) return;
    const { data } = this.#series;
    const unit = this.#vm.resources[this.#options.resource].unit;
    const rows = data.timesMs.map((timeMs, i) => ({
      timeMs,
      values: [data.usage[i], data.forecastMedian[i], data.forecastHigh[i], data.allocation[i]],
    }));
    const known = rows
      .filter(({ values }) => values.some((value) => value !== null && value !== undefined))
      .slice(-TABLE_ROWS)
      .reverse();
    setChildren(
      this.#tableBody,
      known.map(({ timeMs, values }) => tableRow(timeMs, values, unit)),
    );
  }
}

function tableRow(timeMs: number, values: (number | null | undefined)[], unit: Unit): HTMLElement {
  const cells = values.map((value) => el('td', { 'data-value': value ?? '' }, figure(value, unit)));
  return el('tr', { 'data-time': timeMs }, el('th', { scope: 'row' }, clock(timeMs)), ...cells);
}

function captionOf(name: string, view: ResourceState): string {
  const granted = view.uncapped ? 'no limit' : amount(view.allocation, view.unit);
  return `${name} over time. Now: uses ${amount(view.usage, view.unit)}, may need ${amount(expectedHigh(view.forecast), view.unit)}, granted ${granted}.`;
}

export function decisionText(view: ResourceState): string {
  if (!view.eligible.allowed) return `Never changed: ${view.eligible.reason}.`;
  const last = view.lastDecision;
  if (last !== null) {
    const end = last.outcome ?? (last.done ? 'under way' : `not changed (${last.constraint})`);
    return `${clock(last.atMs)} ${last.reason} – ${end}.`;
  }
  if (view.mode === 'off') return 'No decision: mode is off.';
  if (view.mode === 'observe') return 'No decision: observe only watches. Set the mode to recommend or auto in the policy to get one.';
  return 'No decision yet: the next plan brings one.';
}

function notesOf(view: ResourceState): string[] {
  const notes: string[] = [];
  for (const hold of view.holds) notes.push(`Hands off${hold.forMs === null ? '' : ` for ${span(hold.forMs)}`}: ${hold.reason}.`);
  if (view.suppressed) notes.push('Demand is held down by what is granted.');
  if (view.mode !== 'off' && view.ageMs !== null && view.ageMs > STALE_MS) notes.push(`Its newest sample is ${span(view.ageMs)} old.`);
  if (view.mode !== 'off' && view.ageMs !== null && view.forecast === null) notes.push('No forecast yet: it needs a few finished steps.');
  if (view.usage === null && view.ageMs !== null && view.mode !== 'off') notes.push(`Usage is unknown (${UNKNOWN}).`);
  return notes;
}
