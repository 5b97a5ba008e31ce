/**
 * A running aggregator over a host of idle VMs that would be shrunk at every plan, policies put and answers read by its HTTP interface alone:
 * what a policy holds back is seen against that. Output: the world, its API, and what a plan did and did not do.
 */
import { createHttpApp } from '../../aggregator/http/app.ts';
import type { PlanView } from '../../aggregator/http/service.ts';
import { type AggregatorWorld, aggregatorWorld, CONFIG, DAY_MS } from './aggregator-world.ts';
import { fakeVm } from './fake-host.ts';
import { testVmId } from './fleet.ts';

export const VMS = 5;
export const ALL = Array.from({ length: VMS }, (_, i) => testVmId(i + 1) as string);

export interface Asked {
  mode?: string;
  /** Lines of the section `fleet`, besides a wide blast radius. */
  fleet?: string;
  blastRadius?: string;
  cpu?: string;
  enforcement?: string;
  /** Lines of the section `rules`. */
  rules?: string;
  /** Of what it has, the most that one plan takes. */
  step?: number;
}

/** CPU goes down by a fiftieth a plan for as long as anything lets it. */
export const policyText = ({
  mode = 'auto',
  fleet = '',
  blastRadius = '{vmsPerPlan: 100, vmsPerHostPerPlan: 100, vmsPerWindow: 1000, window: 1m}',
  cpu = '',
  enforcement = 'cap-always',
  rules = '',
  step = 0.02,
}: Asked) => `version: 1
fleet:
  lease: 25s
  staleAfter: 15s
  blastRadius: ${blastRadius}
${fleet}defaults:
  cpu: {mode: ${mode}, enforcement: ${enforcement}, lead: 10s, shrinkHorizon: 15s, cooldownShrink: 0s, stepLimitShrinkFraction: ${step}, deadBandFraction: 0.01${cpu}}
  memory: {mode: off}
  network: {mode: off}
  disk: {mode: off}
${rules}`;

export interface Api {
  world: AggregatorWorld;
  put(asked: Asked): Promise<void>;
  /** The next plan, as the API tells it. */
  next(): Promise<PlanView>;
  ask(method: 'GET' | 'PUT' | 'DELETE', url: string, payload?: object): Promise<unknown>;
}

/** Idle VMs that the models know by now; nothing was changed yet. */
export async function idleFleet(t: { teardown(end: () => unknown): void }): Promise<Api> {
  const vms = ALL.map((id, i) => fakeVm(id, `vm-${i + 1}`, () => ({ cores: 0.1, memoryMiB: 200 })));
  const world = await aggregatorWorld(vms, policyText({ mode: 'recommend' }));
  const app = await createHttpApp(world.aggregator.service);
  t.teardown(() => app.close());
  const headers = { host: '127.0.0.1' };
  await world.run(2 * DAY_MS);
  const ask: Api['ask'] = async (method, url, payload) => {
    const response = await app.inject({ method, url, headers, ...(payload === undefined ? {} : { payload }) });
    if (response.statusCode !== 200) throw new Error(`${method} ${url}: ${response.statusCode} ${response.body}`);
    return response.json();
  };
  return {
    world,
    ask,
    async put(asked) {
      const yaml = { ...headers, 'content-type': 'application/yaml' };
      const response = await app.inject({ method: 'PUT', url: '/v1/policies', headers: yaml, payload: policyText(asked) });
      if (response.statusCode !== 200) throw new Error(response.body);
    },
    async next() {
      await world.run(CONFIG.planPeriodMs);
      const { items } = (await ask('GET', '/v1/plans?limit=1')) as { items: { id: string }[] };
      return (await ask('GET', `/v1/plans/${items[0]!.id}`)) as PlanView;
    },
  };
}

export const shrunk = ({ steps }: PlanView): string[] =>
  steps
    .filter(({ direction }) => direction === 'shrink')
    .map(({ vm }) => vm as string)
    .sort();
export const held = ({ notDone }: PlanView, constraint: string): string[] =>
  notDone
    .filter((each) => each.resource === 'cpu' && each.constraint === constraint)
    .map(({ vm }) => vm as string)
    .sort();
export const reasons = ({ notDone }: PlanView, constraint: string): string =>
  notDone
    .filter((each) => each.resource === 'cpu' && each.constraint === constraint)
    .map(({ reason }) => reason)
    .join('\n');

export const explained = async (ask: Api['ask'], vm = 'vm-1'): Promise<string> =>
  ((await ask('GET', `/v1/vms/${vm}/explain`)) as { text: string[] }).text.join('\n');
