/**
 * The verdict of a run, for people and for programs. Input: scores, command counts, broken rules; output: a table of lines
 * and the JSON object that `--check` prints as its last line. Pure.
 */
import type { CommandCounts, GuestScore } from './scoring/rules.ts';

export interface Verdict {
  scores: GuestScore[];
  commands: CommandCounts;
  lintRejections: number;
  /** Each rule that failed, in words. */
  broken: string[];
}

const shown = (value: number | null, digits: number): string => (value === null ? 'unknown' : value.toFixed(digits));

export function verdictLines({ scores, commands, lintRejections, broken }: Verdict): string[] {
  const lines = ['guest                  resource   rises led  lead s  unmet %  allocation    usage     peak'];
  for (const score of scores) {
    const digits = score.resource === 'cpu' ? 3 : 0;
    const cells = [
      score.name.padEnd(22),
      score.resource.padEnd(8),
      `${score.rises}`.padStart(7),
      `${score.led}`.padStart(3),
      shown(score.leadSecondsMedian, 1).padStart(7),
      shown(score.unmetShare === null ? null : score.unmetShare * 100, 3).padStart(8),
      shown(score.meanAllocation, digits).padStart(11),
      shown(score.meanUsage, digits).padStart(8),
      shown(score.peakOffered, digits).padStart(8),
    ];
    lines.push(cells.join(' '));
  }
  lines.push(
    `commands: ${commands.sent} sent, ${commands.applied} applied, ${commands.readBack} of these read back through libvirt; lint rejected ${lintRejections} steps`,
  );
  if (broken.length === 0) lines.push('passed: every rule holds');
  else lines.push('failed:', ...broken.map((line) => `  ${line}`));
  return lines;
}

export function verdictJson({ scores, commands, lintRejections }: Verdict): string {
  const guests = scores.map(({ name, role, resource, rises, led, leadSecondsMedian, unmetShare, meanAllocation, meanUsage }) => ({
    name,
    role,
    resource,
    rises,
    led,
    leadSecondsMedian,
    unmetShare,
    meanAllocation,
    meanUsage,
  }));
  return JSON.stringify({ guests, commands, lintRejections });
}
