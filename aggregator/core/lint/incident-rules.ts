/** Rules on VMs with an incident that goes on, and whose growth may then be sharp. */
import { ANOMALY_DEFAULTS } from '../plan/anomaly-policy.ts';
import { gives, type LintedStep, type StepRule, takes } from './lint-rule.ts';

export const notTakenDuringIncident: StepRule = ({ step, vm }, { policy }) => {
  if (vm.incident?.vouched !== true || !takes(step.from, step.to)) return null;
  const { freezeShrinking } = policy.anomalyOf?.(vm) ?? ANOMALY_DEFAULTS;
  return freezeShrinking ? `${vm.name} has an incident (${vm.incident.kind}): nothing is taken from it` : null;
};

/** The policy lets this step be as large as it is: what the host sees presses on this very resource. */
export function growsByIncident({ step, vm }: LintedStep, policy: Parameters<StepRule>[1]['policy']): boolean {
  const { incident } = vm;
  if (incident?.vouched !== true || incident.resource !== step.resource || !gives(step.from, step.to)) return false;
  return (policy.anomalyOf?.(vm) ?? ANOMALY_DEFAULTS).growToFraction > 0;
}
