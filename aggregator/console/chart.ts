/**
 * One chart of one resource: what was used, what was expected, what was granted, between floor and ceiling, and what is
 * expected next. Input: columns; output: a drawing that follows theme and width, and the reading under the pointer.
 */
import type { ChartData } from './chart-data.ts';
import { amount, clock, figure, type Unit } from './format.ts';
import uPlot from './vendor/uplot.js';

export interface ChartOptions {
  host: HTMLElement;
  unit: Unit;
  heightPx: number;
  /** Told what is under the pointer; null = nothing is. */
  onReading: (text: string | null) => void;
}

const SERIES = ['usage', 'allocation', 'demand', 'median', 'high', 'floor', 'ceiling'] as const;
/** A bound so far above the data that the data would lie flat on the ground is told in words alone. */
const BOUND_IN_VIEW = 2.2;

interface Colours {
  usage: string;
  granted: string;
  forecast: string;
  band: string;
  bound: string;
  grid: string;
  text: string;
  future: string;
}

function coloursOf(host: HTMLElement): Colours {
  const style = getComputedStyle(host);
  const read = (name: string): string => style.getPropertyValue(`--chart-${name}`).trim();
  return {
    usage: read('usage'),
    granted: read('granted'),
    forecast: read('forecast'),
    band: read('band'),
    bound: read('bound'),
    grid: read('grid'),
    text: read('text'),
    future: read('future'),
  };
}

export class Chart {
  readonly #options: ChartOptions;
  readonly #resize: ResizeObserver;
  readonly #scheme = matchMedia('(prefers-color-scheme: dark)');
  readonly #rebuild = (): void => this.#build();
  #plot: uPlot | null = null;
  #data: ChartData | null = null;

  constructor(options: ChartOptions) {
    this.#options = options;
    this.#resize = new ResizeObserver(() => this.#fit());
    this.#resize.observe(options.host);
    this.#scheme.addEventListener('change', this.#rebuild);
  }

  show(data: ChartData): void {
    this.#data = data;
    if (this.#plot) this.#plot.setData(aligned(data));
    else this.#build();
  }

  destroy(): void {
    this.#resize.disconnect();
    this.#scheme.removeEventListener('change', this.#rebuild);
    this.#plot?.destroy();
    this.#plot = null;
  }

  #fit(): void {
    const width = this.#options.host.clientWidth;
    if (this.#plot && width > 0 && width !== this.#plot.width) this.#plot.setSize({ width, height: this.#options.heightPx });
  }

  #build(): void {
    this.#plot?.destroy();
    this.#plot = null;
    const { host, heightPx, unit } = this.#options;
    if (this.#data === null || host.clientWidth === 0) return;
    const colours = coloursOf(host);
    const settings: uPlot.Options = {
      width: host.clientWidth,
      height: heightPx,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
      scales: { x: { time: true }, y: { range: (_plot, _min, max) => [0, niceTop(max)] } },
      axes: axes(colours, unit),
      series: series(colours),
      bands: [{ series: [5, 4], fill: colours.band }],
      hooks: {
        drawClear: [(plot) => this.#drawFuture(plot, colours)],
        setCursor: [(plot) => this.#read(plot)],
      },
    };
    this.#plot = new uPlot(settings, aligned(this.#data), host);
  }

  /** A different ground from now on: what is drawn there has not happened. */
  #drawFuture(plot: uPlot, colours: Colours): void {
    const { left, top, width, height } = plot.bbox;
    const x = plot.valToPos(this.#data?.now ?? 0, 'x', true);
    if (!(x < left + width)) return;
    const { ctx } = plot;
    ctx.save();
    ctx.fillStyle = colours.future;
    ctx.fillRect(Math.max(left, x), top, left + width - Math.max(left, x), height);
    ctx.restore();
  }

  #read(plot: uPlot): void {
    const index = plot.cursor.idx;
    const data = this.#data;
    const nothing = index === null || index === undefined || data === null;
    this.#options.onReading(nothing ? null : readingText(data, index, this.#options.unit));
  }
}

function readingText(data: ChartData, index: number, unit: Unit): string {
  const at = data.times[index] ?? 0;
  const parts = [clock(at * 1000)];
  const usage = data.usage[index];
  const granted = data.allocation[index];
  const [median, high] = [data.median[index], data.high[index]];
  if (usage !== null && usage !== undefined) parts.push(`used ${amount(usage, unit)}`);
  if (granted !== null && granted !== undefined) parts.push(`granted ${amount(granted, unit)}`);
  if (median !== null && median !== undefined) parts.push(`expected ${figure(median, unit)} to ${amount(high, unit)}`);
  return parts.join(' · ');
}

function niceTop(max: number | null): number {
  return max === null || !(max > 0) ? 1 : max * 1.08;
}

function axes({ grid, text }: Colours, unit: Unit): uPlot.Axis[] {
  const font = '11px system-ui, sans-serif';
  const time = (at: number, stepSeconds: number): string => {
    const date = new Date(at * 1000);
    if (stepSeconds >= 86_400) return date.toLocaleDateString(undefined, { day: 'numeric', month: 'short' });
    const seconds = stepSeconds < 60 ? ({ second: '2-digit' } as const) : {};
    return date.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit', hour12: false, ...seconds });
  };
  return [
    {
      stroke: text,
      font,
      size: 28,
      space: 72,
      grid: { show: false },
      ticks: { stroke: grid, width: 1, size: 4 },
      values: (_plot, splits, _axis, _space, increment) => splits.map((at) => time(at, increment)),
    },
    {
      stroke: text,
      font,
      size: 52,
      space: 36,
      grid: { stroke: grid, width: 1 },
      ticks: { show: false },
      values: (_plot, splits) => splits.map((value) => figure(value, unit)),
    },
  ];
}

function series(colours: Colours): uPlot.Series[] {
  const stepped = uPlot.paths.stepped?.({ align: 1 });
  const steps = stepped ? { paths: stepped } : {};
  const dash = { width: 1, dash: [4, 4], stroke: colours.bound, points: { show: false } };
  return [
    {},
    { label: 'used', stroke: colours.usage, width: 1.75, points: { show: false } },
    { label: 'granted', stroke: colours.granted, width: 2, points: { show: false }, ...steps },
    { label: 'wanted', stroke: colours.usage, width: 1, dash: [1, 3], points: { show: false }, ...steps },
    { label: 'expected', stroke: colours.forecast, width: 1, points: { show: false }, ...steps },
    { label: 'expected at most', stroke: colours.forecast, width: 0.5, points: { show: false }, ...steps },
    { label: 'floor', ...dash },
    { label: 'ceiling', ...dash },
  ];
}

function aligned(data: ChartData): uPlot.AlignedData {
  const columns = SERIES.map((name) => (name === 'floor' || name === 'ceiling' ? level(data, name) : data[name]));
  return [data.times, ...columns] as uPlot.AlignedData;
}

function level(data: ChartData, name: 'floor' | 'ceiling'): (number | null)[] {
  const bound = data[name];
  let highest = 0;
  for (const column of [data.usage, data.allocation, data.high])
    for (const value of column) if (value !== null && value > highest) highest = value;
  return data.times.map(() => (bound !== null && bound <= highest * BOUND_IN_VIEW ? bound : null));
}
