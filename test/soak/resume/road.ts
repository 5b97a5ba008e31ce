/**
 * One VM along the whole road: suspended, made ready, brought back, verified and collected by the command line, with the host agent
 * killed while the guest runs on its snapshot. Input: the stage, what the guest's memory adds up to; output: what was measured of the
 * last resume. Throws with what did not hold.
 */

import { eventually } from '../../support/stack.ts';
import type { SuspendStage } from '../../support/suspend-stage.ts';

const PARTS = 8;
/** The model has learnt by then: twice as long as the agent waits before it looks. */
const LEARNT_MS_MAX = 20_000;
const HOLD_SECONDS = 120;

const name = 'desktop';

/** The guest's memory is filled; answers what it adds up to. */
export async function filled({ guest }: SuspendStage): Promise<string> {
  await guest.ask(`parts 0 ${PARTS}`);
  return guest.ask('sum');
}

export async function unharmed({ guest }: SuspendStage, sum: string, when: string): Promise<void> {
  const now = await guest.ask('sum');
  if (now !== sum) throw new Error(`${when} its memory adds up to ${now}, and was ${sum}`);
}

export async function driveRoad(stage: SuspendStage, sum: string, tell: (words: string) => void) {
  const { guest, stack } = stage;
  const expect = (what: string, holds: boolean, found: unknown): void => {
    if (!holds) throw new Error(`${what}: ${JSON.stringify(found)}`);
  };
  const first = await stage.order(`suspend ${name}`);
  expect('suspended by its memory file', first.measured.recipe === 'memory-file', first);
  expect('its VM is suspended', (await stage.suspension())?.phase === 'suspended', await stage.suspension());
  expect('verified', (await stage.order(`snapshot verify ${name}`)).outcome === 'applied', first);
  tell(`suspended: ${JSON.stringify(first.measured)}`);

  const unpredicted = await stage.order(`resume ${name}`);
  expect('a sign of life', typeof unpredicted.measured.aliveMs === 'number', unpredicted);
  tell(`brought back: ${JSON.stringify(unpredicted.measured)}`);
  await guest.ask(`visit 0 ${PARTS / 2}`);
  await eventually('what it touched to be learnt', async () => (await stage.suspension())?.resumes === 1, LEARNT_MS_MAX);
  await unharmed(stage, sum, 'brought back,');

  await stack.kill('agent');
  await stage.startAgent();
  await unharmed(stage, sum, 'after its agent was killed,');
  tell('an agent that was killed serves it again');

  await stage.order(`suspend ${name}`);
  const ready = await stage.order(`prefetch start ${name} --hold ${HOLD_SECONDS}`);
  expect('made ready', (await stage.suspension())?.phase === 'prepared', await stage.suspension());
  await stage.order(`prefetch stop ${name}`);
  expect('given up', (await stage.suspension())?.phase === 'suspended', await stage.suspension());
  await stage.order(`prefetch start ${name} --hold ${HOLD_SECONDS}`);
  const predicted = await stage.order(`resume ${name}`);
  await unharmed(stage, sum, 'made ready and brought back,');
  tell(`made ready: ${JSON.stringify(ready.measured)}, brought back: ${JSON.stringify(predicted.measured)}`);
  await stage.order('snapshot gc');
  const { measured } = predicted;
  return { ...{ stoppedMs: first.measured.stoppedMs, unpredictedRanMs: unpredicted.measured.ranMs }, predictedRanMs: measured.ranMs };
}
