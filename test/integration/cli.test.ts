/**
 * Goal: the `headroom` command as users start it, a process of its own, against a real HTTP server: exit codes, streams, a
 * pipe that closes, an interrupt, events without gaps over a restart, the ledger's file.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { createHttpServer } from '../../aggregator/http/server.ts';
import { openSqliteLedgerStore } from '../../aggregator/store/sqlite/sqlite-ledger-store.ts';
import { fakeService } from '../support/fake-service.ts';

const MAIN = new URL('../../aggregator/cli/main.ts', import.meta.url).pathname;
const scratch = mkdtempSync(join(tmpdir(), 'headroom-cli-'));
t.teardown(() => rmSync(scratch, { recursive: true, force: true }));
const service = await fakeService();
let server = await createHttpServer(service, { port: 0 });
const port = Number(new URL(server.url).port);
t.teardown(() => server.close());

function start(args: string[], env: Record<string, string> = {}): ChildProcess {
  return spawn(process.execPath, ['--disable-warning=ExperimentalWarning', MAIN, ...args], {
    env: { ...process.env, HEADROOM_URL: server.url, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

async function run(
  args: string[],
  input = '',
  env: Record<string, string> = {},
): Promise<{ code: number | null; out: string; err: string }> {
  const child = start(args, env);
  child.stdin!.end(input);
  const [out, err, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), once(child, 'close')]);
  return { code: code as number | null, out, err };
}

t.test('answers on stdout, problems on stderr, exit codes for scripts', async (t) => {
  const listed = await run(['vm', 'list', '-o', 'json']);
  t.match(listed, { code: 0, err: '' });
  t.equal((JSON.parse(listed.out) as unknown[]).length, 4);
  t.match(await run(['vm', 'show', 'nobody']), { code: 3, out: '', err: /^headroom: no VM "nobody" is known/ });
  t.match(await run(['vm', 'lst']), { code: 2, err: /did you mean vm list\?/ });
  t.match(await run(['version']), { code: 0, out: /^headroom \d+\.\d+\.\d+\n$/ });
  const away = await run(['vm', 'list'], '', { HEADROOM_URL: 'http://127.0.0.1:1' });
  t.match(away, { code: 69, out: '', err: /^headroom: no aggregator answers at http:\/\/127\.0\.0\.1:1 / });
  t.match(await run(['vm', 'list', '--url', server.url], '', { HEADROOM_URL: 'http://127.0.0.1:1' }), { code: 0 }, '--url wins');
});

t.test('policy apply: from a file and from standard input', async (t) => {
  const good = (await run(['policy', 'get'])).out;
  t.match(await run(['policy', 'apply', '-'], good), { code: 0, out: /is in force/ });
  const file = join(scratch, 'policy.yaml');
  writeFileSync(file, 'version: 1\nrules:\n  - name: a\n    cpu: {mode: fast}\n');
  const refused = await run(['policy', 'apply', file]);
  t.equal(refused.code, 1);
  t.match(refused.err, `${file}:4:11: `);
  t.equal((await run(['policy', 'apply', join(scratch, 'none.yaml')])).code, 3);
});

t.test('a pipe that closes is no failure', async (t) => {
  const child = start(['host', 'list', '--watch', '--interval', '0.1']);
  const problems = text(child.stderr!);
  await once(child.stdout!, 'data');
  child.stdout!.destroy();
  const [code] = await once(child, 'exit');
  t.equal(code, 0);
  t.equal(await problems, '');
});

t.test('an interrupt ends watching with exit code 0', async (t) => {
  const child = start(['vm', 'list', '-w', '-o', 'json']);
  await once(child.stdout!, 'data');
  child.kill('SIGINT');
  t.same(await once(child, 'exit'), [0, null]);
});

t.test('events: followed without a gap while the aggregator restarts', async (t) => {
  const child = start(['events', '--watch', '--limit', '1', '-o', 'json']);
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const next = async () => JSON.parse((await lines.next()).value as string) as { id: number; message: string };
  const emit = (message: string) => service.emit({ kind: 'operator', vm: null, host: null, message, data: {} });
  const first = await next();
  t.equal(emit('one').id, first.id + 1);
  t.equal((await next()).message, 'one');
  await server.close();
  emit('while away');
  server = await createHttpServer(service, { port });
  t.match(await next(), { id: first.id + 2, message: 'while away' });
  emit('after');
  t.match(await next(), { id: first.id + 3, message: 'after' });
  child.kill('SIGTERM');
  t.same(await once(child, 'exit'), [0, null]);
});

t.test('audit verify: by the aggregator, in its data directory, and when an entry was changed', async (t) => {
  t.match(await run(['audit', 'verify']), { code: 0, out: /the chain holds: 3 entries/ });
  const ledger = await openSqliteLedgerStore({ directory: join(scratch, 'ledger') });
  for (let epoch = 1; epoch <= 3; epoch++) await ledger.append(epoch, { kind: 'start', version: '0.1.0', epoch });
  await ledger.close();
  const found = await run(['audit', 'verify', '--data-dir', scratch], '', { HEADROOM_URL: 'http://127.0.0.1:1' });
  t.match(found, { code: 0, out: /the chain holds: 3 entries, head / });
  t.equal((await run(['audit', 'verify', '--data-dir', join(scratch, 'elsewhere')])).code, 3);
  service.ledger.verify = async () => ({ ok: false, index: 1, problem: 'its hash does not match' });
  t.match(await run(['audit', 'verify', '-o', 'json']), { code: 1, out: /"ok": false/ });
});

t.test('look: a hypervisor that is not there', async (t) => {
  const looked = await run(['look', '--connect', `qemu:///system?socket=${join(scratch, 'no.sock')}`, '--sample', '1']);
  t.equal(looked.code, 69);
  t.equal(looked.out, '');
  t.match(looked.err, /^headroom: /);
});

t.test('simulate: a small fleet, one object on stdout', async (t) => {
  const done = await run(['simulate', '--hosts', '1', '--vms', '2', '--hours', '1', '--faults', 'none', '--json']);
  t.equal(done.code, 0, done.err);
  t.match(JSON.parse(done.out), { hosts: 1, vms: 2, brokenInvariants: [], converged: true });
});
