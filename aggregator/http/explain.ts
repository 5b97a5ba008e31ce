/**
 * Why a VM has what it has, what would change it and what was not done, in sentences, from what the service knows. Input: a
 * VM's view and the time; output: text for people, most important first.
 */
import { RESOURCES } from '../../shared/resources.ts';
import { amountText, spanText } from './amounts.ts';
import { timeText, vcpuVerdictsOf, verdictsOf, wayOut } from './explain-change.ts';
import type { GuestHint, ResourceView, VcpuView, VmView } from './service.ts';

/** Below this a score is the noise of any busy machine. */
const CONTENTION_TOLD_MIN = 0.05;
const PART_WORDS = {
  cpuWait: 'waiting for a CPU',
  steal: 'CPU stolen as the guest sees it',
  memoryPressure: 'short of memory',
  ioPressure: 'waiting for disks',
  swap: 'swapping',
} as const;
const NAMES = { cpu: 'CPU', memory: 'Memory', network: 'Network', disk: 'Disk' } as const;
/** Telemetry comes each second, some of it each minute: older than this is stale for a reader. */
const STALE_MS = 120_000;

export function explain(vm: VmView): string[] {
  const agent = vm.guestAgent ? '' : ', without a guest agent';
  const sentences = [`${vm.name} on ${vm.host} is ${vm.state}${agent}.`];
  const work = workOf(vm);
  if (work !== null) sentences.push(work);
  for (const resource of RESOURCES) sentences.push(...explainResource(NAMES[resource], vm.resources[resource]));
  sentences.push(...(vm.vcpus === undefined ? [] : explainVcpus(vm.vcpus)));
  if (vm.contention !== null && vm.contention.score >= CONTENTION_TOLD_MIN) {
    const parts = Object.entries(vm.contention.parts).filter(([, share]) => (share ?? 0) >= CONTENTION_TOLD_MIN / 2);
    const words = parts.map(([part, share]) => `${PART_WORDS[part as keyof typeof PART_WORDS]} ${((share ?? 0) * 100).toFixed(0)} %`);
    sentences.push(`It contends for resources, score ${vm.contention.score.toFixed(2)} of 1: ${words.join(', ')} of the time.`);
  }
  if (vm.missingSignals.length > 0) sentences.push(`Signals it lacks: ${vm.missingSignals.join('; ')}.`);
  return sentences;
}

function explainVcpus(vcpus: VcpuView): string[] {
  const { defined, online, lastChange } = vcpus;
  if (online === null) return [];
  const now =
    online < defined
      ? `${online} of its ${defined} vCPUs are online, by its guest agent's word: more come back as soon as they are needed.`
      : `All of its ${defined} vCPUs are online; its label vcpus=allow lets some be taken offline while they are not needed.`;
  return [now, ...(lastChange === null ? [] : [`Last of its vCPUs: ${lastChange.reason}.`]), ...vcpuVerdictsOf(vcpus)];
}

const WORK = {
  web: 'web server',
  database: 'database',
  application: 'application server',
  batch: 'batch worker',
  idle: 'VM that idles',
  desktop: 'desktop',
} as const;

function workOf({ workload }: VmView): string | null {
  if (workload.class === null) return null;
  const what = `${/^[aeiou]/.test(WORK[workload.class]) ? 'an' : 'a'} ${WORK[workload.class]}`;
  if (workload.setByHand) return `It is ${what}, as its label says.`;
  return `It seems to be ${what} (confidence ${workload.confidence.toFixed(2)}): ${workload.reasons.join('; ')}.`;
}

function explainResource(name: string, view: ResourceView): string[] {
  if (view.mode === 'off' && view.eligible.allowed)
    return [`${name}: mode is off by the rule "${view.rule}", so it is neither watched nor changed.`];
  const sentences = [`${name}: ${standing(view)}`];
  if (!view.eligible.allowed) return [...sentences, `${name} is never changed: ${view.eligible.reason}.`];
  sentences.push(`${name} is in mode ${view.mode} by the rule "${view.rule}"${boundsOf(view)}.${wouldChange(view)}`);
  for (const hold of view.holds)
    sentences.push(`${name} is left alone${hold.forMs === null ? '' : ` for ${spanText(hold.forMs)} more`}: ${hold.reason}.`);
  const expected = expectedOf(name, view);
  if (expected !== null) sentences.push(expected);
  for (const hint of view.hints ?? []) sentences.push(claimed(name, hint, view));
  const decided = decisionOf(name, view);
  if (decided !== null) sentences.push(decided);
  const way = wayOut(name, view);
  if (way !== null) sentences.push(way);
  sentences.push(...verdictsOf(name, view));
  return sentences;
}

function standing(view: ResourceView): string {
  const has = view.uncapped ? 'it has no limit' : `it has ${amountText(view.allocation, view.unit)}`;
  if (view.usage === null && view.demand === null) {
    const age =
      Number.isFinite(view.ageMs) && view.ageMs !== null ? `the newest sample is ${spanText(view.ageMs)} old` : 'no sample has come yet';
    return `${has}; what it uses is unknown (${age}).`;
  }
  const held = view.suppressed ? ', and what it has holds it down' : '';
  const stale = view.ageMs > STALE_MS ? ` The newest sample is ${spanText(view.ageMs)} old; stale data moves nothing.` : '';
  return `${has}, uses ${amountText(view.usage, view.unit)} and would use ${amountText(view.demand, view.unit)} if nothing held it back${held}.${stale}`;
}

function boundsOf({ floor, ceiling, unit }: ResourceView): string {
  const least = floor === null ? '' : `at least ${amountText(floor, unit)}`;
  const most = ceiling === null ? '' : `at most ${amountText(ceiling, unit)}`;
  const parts = [least, most].filter((part) => part !== '');
  return parts.length > 0 ? `, ${parts.join(', ')}` : '';
}

function wouldChange({ mode }: ResourceView): string {
  if (mode === 'observe') return ' It is watched and never changed; mode recommend or auto in the policy would change that.';
  if (mode === 'recommend') return ' Changes are proposed and not made; mode auto would make them.';
  return '';
}

function expectedOf(name: string, { forecast, unit }: ResourceView): string | null {
  if (!forecast || forecast.values.length === 0) return null;
  const top = forecast.quantiles.length - 1;
  const highs = forecast.horizons.map((_, i) => forecast.values[i * forecast.quantiles.length + top] ?? Number.NaN).filter(Number.isFinite);
  if (highs.length === 0) return null;
  const ahead = spanText((forecast.horizons.at(-1) ?? 0) * forecast.stepMs);
  const source = `quantile ${forecast.quantiles[top]} by ${forecast.model}, confidence ${forecast.confidence.toFixed(2)}`;
  return `${name} may need up to ${amountText(Math.max(...highs), unit)} within ${ahead} (${source}): ${forecast.explanation}.`;
}

function claimed(name: string, { amount, fromMs, untilMs, countsTo }: GuestHint, { mode, unit }: ResourceView): string {
  const counts = mode === 'observe' ? 'it is only noted' : `it counts up to ${amountText(countsTo, unit)}, the share it is guaranteed`;
  const span = `from ${timeText(fromMs)} until ${timeText(untilMs)}`;
  return `${name}: its guest says that it will need ${amountText(amount, unit)} ${span}; a claim and no command: ${counts}.`;
}

function decisionOf(name: string, { lastDecision: last }: ResourceView): string | null {
  if (last === null) return null;
  const end = last.outcome ?? (last.done ? 'under way' : `not changed (${last.constraint})`);
  return `${name}, decided at ${new Date(last.atMs).toISOString().replace('.000Z', 'Z')}: ${last.reason} – ${end}.`;
}
