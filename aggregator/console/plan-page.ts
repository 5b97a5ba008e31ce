/**
 * What waits for somebody's leave, and the latest plans with every reason. Input: recommendations, plans; output: approvals, by a
 * press of a button that names what it does, and what came of them as it happens.
 */
import type { ItemOf } from '../client/words.ts';
import { answer, client, serverNowMs } from './api.ts';
import { Asked } from './asked.ts';
import { el, KeyedList, setText } from './dom.ts';
import { clock, plural, RESOURCE_NAMES, settingText, span } from './format.ts';
import type { FleetState } from './live.ts';
import { emptyLine, newest, type Page, unreadable } from './page.ts';
import { table } from './table.ts';

type Recommendation = ItemOf<'/v1/recommendations'>;
type Plan = ItemOf<'/v1/plans'>;

const PLANS_SHOWN = 20;
const NAMES = { ...RESOURCE_NAMES, vcpus: 'vCPUs' } as const;

function valueText(value: Recommendation['to']): string {
  return value.resource === 'vcpus' ? `${value.online} online` : settingText(value);
}

function queueItem(done: (text: string) => void, again: () => void) {
  return (first: Recommendation): { element: HTMLElement; update: (item: Recommendation) => void } => {
    let item = first;
    const name = el('a', { href: `#/vm/${first.vm}` }, first.vmName);
    const change = el('p', { class: 'change' });
    const reason = el('p', { class: 'group-reason' });
    const state = el('p', { class: 'host-state' });
    const button = el('button', { type: 'button', class: 'primary' }, 'Approve');
    const approve = async (): Promise<void> => {
      button.disabled = true;
      setText(state, 'Asking for it…');
      try {
        // What was seen is what is asked for: by now the forecast may want more.
        await answer(client.POST('/v1/recommendations/{id}/approve', { params: { path: { id: item.id } }, body: { to: item.to } }));
        done(`${item.vmName}: ${NAMES[item.resource]}: approved. The next plan makes it, within the safety rules.`);
      } catch (error) {
        done(`${item.vmName}: not approved. ${error instanceof Error ? error.message : String(error)}`);
      } finally {
        button.disabled = false;
        setText(state, '');
        again();
      }
    };
    button.addEventListener('click', () => void approve());
    return {
      element: el('li', { class: 'queued' }, el('div', {}, el('h3', {}, name), change, reason, state), button),
      update(newer) {
        item = newer;
        const what = `${NAMES[item.resource]}: ${valueText(item.from)} → ${valueText(item.to)}`;
        setText(change, what);
        setText(reason, item.reason);
        button.setAttribute('aria-label', `Approve: ${item.vmName}, ${what}`);
        button.hidden = item.approval !== null;
        if (item.approval !== null) {
          const { by, untilMs } = item.approval;
          setText(state, `Approved by ${by}; it is made within ${span(untilMs - serverNowMs())}, or lapses.`);
        } else if (!button.disabled) setText(state, '');
      },
    };
  };
}

function planItem(): { element: HTMLElement; update: (plan: Plan) => void } {
  const summary = el('summary');
  const steps = table('Steps of the plan', ['Guest', 'Resource', 'From', 'To', 'Outcome', 'Why']);
  const left = table('Not done, and why', ['Guest', 'Resource', 'What bound it', 'Why']);
  const none = el('p', { class: 'empty' }, 'Nothing was to be changed.');
  const details = el('details', {}, summary, none, steps.element, left.element);
  return {
    element: el('li', {}, details),
    update(plan) {
      const vcpuSteps = plan.vcpuSteps ?? [];
      const applied = [...plan.outcomes, ...(plan.vcpuOutcomes ?? [])].filter(({ outcome }) => outcome === 'applied').length;
      const changes = plan.steps.length + vcpuSteps.length;
      const recommended = plan.vcpusRecommended ?? [];
      const notMade = plan.notDone.length + recommended.length;
      const lint = plan.lint.length === 0 ? '' : `, ${plan.lint.length} struck out by the independent check`;
      const made = changes === 0 ? 'nothing to change' : `${plural(changes, 'change')}, ${applied} applied`;
      setText(summary, `${clock(plan.nowMs, serverNowMs())}: ${made}, ${notMade} not made${lint}`);
      none.hidden = changes + notMade > 0;
      steps.show([
        ...plan.steps.map((step, i) => [
          step.vmName,
          RESOURCE_NAMES[step.resource],
          settingText(step.from),
          settingText(step.to),
          plan.outcomes.find((each) => each.step === i)?.outcome ?? 'under way',
          step.reason,
        ]),
        ...vcpuSteps.map(({ vmName, from, to, reason }, i) => [
          vmName,
          NAMES.vcpus,
          `${from} online`,
          `${to} online`,
          plan.vcpuOutcomes?.find(({ vcpuStep }) => vcpuStep === i)?.outcome ?? 'under way',
          reason,
        ]),
      ]);
      left.show([
        ...recommended.map(({ vmName, constraint, reason }) => [vmName, NAMES.vcpus, constraint, reason]),
        ...plan.notDone
          .slice(0, 100)
          .map(({ vm, resource, constraint, reason }) => [nameOf(vm), RESOURCE_NAMES[resource], constraint, reason]),
      ]);
    },
  };
}

let names = new Map<string, string>();
const nameOf = (vm: string): string => names.get(vm) ?? vm;

export function planPage(): Page {
  const queue = el('ul', { class: 'queue' });
  const said = el('p', { role: 'status', class: 'said' });
  const none = emptyLine();
  const noPlan = emptyLine();
  const plans = el('ul', { class: 'plans' });
  const shownPlans = new KeyedList<Plan>(plans, planItem);
  let watched = false;
  const waiting = new Asked({
    ask: async () => (await answer(client.GET('/v1/recommendations', { params: { query: { limit: 200 } } }))).items,
    show(items) {
      shownQueue.show(items, ({ id }) => id);
      none.say(items.length > 0 ? null : whyNone(watched));
    },
    failed: (reason) => (reason === null ? undefined : none.say(unreadable(reason))),
  });
  const shownQueue = new KeyedList<Recommendation>(
    queue,
    queueItem(
      (text) => setText(said, text),
      () => void waiting.now(),
    ),
  );
  const latest = new Asked({
    ask: async () => (await answer(client.GET('/v1/plans', { params: { query: { limit: PLANS_SHOWN } } }))).items,
    show(items) {
      shownPlans.show(items, ({ id }) => id);
      noPlan.say(
        items.length > 0
          ? null
          : 'No plan was made yet. The first comes one plan period after a host agent has connected and sent samples.',
      );
    },
    failed: (reason) => (reason === null ? undefined : noPlan.say(unreadable(reason))),
  });
  return {
    element: el(
      'div',
      { class: 'stack' },
      el('h1', {}, 'Plan'),
      el('section', { class: 'panel' }, el('h2', {}, 'Waiting for approval'), said, none.element, queue),
      el('section', { class: 'panel' }, el('h2', {}, 'Latest plans'), noPlan.element, plans),
    ),
    update(state) {
      names = new Map(state.vms.map(({ id, name }) => [id, name]));
      watched = recommends(state);
      waiting.update(newest(state));
      latest.update(newest(state));
    },
    remove() {},
  };
}

function recommends({ vms }: FleetState): boolean {
  return vms.some(({ resources }) => Object.values(resources).some(({ mode, eligible }) => mode === 'recommend' && eligible.allowed));
}

function whyNone(watched: boolean): string {
  return watched
    ? 'Nothing waits: what the guests in mode recommend have fits what they are expected to need. Each plan looks again.'
    : 'Nothing waits, since no guest is in mode recommend. Set a resource’s mode to recommend in the policy, and the next plan fills this.';
}
