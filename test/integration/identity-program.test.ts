/**
 * Goal: the whole way as an operator goes it, on the real programs: certificates by `headroom tls`, an aggregator that asks
 * everybody who they are, its first administrator, a token and an agent enrolled over TLS by the command line, and revoked.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { COMMANDS } from '../../aggregator/cli/commands.ts';
import { runCli } from '../../aggregator/cli/run.ts';
import { systemClock } from '../../shared/clock.ts';
import { keptSettings } from '../support/cli-world.ts';
import { testAgent } from '../support/identity-world.ts';
import { rowsOf, until, vmUuid } from '../support/wire-world.ts';

const MAIN = fileURLToPath(new URL('../../aggregator/main.ts', import.meta.url));
t.setTimeout(120_000);

const directory = t.testdir();
const at = (name: string): string => join(directory, name);

async function headroom(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const printed = { out: '', err: '' };
  const code = await runCli({ commands: COMMANDS, version: '0' }, argv, {
    out: (text) => {
      printed.out += text;
    },
    err: (text) => {
      printed.err += text;
    },
    env: {},
    read: async (path) => readFileSync(path, 'utf8'),
    fetch,
    clock: systemClock,
    stop: new AbortController().signal,
    catchInterrupts: () => undefined,
    terminal: false,
    rows: () => 24,
    settings: keptSettings(),
  });
  return { code, ...printed };
}

t.test('from nothing to an enrolled agent, over TLS, and out again', async (t) => {
  t.match(await headroom('tls', '--dir', at('tls'), '--name', '127.0.0.1', '--name', 'localhost'), { code: 0 });
  for (const key of ['ca-key.pem', 'server-key.pem']) t.equal(statSync(at(`tls/${key}`)).mode & 0o777, 0o600, key);
  t.match(await headroom('tls', '--dir', at('tls'), '--name', 'a b'), { code: 2, err: /neither a DNS name/ });
  const access = { people: 'tokens', agents: 'always' };
  const tls = { certFile: at('tls/server.pem'), keyFile: at('tls/server-key.pem') };
  writeFileSync(at('config.json'), JSON.stringify({ listen: { port: 0 }, dataDir: at('data'), stepMs: 2000, tls, access }));
  const child = spawn(process.execPath, [MAIN, '--config', at('config.json')], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk;
  });
  t.teardown(() => child.kill('SIGKILL'));
  await until(() => /"url":"https:[^"]+"/.test(said) || child.exitCode !== null, 'the API', 60_000);
  const url = /"url":"(https:[^"]+)"/.exec(said)?.[1] ?? '';
  const first = at('data/administrator-token');
  t.ok(existsSync(first), said);
  t.equal(statSync(first).mode & 0o777, 0o600);
  t.notMatch(said, readFileSync(first, 'utf8').trim(), 'never logged');

  const common = ['--url', url, '--ca-file', at('tls/ca.pem')];
  const admin = [...common, '--token-file', first];
  t.match(await headroom('vm', 'list', ...common), { code: 1, err: /show who you are/ });
  t.match(await headroom('vm', 'list', ...admin), { code: 0 });
  const insecure = ['--url', 'http://192.0.2.1:1', '--token-file', first];
  t.match(await headroom('vm', 'list', ...insecure), { code: 2, err: /unprotected/ });
  const viewer = await headroom('token', 'make', 'eve', '--role', 'viewer', '--valid', '1h', ...admin);
  writeFileSync(at('eve'), viewer.out);
  t.match(await headroom('kill-switch', 'on', ...common, '--token-file', at('eve')), { code: 1, err: /token eve is viewer/ });
  t.match(await headroom('token', 'list', ...admin), { out: /first-administrator.*administrator[\s\S]*eve.*viewer/ });

  const enrol = await headroom('agent', 'token', '--host', 'host-a', '--valid', '15m', ...admin);
  t.match(enrol, { code: 0, out: /^hre_/ });
  const world = { url: `${url.replace(/^http/, 'ws')}/v1/agents`, ca: readFileSync(at('tls/ca.pem'), 'utf8') };
  const agent = testAgent({ world, hello: { host: 'host-a' }, stateDir: t.testdir(), token: enrol.out.trim(), vms: [vmUuid(1)] });
  await until(() => agent.welcomes.length === 1, 'the welcome');
  agent.buffer.append(rowsOf(vmUuid(1), [Date.now()]), 0);
  await until(() => agent.buffer.empty, 'the acknowledgement');
  t.match(await headroom('agent', 'keys', ...admin), { out: new RegExp(`host/host-a\\s+${agent.welcomes[0]!.keyId}.*in force`) });
  t.match(await headroom('agent', 'rotate', '--host', 'host-a', ...admin), { code: 0 });
  await until(() => agent.welcomes.length === 2, 'the welcome of the new key');
  t.match(await headroom('agent', 'revoke', '--host', 'host-a', '--reason', 'drill', ...admin), { code: 0 });
  await until(() => agent.errors.some((error) => /PERMISSION/.test(error)), 'the end');
  await agent.uplink.stop();
  t.match(await headroom('token', 'revoke', 'eve', ...admin), { code: 0 });
  t.match(await headroom('vm', 'list', ...common, '--token-file', at('eve')), { code: 1, err: /unknown, revoked or expired/ });
  t.match(await headroom('audit', 'verify', ...admin), { code: 0 });
  t.notMatch(said, /hr[ae]_[0-9a-f]{12}_/, 'no token in the log');
});
