/**
 * Goal: a group's demand is what its members want at the same time, not the sum of moments that never met, and not what one does
 * to start; what one did not tell is not taken for nothing.
 */
import t from 'tap';
import { groupTotal, type MemberStep } from '../../aggregator/core/spawn/group-total.ts';
import type { DemandPoint, DemandStep } from '../../aggregator/core/state/demand.ts';

const point = (value: number | null): DemandPoint => ({ value, usage: value, suppressed: false });
const NOT = Number.NaN;

function member(windows: number[], { mayBeSilent = false, starting = false, memoryMiB = 100, memoryClaimed = false } = {}): MemberStep {
  const seen = windows.filter((value) => !Number.isNaN(value));
  const peak = point(seen.length === 0 ? null : Math.max(...seen));
  const step: DemandStep = {
    startMs: 0,
    points: { cpu: peak, memory: point(memoryMiB), network: peak, disk: point(null) },
    windows: { cpu: Float64Array.from(windows), network: Float64Array.from(windows) },
    memoryClaimed,
  };
  return { step, mayBeSilent, starting };
}
const silent = (mayBeSilent: boolean): MemberStep => ({ step: null, mayBeSilent, starting: false });

t.test('totals of cpu and network are of one window, memory is added up', async (t) => {
  const cases: [what: string, members: MemberStep[], cpu: number][] = [
    ['peaks that do not meet', [member([0.9, 0.1, 0.1]), member([0.1, 0.9, 0.1])], 1],
    ['peaks that meet', [member([0.9, 0.1]), member([0.9, 0.1])], 1.8],
    ['one member', [member([0.2, 0.4])], 0.4],
    ['a window that one did not tell does not count', [member([0.9, 0.1]), member([NOT, 0.3])], 0.4],
    ['no window of both: their peaks', [member([0.9, NOT]), member([NOT, 0.3])], 1.2],
    ['one that begins to serve may tell part of a step', [member([0.5, 0.1]), member([NOT, 0.3], { mayBeSilent: true })], 0.5],
    ['or nothing', [member([0.5, 0.1]), silent(true)], 0.5],
    ['but not one that served before', [member([0.5, 0.1]), silent(false)], NOT],
    [
      'one that starts counts as the others do',
      [member([0.4]), member([0.2]), member([1], { starting: true })],
      0.4 + 0.2 + (0.4 + 0.2) / 2,
    ],
    ['and less where it does less', [member([0.4]), member([0.1], { starting: true })], 0.5],
    ['the first of its group counts', [member([0.9], { starting: true })], 0.9],
    ['nobody', [], 0],
  ];
  for (const [what, members, cpu] of cases) {
    for (const resource of ['cpu', 'network'] as const) t.same(groupTotal(members, resource), cpu, `${what}: ${resource}`);
  }
  t.equal(groupTotal([member([1], { memoryMiB: 300 }), member([1], { memoryMiB: 200 })], 'memory'), 500);
  t.same(groupTotal([member([1]), member([1], { memoryClaimed: true })], 'memory'), NOT, "by a guest's word nothing is known");
});
