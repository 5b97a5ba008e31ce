/** The latest plan: what it changes, and what it left and why. Input: a plan; output: a panel kept up to date. */
import type { Plan, Vm } from '../client/words.ts';
import { serverNowMs } from './api.ts';
import { el, setChildren, setText } from './dom.ts';
import { plural, RESOURCE_NAMES, settingText, span } from './format.ts';

/** More lines than this are told as a number. */
const LINES_MAX = 8;

export interface PlanPanel {
  element: HTMLElement;
  update(plan: Plan | null, vms: readonly Vm[]): void;
}

export function planPanel(): PlanPanel {
  const head = el('p', { class: 'plan-head' });
  const steps = el('ul', { class: 'steps' });
  const left = el('ul', { class: 'steps' });
  const leftSummary = el('summary');
  const details = el('details', {}, leftSummary, left);
  let shown = '';
  return {
    element: el('section', { class: 'panel' }, el('h2', {}, 'Latest plan'), head, steps, details),
    update(plan, vms) {
      if (plan === null) {
        setText(head, 'No plan was made yet. The first comes one plan period after a host agent has connected and sent samples.');
        steps.hidden = details.hidden = true;
        return;
      }
      const changes = plan.steps.length === 0 ? 'nothing to change' : plural(plan.steps.length, 'change');
      const lint = plan.lint.length === 0 ? '' : `, ${plan.lint.length} refused by the independent check`;
      setText(head, `${span(serverNowMs() - plan.nowMs)} ago: ${changes}${lint}.`);
      if (shown === plan.id) return;
      shown = plan.id;
      const names = new Map(vms.map((vm) => [vm.id as string, vm.name]));
      steps.hidden = plan.steps.length === 0;
      setChildren(steps, lines(plan.steps.map((step, i) => stepText(plan, step, i))));
      details.hidden = plan.notDone.length === 0;
      setText(leftSummary, `${plural(plan.notDone.length, 'change')} not made, and why`);
      setChildren(
        left,
        lines(plan.notDone.map(({ vm, resource, reason }) => `${names.get(vm) ?? vm}, ${RESOURCE_NAMES[resource]}: ${reason}`)),
      );
    },
  };
}

function stepText(plan: Plan, step: Plan['steps'][number], index: number): string {
  const outcome = plan.outcomes.find((each) => each.step === index)?.outcome ?? 'under way';
  return `${step.vmName}, ${RESOURCE_NAMES[step.resource]}: ${settingText(step.from)} → ${settingText(step.to)} (${outcome}). ${step.reason}`;
}

function lines(texts: readonly string[]): HTMLElement[] {
  const shown = texts.slice(0, LINES_MAX).map((text) => el('li', {}, text));
  if (texts.length > LINES_MAX) shown.push(el('li', {}, `and ${texts.length - LINES_MAX} more`));
  return shown;
}
