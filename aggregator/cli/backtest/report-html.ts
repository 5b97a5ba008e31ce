/**
 * The report as one HTML file that needs nothing else: the tables, and a chart of use and allocation for every VM. Input: the
 * summary and what was drawn of each trace; output: the text of the file. Charts are SVG; names are escaped.
 */
import { BASELINES } from '../../core/backtest/baselines.ts';
import type { FleetScore } from '../../core/backtest/score.ts';
import type { Trace } from '../../core/backtest/trace.ts';
import { BASELINE_WORDS, type Summary, type VmResult } from './summary.ts';

const WIDTH = 960;
const HEIGHT = 160;
/** One column a pixel: each shows the largest of its samples, so no burst is drawn away. */
const COLUMNS = WIDTH;

export interface Chart {
  vm: string;
  fromMs: number;
  toMs: number;
  granted: number;
  /** [COLUMNS] each; NaN = nothing known. */
  used: Float64Array;
  allocated: Float64Array;
}

export function chartOf({ vm, timesMs, used, granted }: Trace, allocation: Float64Array): Chart {
  const fromMs = timesMs[0]!;
  const toMs = timesMs.at(-1)!;
  const chart: Chart = { vm, fromMs, toMs, granted, used: empty(), allocated: empty() };
  for (let i = 0; i < used.length; i++) {
    const column = Math.min(COLUMNS - 1, Math.floor((COLUMNS * (timesMs[i]! - fromMs)) / Math.max(1, toMs - fromMs)));
    keepLargest(chart.used, column, used[i]!);
    keepLargest(chart.allocated, column, allocation[i]!);
  }
  return chart;
}

const empty = (): Float64Array => new Float64Array(COLUMNS).fill(Number.NaN);

function keepLargest(into: Float64Array, column: number, value: number): void {
  if (!Number.isNaN(value) && !(into[column]! >= value)) into[column] = value;
}

const escaped = (text: string): string => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const percent = (share: number, digits = 1): string => `${(100 * share).toFixed(digits)}`;

/** Known columns joined by lines; a gap interrupts the line. */
function pathOf(values: Float64Array, most: number): string {
  let path = '';
  let drawing = false;
  values.forEach((value, x) => {
    if (Number.isNaN(value)) {
      drawing = false;
      return;
    }
    path += `${drawing ? 'L' : 'M'}${x} ${(HEIGHT - (HEIGHT * Math.min(value, most)) / most).toFixed(1)}`;
    drawing = true;
  });
  return path;
}

function svg({ vm, used, allocated, granted, fromMs, toMs }: Chart): string {
  const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(vm)}: use and allocation">
<path class="allocated" d="${pathOf(allocated, granted)}"/><path class="used" d="${pathOf(used, granted)}"/></svg>
<p class="axis"><span>${day(fromMs)}</span><span>full height: ${Number(granted.toPrecision(4))}</span><span>${day(toMs)}</span></p>`;
}

function fleetRow(name: string, score: FleetScore): string {
  const cells = [
    percent(score.meanSlack),
    percent(score.fleetSlack),
    percent(score.violationRate, 3),
    percent(score.violationRateP90Vm, 3),
    percent(score.vmDaysWithViolation),
    percent(score.unmetShare, 3),
    score.resizesPerVmDay.toFixed(1),
  ];
  return `<tr><th>${escaped(name)}</th>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
}

function vmSection({ vm, headroom, baselines }: VmResult, chart: Chart | undefined): string {
  const idle = `${percent(baselines.granted.slack)} % idle as granted, ${percent(headroom.slack)} % with Headroom`;
  const harm = `${percent(headroom.violationRate, 3)} % of samples above the allocation, ${percent(headroom.unmetShare, 3)} % of demand unmet`;
  return `<section><h2>${escaped(vm)}</h2><p>${idle}; ${harm}; ${headroom.resizesPerDay.toFixed(1)} resizes a day.</p>${chart ? svg(chart) : ''}</section>`;
}

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:980px;margin:2rem auto;padding:0 1rem;color:#1c2430;background:#fff}
table{border-collapse:collapse;width:100%}th,td{text-align:right;padding:.25rem .6rem;border-bottom:1px solid #dde3ea}th:first-child,.why{text-align:left}
svg{width:100%;background:#f6f8fa}path{fill:none;stroke-width:1.2}.used{stroke:#1f6feb}.allocated{stroke:#d1730a}
.axis{display:flex;justify-content:space-between;margin:0;color:#5a6675;font-size:13px}`;

export function reportHtml(summary: Summary, results: readonly VmResult[], charts: readonly Chart[]): string {
  const { vms, resource, violationBudget, baselines, skipped, doNotEnable } = summary;
  const heads = ['', 'idle %', 'fleet idle %', 'violations %', 'worst tenth of VMs %', 'VM-days hit %', 'unmet demand %', 'resizes a day'];
  const rows = [fleetRow('Headroom', summary), ...BASELINES.map((name) => fleetRow(BASELINE_WORDS[name], baselines[name]))];
  const refused = [
    ...doNotEnable.map(({ vm, against }) => [vm, against.map(({ words }) => words).join('; ')] as const),
    ...skipped.map(({ file, message }) => [file, `not read: ${message}`] as const),
  ].map(([vm, why]) => `<tr><th>${escaped(vm)}</th><td class="why">${escaped(why)}</td></tr>`);
  const sections = results.map((result) =>
    vmSection(
      result,
      charts.find(({ vm }) => vm === result.vm),
    ),
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Headroom backtest</title><style>${STYLE}</style></head><body>
<h1>Backtest: ${resource} of ${vms} VMs</h1>
<p>Violation budget ${percent(violationBudget, 3)} %. The first seven days are for learning and are not scored. Charts: use in blue, allocation in orange, the largest value of each pixel.</p>
<h2>Do not enable it on these VMs</h2>
${refused.length === 0 ? '<p>Nothing speaks against any of them.</p>' : `<table><tbody>${refused.join('\n')}</tbody></table>`}
<h2>What it would have done</h2>
<table><thead><tr>${heads.map((head) => `<th>${head}</th>`).join('')}</tr></thead><tbody>${rows.join('\n')}</tbody></table>
${sections.join('\n')}
</body></html>
`;
}
