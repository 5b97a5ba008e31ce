/**
 * Goal: the packaged agent is one file that runs on Node alone, holds nothing of the aggregator, and answers for itself.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { VERSION } from '../../agent/version.ts';
import { packageAgent } from '../../scripts/packaging/agent-bundle.ts';

const directory = mkdtempSync(join(tmpdir(), 'headroom-package-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
const { path, bytes, inputs, leanInputs } = await packageAgent(directory);
const run = (...args: string[]) => spawnSync(process.execPath, [path, ...args], { encoding: 'utf8', cwd: directory, timeout: 30_000 });

t.test('one file, and what is in it', async (t) => {
  t.same(readdirSync(directory), ['headroom-agent.mjs']);
  t.ok(bytes < 2 * 1024 * 1024, `${bytes} bytes`);
  t.ok(inputs.includes('agent/host-agent.ts') && inputs.includes('agent/guest-agent.ts'));
  t.same(
    inputs.filter((input) => /^(aggregator|simulation|demo|test)\//.test(input) || /fastify|uplot|prom-client|pino/.test(input)),
    [],
  );
});

t.test('a plain guest agent loads none of what only hosts need', async (t) => {
  t.ok(leanInputs.includes('agent/guest-agent.ts'));
  t.same(
    leanInputs.filter((input) => /libvirt|websocket|host-agent|node_modules\/(ws|yaml|fast-xml-parser)\//.test(input)),
    [],
  );
  t.same(
    leanInputs.filter((input) => /node_modules\/typebox\//.test(input) && !/typebox\/build\/guard\//.test(input)),
    [],
    'of the schema library only what generated checks call',
  );
  // Each of these brings streams, workers or ciphers with it.
  const lean = readFileSync(path, 'utf8').split('/*headroom-programs ')[0]!;
  t.same(
    ['node:util', 'node:os', 'node:perf_hooks', 'node:crypto', 'performance.now'].filter((name) => lean.includes(name)),
    [],
  );
});

t.test('the commands that need nothing', async (t) => {
  t.equal(run('version').stdout.trim(), VERSION);
  t.match(run('help').stdout, /restore +puts back/);
  t.match(run('host', '--help').stdout, /--balloon-stats-seconds N/);
  const unknown = run('dance');
  t.equal(unknown.status, 64);
  t.match(unknown.stderr, /unknown command "dance"/);
  const wrong = run('host', '--stats-seconds', 'soon');
  t.equal(wrong.status, 64);
  t.match(wrong.stderr, /statsSeconds = "soon"/);
  const lean = run('guest', '--vm', 'nobody');
  t.equal(lean.status, 64);
  t.match(lean.stderr, /"nobody" is not a VM UUID/);
  const whole = run('guest', '--config', '/nowhere.yaml');
  t.equal(whole.status, 64);
  t.match(whole.stderr, /\/nowhere\.yaml: ENOENT/);
  const away = run('restore', '--all', '--connect', 'qemu:///system?socket=/nowhere', '--state-dir', join(directory, 'state'));
  t.equal(away.status, 69, away.stderr);
  const both = run('restore', '--state-dir', join(directory, 'state'));
  t.equal(both.status, 64);
  t.match(both.stderr, /--all or --vm/);
});

t.test('switches and lifts are files that a running agent sees', async (t) => {
  const state = join(directory, 'state');
  t.equal(run('kill', '--state-dir', state, '--reason', 'drill').status, 0);
  t.same(readdirSync(join(state, 'kill')), ['host']);
  t.equal(run('unkill', '--state-dir', state).status, 0);
  t.same(readdirSync(join(state, 'kill')), []);
  t.equal(run('lift', '--state-dir', state).status, 64);
  const vm = '00000000-0000-4000-8000-000000000001';
  t.equal(run('lift', '--state-dir', state, '--vm', vm, '--resource', 'cpu').status, 0);
  t.same(readdirSync(join(state, 'lift')), [`${vm}.cpu`]);
});
