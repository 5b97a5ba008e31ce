/** Goal: kill -9 in the middle of writing, again and again, loses nothing that was acknowledged, and both stores open clean. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { openSqliteLedgerStore } from '../../aggregator/store/sqlite/sqlite-ledger-store.ts';
import { openSqliteSeriesStore } from '../../aggregator/store/sqlite/sqlite-series-store.ts';
import { createPrng } from '../../shared/prng.ts';
import { eventBody } from '../contract/ledger-store-contract.ts';
import { HOST, rowsOf, standingClock, VM_A } from '../contract/series-store-contract.ts';
import { timeOf, WRITE_MS } from '../support/written.ts';

const WRITER = fileURLToPath(new URL('../support/store-writer.ts', import.meta.url));
const ROUNDS = 4;

/** Lets the writer run until it has acknowledged some writes and a moment more, kills it, answers the acknowledged numbers. */
function writeAndKill(what: string, directory: string, first: number, enough: number, moreMs: number): Promise<number[]> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', WRITER, what, directory, String(first)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    let ending = false;
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (text: string) => {
      output += text;
      if (ending || output.split('\n').length <= enough) return;
      ending = true;
      setTimeout(() => child.kill('SIGKILL'), moreMs);
    });
    child.on('close', (code, signal) => {
      if (signal !== 'SIGKILL') reject(new Error(`the writer ended by itself: ${code} ${signal}`));
      // What stands behind the last line break was cut off.
      else resolve(output.split('\n').slice(0, -1).map(Number));
    });
  });
}

t.test('series', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'headroom-kill-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const random = createPrng(11);
  const acknowledged: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const first = acknowledged.length === 0 ? 0 : Math.max(...acknowledged) + 3;
    const numbers = await writeAndKill('series', directory, first, 80 + random.below(150), random.below(60));
    t.ok(numbers.length >= 80, `round ${round}: ${numbers.length} writes were acknowledged`);
    acknowledged.push(...numbers);
    const clock = standingClock(timeOf(Math.max(...acknowledged)) + WRITE_MS);
    const reports: string[] = [];
    const store = await openSqliteSeriesStore({ directory, clock, onReport: (message) => reports.push(message) });
    const range = { source: 'host', fromMs: timeOf(-1), toMs: timeOf(1e6), resolution: 'raw' } as const;
    const fields = ['vm_cpu.number', 'vm_cpu.seventh'];
    const rows = new Map(rowsOf(await store.query({ ...range, subject: VM_A, fields }), fields).map(([time, ...values]) => [time, values]));
    const lost = acknowledged.filter((n) => rows.get(timeOf(n))?.[0] !== n || rows.get(timeOf(n))?.[1] !== n / 7);
    t.same(lost, [], 'nothing acknowledged is lost');
    const host = rowsOf(await store.query({ ...range, subject: HOST, fields: ['host_cpu.number'] }), ['host_cpu.number']);
    t.equal(host.length, rows.size, 'appends are whole: both blocks or none');
    const counts = await store.query({ ...range, subject: VM_A, fields: ['vm_cpu.number:count'], resolution: '1h' });
    const counted = counts.columns['vm_cpu.number:count']!.reduce((a, b) => a + b, 0);
    t.equal(counted, rows.size, 'no row is counted twice or missed');
    t.same(reports, []);
    await store.close();
  }
  for (const name of readdirSync(directory).filter((name) => name.endsWith('.db'))) {
    const db = new DatabaseSync(join(directory, name));
    t.same(db.prepare('PRAGMA integrity_check').get(), { integrity_check: 'ok' }, name);
    db.close();
  }
});

t.test('ledger', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'headroom-kill-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const random = createPrng(12);
  let entries = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const indexes = await writeAndKill('ledger', directory, entries, 30 + random.below(60), random.below(60));
    const store = await openSqliteLedgerStore({ directory });
    const verified = await store.verify();
    t.match(verified, { ok: true });
    entries = verified.ok ? verified.entries : 0;
    t.ok(Math.max(...indexes) < entries, `${entries} entries, the last acknowledged was ${Math.max(...indexes)}`);
    t.equal((await store.append(1, eventBody('after'))).index, entries++, 'the chain goes on');
    await store.close();
  }
});
