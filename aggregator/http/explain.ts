/** Why a VM has what it has, in sentences, from what the service knows. Input: a VM's view; output: text for people. */
import { RESOURCES } from '../../shared/resources.ts';
import type { ResourceView, VmView } from './service.ts';

const NAMES = { cpu: 'CPU', memory: 'Memory', network: 'Network', disk: 'Disk' } as const;

export function explain(vm: VmView): string[] {
  const sentences = [`${vm.name} on ${vm.host} is ${vm.state}${vm.guestAgent ? '' : ', without a guest agent'}.`];
  for (const resource of RESOURCES) sentences.push(...explainResource(NAMES[resource], vm.resources[resource]));
  if (vm.missingSignals.length > 0) sentences.push(`Signals it lacks: ${vm.missingSignals.join('; ')}.`);
  return sentences;
}

function explainResource(name: string, view: ResourceView): string[] {
  const amount = (value: number | null): string => (value === null ? 'an unknown amount' : `${round(value)} ${view.unit}`);
  const has = view.uncapped ? 'no limit' : amount(view.allocation);
  const sentences = [
    `${name}: it has ${has}, uses ${amount(view.usage)} and wants ${amount(view.demand)}${view.suppressed ? ' (held down by its allocation)' : ''}.`,
  ];
  if (!view.eligible.allowed) return [...sentences, `${name} is never changed: ${view.eligible.reason}.`];
  sentences.push(`${name} is in mode ${view.mode} by the rule "${view.rule}"${boundsOf(view)}.`);
  for (const hold of view.holds)
    sentences.push(`Hands off${hold.forMs === null ? '' : ` for ${Math.ceil(hold.forMs / 60_000)} min`}: ${hold.reason}.`);
  const expected = expectedOf(view);
  if (expected) sentences.push(expected);
  const last = view.lastDecision;
  if (last)
    sentences.push(
      `Last decision (${new Date(last.atMs).toISOString()}): ${last.reason}${last.outcome ? ` — ${last.outcome}` : last.done ? '' : ' — not changed'}.`,
    );
  return sentences;
}

function boundsOf({ floor, ceiling, unit }: ResourceView): string {
  const parts = [
    floor === null ? '' : `at least ${round(floor)} ${unit}`,
    ceiling === null ? '' : `at most ${round(ceiling)} ${unit}`,
  ].filter(Boolean);
  return parts.length > 0 ? `, ${parts.join(', ')}` : '';
}

function expectedOf({ forecast, unit }: ResourceView): string | null {
  if (!forecast || forecast.values.length === 0) return null;
  const top = forecast.quantiles.length - 1;
  const highest = Math.max(...forecast.horizons.map((_, i) => forecast.values[i * forecast.quantiles.length + top] ?? 0));
  const aheadS = Math.round(((forecast.horizons.at(-1) ?? 0) * forecast.stepMs) / 1000);
  return `Up to ${round(highest)} ${unit} are expected within ${aheadS} s (${forecast.model}, quantile ${forecast.quantiles[top]}, confidence ${forecast.confidence.toFixed(2)}): ${forecast.explanation}`;
}

function round(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(2);
}
