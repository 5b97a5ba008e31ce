/** `headroom plan list` and `headroom plan show [ID]`. */
import { settingWords } from '../../core/plan/words.ts';
import type { PlanAnswer } from '../answers.ts';
import type { ApiClient } from '../api-client.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, printable, table } from '../output.ts';
import { utc } from '../words.ts';
import { show } from './show.ts';

const COLUMNS: readonly Column<PlanAnswer>[] = [
  { title: 'PLAN', text: ({ id }) => id },
  { title: 'AT', text: ({ nowMs }) => utc(nowMs) },
  { title: 'STEPS', right: true, text: ({ steps }) => String(steps.length) },
  { title: 'APPLIED', right: true, text: ({ outcomes }) => String(outcomes.filter(({ outcome }) => outcome === 'applied').length) },
  { title: 'NOT DONE', right: true, text: ({ notDone }) => String(notDone.length) },
  { title: 'LINT', right: true, text: ({ lint }) => String(lint.length) },
];

const NONE = 'no plan was made yet; the first is made when a host agent has told of its VMs\n';

export const planList: ApiCommand = {
  kind: 'api',
  name: 'plan list',
  summary: 'the latest plans, newest first',
  args: [],
  async run(context) {
    const { items } = await context.api.get('/v1/plans', { query: { limit: 20 } });
    show(context, items, (wide) => (items.length === 0 ? NONE : table(items, COLUMNS, wide)));
    return EXIT.ok;
  },
};

function stepLines(plan: PlanAnswer): string[] {
  return plan.steps.flatMap((step, i) => {
    const outcome = plan.outcomes.find((one) => one.step === i);
    return [
      `  ${i + 1}. ${step.vmName} on ${step.host}: ${step.direction} ${step.resource}: ${settingWords(step.from)} → ${settingWords(step.to)}`,
      `     ${step.reason} [${step.constraint}]`,
      `     ${outcome === undefined ? 'no outcome yet' : `${outcome.outcome}${outcome.reason === '' ? '' : `: ${outcome.reason}`}`}`,
    ];
  });
}

function vcpuLines({ vcpuSteps = [], vcpuOutcomes = [] }: PlanAnswer): string[] {
  return vcpuSteps.flatMap(({ vmName, host, from, to, of: all, reason }, i) => {
    const ended = vcpuOutcomes.find(({ vcpuStep }) => vcpuStep === i);
    return [
      `  ${vmName} on ${host}: vCPUs online ${from} → ${to} of ${all}: ${reason}`,
      `     ${ended === undefined ? 'no outcome yet' : `${ended.outcome}${ended.reason === '' ? '' : `: ${ended.reason}`}`}`,
    ];
  });
}

function text(plan: PlanAnswer, names: ReadonlyMap<string, string>): string {
  const lines = [
    `plan ${plan.id} at ${utc(plan.nowMs)}`,
    plan.steps.length === 0 ? 'steps: none' : 'steps',
    ...stepLines(plan),
    ...vcpuLines(plan),
    plan.notDone.length + (plan.vcpusRecommended ?? []).length === 0 ? 'not done: nothing' : 'not done',
    ...(plan.vcpusRecommended ?? []).map(
      ({ vmName, from, to, of: all, constraint, reason }) =>
        `  ${vmName} vcpus [${constraint}]: ${reason} (would be ${from} → ${to} of ${all})`,
    ),
    ...plan.notDone.map(({ vm, resource, constraint, reason, wouldBe }) => {
      const would = wouldBe === null ? '' : ` (would be ${settingWords(wouldBe)})`;
      return `  ${names.get(vm) ?? vm} ${resource} [${constraint}]: ${reason}${would}`;
    }),
    ...plan.lint.map(({ rule, message, step }) => `lint: ${rule}${step === null ? '' : ` (step ${step + 1})`}: ${message}`),
  ];
  return `${lines.map(printable).join('\n')}\n`;
}

async function namesOf(api: ApiClient): Promise<Map<string, string>> {
  return new Map((await api.all('/v1/vms')).map(({ id, name }) => [id, name]));
}

export const planShow: ApiCommand = {
  kind: 'api',
  name: 'plan show',
  summary: 'one plan (default the newest): each step with its reason, and what was not done and why',
  args: ['[ID]'],
  async run(context) {
    const { api, positionals } = context;
    const [id] = positionals;
    const plan =
      id === undefined ? (await api.get('/v1/plans', { query: { limit: 1 } })).items[0] : await api.get('/v1/plans/{id}', { path: { id } });
    const names =
      plan === undefined || context.output === 'json' || context.output === 'yaml' ? new Map<string, string>() : await namesOf(api);
    show(context, plan ?? null, () => (plan === undefined ? NONE : text(plan, names)));
    return EXIT.ok;
  },
};
