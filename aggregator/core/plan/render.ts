/** A plan as text a person can review: what changes on each host, why, and what was not done. Plan, report and names in, text out. */
import type { VmId } from '../../../shared/ids.ts';
import type { LintFinding, Plan } from './plan.ts';
import type { PlanReport } from './planner.ts';
import { amountWords, settingWords } from './words.ts';

export interface RenderInput {
  plan: Plan;
  report: PlanReport;
  findings?: readonly LintFinding[];
  nameOf: (vm: VmId) => string;
}

export function renderPlan({ plan, report, findings = [], nameOf }: RenderInput): string {
  const lines = [`plan ${plan.id} at ${new Date(plan.nowMs).toISOString()}`];
  lines.push(
    `  ${counted(report.vms, 'VM')}, ${counted(report.proposals, 'proposal')}, ${counted(plan.steps.length, 'step')} on ${counted(report.vmsChanged, 'VM')}`,
  );
  lines.push('hosts');
  for (const host of report.hosts) {
    const memory = `memory ${host.memoryCommittedMiB.toFixed(0)} of ${host.memoryUsableMiB.toFixed(0)} MiB committed, ${host.memoryLeftMiB.toFixed(0)} left`;
    lines.push(`  ${host.host}: ${memory}; CPU ${host.cpuCommittedCores.toFixed(2)} of ${host.cpuUsableCores.toFixed(2)} cores`);
    if (host.contended !== null) lines.push(`    contended: ${host.contended}`);
  }
  lines.push(plan.steps.length > 0 ? 'steps' : 'steps: none');
  for (const [i, step] of plan.steps.entries()) {
    lines.push(
      `  ${i + 1}. ${step.vmName} on ${step.host}: ${step.direction} ${step.resource}: ${settingWords(step.from)} → ${settingWords(step.to)}`,
    );
    lines.push(`     ${step.reason} [${step.constraint}]`);
  }
  lines.push(plan.notDone.length > 0 ? 'not done' : 'not done: nothing');
  for (const { vm, resource, constraint, reason, wouldBe } of plan.notDone) {
    lines.push(`  ${nameOf(vm)} ${resource} [${constraint}]: ${reason}${wouldBe === null ? '' : ` (would be ${settingWords(wouldBe)})`}`);
  }
  for (const shortage of plan.shortages ?? []) {
    const { vmName, host, resource, wanted, missing, measures } = shortage;
    lines.push(`short on ${host}: ${vmName} ${resource}, ${amountWords(resource, missing)} of ${amountWords(resource, wanted)}`);
    for (const { kind, done, words } of measures) lines.push(`  ${kind}${done ? '' : ' (not done)'}: ${words}`);
  }
  lines.push('fast guard until the next lease');
  for (const grant of plan.grants) {
    lines.push(
      `  ${grant.host}: reserve ${grant.reserveCores.toFixed(2)} cores, ${grant.reserveMiB.toFixed(0)} MiB; ${counted(grant.allowances.length, 'VM')}`,
    );
  }
  for (const finding of findings) {
    lines.push(`lint: ${finding.rule}${finding.step === null ? '' : ` (step ${finding.step + 1})`}: ${finding.message}`);
  }
  return `${lines.join('\n')}\n`;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
