/** `headroom vm show NAME`. */
import { RESOURCES, type Resource } from '../../../shared/resources.ts';
import { settingWords } from '../../core/plan/words.ts';
import type { VmAnswer } from '../answers.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { printable } from '../output.ts';
import { age, amount, utc } from '../words.ts';
import { show } from './show.ts';

type ResourceAnswer = VmAnswer['resources'][Resource];

function forecastLine({ forecast, unit }: ResourceAnswer): string {
  if (forecast === null) return 'none yet';
  const width = forecast.quantiles.length;
  const high = forecast.horizons.map((_, i) => amount(forecast.values[i * width + width - 1] ?? null, unit));
  return `${high.slice(0, 6).join(' ')} ${unit} (quantile ${forecast.quantiles.at(-1)} of the coming steps of ${forecast.stepMs / 1000} s; ${forecast.model})`;
}

function resourceLines(name: Resource, state: ResourceAnswer): string[] {
  const { unit, eligible, lastDecision } = state;
  const lines = [
    `${name}: mode ${state.mode} (rule ${state.rule})`,
    `  used        ${amount(state.usage, unit)} ${unit}, seen ${age(state.ageMs)}${state.ageMs === null ? '' : ' ago'}`,
    `  demand      ${amount(state.demand, unit)} ${unit}${state.suppressed ? ', held down by the allocation' : ''}`,
    `  allocation  ${state.uncapped ? 'no limit' : `${amount(state.allocation, unit)} ${unit}`}; ${state.setting === null ? 'setting unknown' : settingWords(state.setting)}`,
    `  baseline    ${state.baseline === null ? 'not taken over' : settingWords(state.baseline)}`,
    `  bounds      floor ${state.floor === null ? 'none' : amount(state.floor, unit)}, ceiling ${state.ceiling === null ? 'none' : amount(state.ceiling, unit)}`,
    `  forecast    ${forecastLine(state)}`,
  ];
  if (!eligible.allowed) lines.push(`  never       ${eligible.reason}`);
  for (const { reason, forMs } of state.holds) lines.push(`  hands off   ${reason}${forMs === null ? '' : `, for ${age(forMs)} more`}`);
  if (lastDecision !== null) {
    const { done, reason, outcome, atMs, planId } = lastDecision;
    lines.push(`  decided     ${done ? (outcome ?? 'sent, no outcome yet') : 'not done'}: ${reason} (${planId}, ${utc(atMs)})`);
  }
  return lines;
}

function vcpuLines({ defined, online, lastChange, lastVerdict }: NonNullable<VmAnswer['vcpus']>): string[] {
  const now = online === null ? `vCPUs: ${defined}` : `vCPUs: ${online} of ${defined} online`;
  return [
    lastChange === null ? now : `${now}; ${lastChange.reason} (${utc(lastChange.atMs)})`,
    ...(lastVerdict === undefined
      ? []
      : [`  judged      ${lastVerdict.from} → ${lastVerdict.to}: ${lastVerdict.verdict}: ${lastVerdict.reason}`]),
  ];
}

export function vmText(vm: VmAnswer): string {
  const labels = Object.entries(vm.labels).map(([key, value]) => `${key}=${value}`);
  const lines = [
    `${vm.name} (${vm.id}) on ${vm.host}: ${vm.state}`,
    `labels: ${labels.join(', ') || 'none'}; guest agent: ${vm.guestAgent ? 'connected' : 'none'}`,
    ...(vm.vcpus === undefined ? [] : vcpuLines(vm.vcpus)),
    ...(vm.contention === null ? [] : [`contention score: ${vm.contention.score.toFixed(2)} of 1`]),
    ...vm.missingSignals.map((signal) => `missing: ${signal}`),
    ...RESOURCES.flatMap((name) => resourceLines(name, vm.resources[name])),
  ];
  return `${lines.map(printable).join('\n')}\n`;
}

export const vmShow: ApiCommand = {
  kind: 'api',
  name: 'vm show',
  summary: 'one VM: modes, use, demand, allocation, forecast, holds',
  args: ['NAME'],
  details: 'NAME is the name of the VM, or its UUID when several have that name.',
  async run(context) {
    const vm = await context.api.get('/v1/vms/{id}', { path: { id: context.positionals[0]! } });
    show(context, vm, () => vmText(vm));
    return EXIT.ok;
  },
};
