/**
 * Goal: the aggregator as a program on real stores: it answers, refuses a second instance on its data, drains on SIGTERM,
 * comes back after kill -9 with a higher epoch and the policy it had, and says what is wrong with its input.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const MAIN = fileURLToPath(new URL('../../aggregator/main.ts', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'headroom-aggregator-'));
const config = join(directory, 'config.json');
const policy = join(directory, 'policy.yaml');
const running = new Set<ChildProcess>();
t.setTimeout(120_000);
t.teardown(() => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

writeFileSync(policy, 'version: 1\ndefaults: {cpu: {mode: recommend}}\n');
writeFileSync(
  config,
  JSON.stringify({ listen: { port: 0 }, dataDir: join(directory, 'data'), policyFile: policy, stepMs: 2000, planPeriodMs: 500 }),
);

interface Program {
  child: ChildProcess;
  said: () => string;
  ended: Promise<number | null>;
}

function start(args: string[] = ['--config', config]): Program {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (chunk: string) => (said += chunk));
  const ended = new Promise<number | null>((resolve) =>
    child.on('close', (code) => {
      running.delete(child);
      resolve(code);
    }),
  );
  return { child, said: () => said, ended };
}

async function until<T>(look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function address(program: Program): Promise<string> {
  const found = await Promise.race([until(() => /"url":"(http:[^"]+)"/.exec(program.said())?.[1]), program.ended]);
  if (typeof found !== 'string') throw new Error(`it ended: ${program.said()}`);
  return found;
}

const get = async (url: string): Promise<Record<string, unknown>> => (await (await fetch(url)).json()) as Record<string, unknown>;

t.test('it answers, is alone on its data, and drains on SIGTERM', async (t) => {
  const first = start();
  const url = await address(first);
  await until(async () => ((await fetch(`${url}/readyz`)).ok ? true : undefined));
  t.match(await get(`${url}/v1/policies`), { version: 1, parsed: { defaults: { cpu: { mode: 'recommend' } } } });
  const second = start();
  t.not(await second.ended, 0);
  t.match(second.said(), /STORE_UNAVAILABLE: .*no other aggregator/);
  first.child.kill('SIGTERM');
  t.equal(await first.ended, 0);
  t.match(first.said(), /"stopped"/);
});

t.test('after kill -9 it is back with a higher epoch and the policy it was given by API', async (t) => {
  const killed = start();
  const url = await address(killed);
  const before = Number(/headroom_epoch (\d+)/.exec(await (await fetch(`${url}/metrics`)).text())?.[1]);
  const put = await fetch(`${url}/v1/policies`, {
    method: 'PUT',
    headers: { 'content-type': 'application/yaml' },
    body: 'version: 1\ndefaults: {disk: {mode: off}}\n',
  });
  t.equal(put.status, 200);
  killed.child.kill('SIGKILL');
  await killed.ended;
  const again = start();
  const back = await address(again);
  const metrics = await (await fetch(`${back}/metrics`)).text();
  t.ok(Number(/headroom_epoch (\d+)/.exec(metrics)?.[1]) > before);
  t.match(await get(`${back}/v1/policies`), { version: 2, parsed: { defaults: { disk: { mode: 'off' } } } });
  again.child.kill('SIGTERM');
  t.equal(await again.ended, 0);
});

t.test('help, and mistakes told with a status of their own', async (t) => {
  const help = start(['--help']);
  t.equal(await help.ended, 0);
  t.match(help.said(), /--config FILE/);
  const flag = start(['--nonsense']);
  t.equal(await flag.ended, 2);
  t.match(flag.said(), /USAGE.*nonsense/);
  const missing = start(['--config', join(directory, 'none.json')]);
  t.equal(await missing.ended, 2);
  t.match(missing.said(), /CONFIG_INVALID.*none\.json/);
  writeFileSync(policy, 'version: 1\ndefaults: {cpu: {mode: on}}\n');
  const wrong = start();
  t.equal(await wrong.ended, 2);
  t.match(wrong.said(), /POLICY_INVALID: line 2, column 18, field defaults\.cpu\.mode/);
});
