/**
 * Goal: profiles name aggregators; the one asked for is asked, with its own token and no other's; the file that keeps them is written
 * whole, for its owner alone, and refused when it is open to others.
 */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { settingsFile } from '../../aggregator/cli/settings-file.ts';
import { type CliWorldOptions, cliWorld } from '../support/cli-world.ts';
import { fakeService } from '../support/fake-service.ts';

const service = await fakeService();

/** A world that notes where each request went, and with which token. */
async function noting(env: Record<string, string> = {}) {
  const asked: { url: string; token: string | null }[] = [];
  const fetcher = (async (address: string, init: RequestInit = {}) => {
    asked.push({ url: new URL(address).origin, token: new Headers(init.headers).get('authorization') });
    return new Response(JSON.stringify({ fleet: false, hosts: [], vms: [] }), { headers: { 'content-type': 'application/json' } });
  }) as typeof fetch;
  const options: CliWorldOptions = { fetch: fetcher, env };
  return { asked, world: await cliWorld(service, options) };
}

const FILES = { '-': 'kept-token\n', '/run/paris': 'paris-token\n', '/run/other': 'other-token' };

async function withTwo(env: Record<string, string> = {}) {
  const { asked, world } = await noting(env);
  const run = (line: string) => world.run(line, FILES);
  t.match(await run('profile set berlin --url https://berlin.example:7400 --token-file -'), { code: 0, out: /in use from now on/ });
  t.match(await run('profile set paris --url https://paris.example --token-file /run/paris'), {
    code: 0,
    out: 'profile paris: https://paris.example\n',
  });
  return { asked, run };
}

t.test('the profile in use, another for once, and another from now on', async (t) => {
  const { asked, run } = await withTwo();
  await run('kill-switch status');
  await run('kill-switch status --profile paris');
  await run('profile use paris');
  await run('kill-switch status');
  t.same(asked, [
    { url: 'https://berlin.example:7400', token: 'Bearer kept-token' },
    { url: 'https://paris.example', token: 'Bearer paris-token' },
    { url: 'https://paris.example', token: 'Bearer paris-token' },
  ]);
  const { out } = await run('profile list');
  t.match(out, /\* +paris +https:\/\/paris\.example +\/run\/paris/);
  t.match(out, / +berlin +https:\/\/berlin\.example:7400 +kept here/);
  t.notMatch(out, 'kept-token', 'tokens are not shown');
  t.match(await run('profile remove paris'), { code: 0 });
  await run('kill-switch status');
  t.same(asked.at(-1), { url: 'http://127.0.0.1:7400', token: null }, 'none is in use any more');
});

t.test('no aggregator is shown a token that is meant for another', async (t) => {
  const { asked, run } = await withTwo({ HEADROOM_TOKEN_FILE: '/run/other' });
  await run('kill-switch status');
  t.same(asked.at(-1)!.token, 'Bearer kept-token', "a profile's own, not the environment's");
  await run('kill-switch status --url https://elsewhere.example');
  t.same(asked.at(-1), { url: 'https://elsewhere.example', token: 'Bearer other-token' }, "an address takes none of the profile's");
  await run('kill-switch status --profile berlin --token-file /run/paris');
  t.same(asked.at(-1)!.token, 'Bearer paris-token', 'what was typed comes first');
  const named = await withTwo({ HEADROOM_URL: 'https://elsewhere.example' });
  await named.run('kill-switch status');
  t.same(named.asked.at(-1), { url: 'https://elsewhere.example', token: null });
  await named.run('kill-switch status --profile berlin');
  t.same(named.asked.at(-1)!.url, 'https://berlin.example:7400', 'an option comes before the environment');
});

t.test('mistakes are told with what to do', async (t) => {
  const { run } = await withTwo();
  for (const [line, code, words] of [
    ['kill-switch status --profile rome', 3, /no profile is called "rome".*there are berlin, paris/],
    ['kill-switch status --profile paris --url http://127.0.0.1', 2, /not both/],
    ['profile use rome', 3, /no profile is called "rome"/],
    ['profile remove rome', 3, /no profile is called "rome"/],
    ['profile set rome', 2, /--url is missing/],
    ['profile set rome --url ftp://rome', 2, /"ftp:\/\/rome" is no address/],
    ['profile set a/b --url http://127.0.0.1', 2, /config\.yaml/],
    ['profile set', 2, /one NAME is needed/],
    ['profile list --url x', 2, /there is no option --url/],
    ['profile use', 2, /one NAME is needed/],
  ] as const)
    t.match(await run(line), { code, err: words, out: '' }, line);
  t.match((await run('profile list')).out, /berlin/, 'nothing was lost by them');
});

t.test('the file: for its owner alone, whole, and never read when others could', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'headroom-profiles-'));
  t.teardown(() => rmSync(home, { recursive: true, force: true }));
  const file = settingsFile({ XDG_CONFIG_HOME: home });
  t.equal(file.path, join(home, 'headroom/config.yaml'));
  t.equal(await file.read(), null);
  await file.write('profiles: {}\n');
  t.equal(await file.read(), 'profiles: {}\n');
  t.equal(statSync(file.path).mode & 0o777, 0o600);
  t.equal(statSync(join(home, 'headroom')).mode & 0o777, 0o700);
  await file.write('profiles: {a: {url: http://a}}\n');
  t.same(readdirSync(join(home, 'headroom')), ['config.yaml'], 'nothing is left beside it');
  chmodSync(file.path, 0o640);
  await t.rejects(file.read(), { code: 'PERMISSION', message: /chmod 600/ });
  rmSync(file.path);
  mkdirSync(file.path, { mode: 0o700 });
  await t.rejects(file.read(), { code: 'USAGE' });
  writeFileSync(join(home, 'blocked'), '');
  await t.rejects(settingsFile({ XDG_CONFIG_HOME: join(home, 'blocked') }).write(''), { code: 'USAGE', message: /cannot be written/ });
  t.not(settingsFile({ XDG_CONFIG_HOME: 'relative' }).path.startsWith('relative'), true);
});
