/** Goal: whatever is typed, `headroom` says what was wrong and what to do, and exits with the code it documents. */
import t from 'tap';
import { COMMANDS } from '../../aggregator/cli/commands.ts';
import { exitCodeOf } from '../../aggregator/cli/exit-codes.ts';
import { nearest } from '../../aggregator/cli/suggest.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { cliWorld } from '../support/cli-world.ts';
import { fakeService } from '../support/fake-service.ts';

const world = await cliWorld(await fakeService());
t.teardown(() => world.close());

t.test('help: every command has its own, by flag and by word; all are listed', async (t) => {
  const general = await world.run('help');
  t.equal(general.code, 0);
  for (const { name, summary } of COMMANDS) {
    t.match(general.out, `  ${name}`);
    t.match(general.out, summary);
    const own = await world.run(`${name} --help`);
    t.equal(own.code, 0, name);
    t.match(own.out, name);
    t.match(await world.run(`help ${name}`), own, name);
  }
  t.equal((await world.run('--help')).out, general.out);
  t.match(await world.run(''), { code: 2, out: general.out });
  t.match((await world.run('help vm')).out, 'vm explain NAME');
  t.match((await world.run('help exit-codes')).out, /\n {2}0 .*\n {2}1 .*\n {2}2 .*\n {2}3 .*\n {2}69 /);
  t.equal((await world.run('version')).out, 'headroom 1.2.3\n');
  t.equal((await world.run('--version')).out, 'headroom 1.2.3\n');
});

t.test('mistyped: refused with the nearest, or with where to look', async (t) => {
  for (const [line, hint] of [
    ['vm lst', 'did you mean vm list?'],
    ['vm', 'needs one word more; there are vm list, vm show, vm explain'],
    ['vm frobnicate', 'there is no command "vm frobnicate"; there are vm list'],
    ['hots list', 'did you mean host list?'],
    ['evnets', 'did you mean events?'],
    ['kil-switch on', 'did you mean kill-switch on?'],
    ['xyzzy', '"headroom help" lists all'],
    ['help xyzzy', '"headroom help" lists all'],
    ['vm list --outptu json', 'did you mean --output?'],
    ['vm list -o xml', 'there are table, wide, json, yaml'],
    ['vm list -x', 'there is no option -x'],
    ['vm list extra', '"extra" is one argument too many'],
    ['vm show', 'NAME is missing'],
    ['vm list --url', 'vm list: '],
    ['vm list --url ftp://a', '"ftp://a" is not the address of an aggregator'],
    ['vm list --watch --interval 0', 'seconds from 0.1'],
    ['events --limit 0', 'a whole number from 1 to 1000'],
    ['audit verify --watch', 'there is no option --watch'],
    ['look --sample', 'look: '],
    ['simulate --sed 1', 'simulate: '],
    ['simulate --hosts 0', 'a whole number from 1'],
  ] as const) {
    const { code, out, err } = await world.run(line);
    t.equal(code, 2, line);
    t.equal(out, '', line);
    t.match(err, hint, line);
    t.match(err, /^headroom: [^\n]*\n$/, `${line}: one line`);
  }
});

t.test('suggestions are near, or none', async (t) => {
  t.equal(nearest('evnets', ['events', 'status']), 'events');
  t.equal(nearest('EVENTS', ['events']), 'events');
  t.equal(nearest('banana', ['events', 'status']), null);
  t.equal(nearest('x'.repeat(100_000), ['events']), null);
});

t.test('an aggregator that is away, or is something else', async (t) => {
  const away = (cause: unknown) => (async () => Promise.reject(new TypeError('fetch failed', { cause }))) as unknown as typeof fetch;
  const answering = (status: number, type: string, body: string) =>
    (async () => new Response(body, { status, headers: { 'content-type': type } })) as unknown as typeof fetch;
  for (const [fetcher, message] of [
    [away({ code: 'ECONNREFUSED' }), /no aggregator answers at http:\/\/127\.0\.0\.1:7400 \(ECONNREFUSED\); start one, or name/],
    [answering(404, 'text/html', '<h1>nginx</h1>'), /answers, but not as Headroom's API \(status 404\)/],
    [answering(200, 'text/html', '<h1>nginx</h1>'), /answers, but not as Headroom's API/],
    [answering(503, 'application/problem+json', '{"title":"Not available","detail":"draining"}'), /^headroom: draining\n$/],
  ] as const) {
    const there = await cliWorld(await fakeService(), { fetch: fetcher });
    const { code, err } = await there.run('vm list');
    await there.close();
    t.equal(code, 69);
    t.match(err, message);
  }
});

t.test('a cursor that never ends is refused', async (t) => {
  const fetcher = (async () => Response.json({ items: [], cursor: 'again' })) as unknown as typeof fetch;
  const there = await cliWorld(await fakeService(), { fetch: fetcher });
  t.match(await there.run('vm list'), { code: 1, err: /has no end/ });
  await there.close();
});

t.test('exit codes by failure', async (t) => {
  for (const [code, exit] of [
    ['USAGE', 2],
    ['NOT_FOUND', 3],
    ['UNAVAILABLE', 69],
    ['HYPERVISOR_UNAVAILABLE', 69],
    ['TIMEOUT', 69],
    ['POLICY_INVALID', 1],
    ['CONFLICT', 1],
  ] as const)
    t.equal(exitCodeOf(new HeadroomError(code, 'x')), exit, code);
  t.equal(exitCodeOf(new Error('a mistake in the program')), 1);
});

t.test('watching: a line of JSON each time, a redrawn table on a terminal, an end by interrupt', async (t) => {
  let times = 0;
  const twice = (_text: string, interrupt: () => void): void => {
    if (++times === 2) interrupt();
  };
  const piped = await cliWorld(await fakeService(), { onOut: twice });
  const json = await piped.run('host list -w --interval 0.1 -o json');
  t.equal(json.code, 0);
  t.equal(json.out.trimEnd().split('\n').length, 2);
  for (const line of json.out.trimEnd().split('\n')) t.equal(JSON.parse(line).length, 2);
  await piped.close();
  times = 0;
  const screen = await cliWorld(await fakeService(), { onOut: twice, terminal: true });
  t.equal((await screen.run('host list -w --interval 0.1')).out.split('\u001b[H\u001b[2J').length, 3);
  await screen.close();
});
