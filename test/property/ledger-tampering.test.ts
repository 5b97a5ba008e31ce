/**
 * Goal: whatever is done to a ledger's file behind its back is found by verification: any byte changed in its entries,
 * entries removed, cut off, reordered, added or rewritten. And verification of a damaged file ends with a result.
 */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import t from 'tap';
import { entryHash } from '../../aggregator/store/ledger-chain.ts';
import type { LedgerEntry, LedgerStore, VerifyResult } from '../../aggregator/store/ledger-store.ts';
import { LedgerCore } from '../../aggregator/store/sqlite/ledger-core.ts';
import { openSqliteLedgerStore } from '../../aggregator/store/sqlite/sqlite-ledger-store.ts';
import { verifyLedgerFile } from '../../aggregator/store/sqlite/verify-ledger-file.ts';
import { createPrng } from '../../shared/prng.ts';
import { eventBody, planBody, VM_A, VM_B } from '../contract/ledger-store-contract.ts';

const directory = mkdtempSync(join(tmpdir(), 'headroom-tamper-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const original = join(directory, 'ledger.db');
const copy = join(directory, 'copy.db');
const ENTRIES = 30;

async function fill(store: LedgerStore): Promise<void> {
  for (let i = 0; i < ENTRIES; i++) {
    // Every fifth is long enough to be stored compressed.
    const body = i % 5 === 0 ? planBody(`plan-${i}`.padEnd(3000, 'x'), [VM_A, VM_B]) : eventBody(`event-${i}`, i % 2 ? VM_A : null);
    await store.append(1_000_000 + i, body);
  }
}

const store = await openSqliteLedgerStore({ directory });
await fill(store);
await store.close();
const bytes = readFileSync(original);

function tamper(change: (db: DatabaseSync) => void): VerifyResult {
  copyFileSync(original, copy);
  const db = new DatabaseSync(copy);
  change(db);
  db.close();
  return verifyLedgerFile(copy);
}

function allEntries(path: string): LedgerEntry[] | null {
  try {
    const core = new LedgerCore(path, { readOnly: true });
    try {
      const byVm = core.entries({ limit: 1000, vm: VM_A });
      return [...core.entries({ limit: 1000 }), ...byVm, ...core.entries({ limit: 1000, kind: 'plan' })];
    } finally {
      core.close();
    }
  } catch {
    return null;
  }
}

t.test('the untouched file is whole', async (t) => {
  t.match(verifyLedgerFile(original), { ok: true, entries: ENTRIES });
});

t.test('any byte of the file: found, or the entries are the same as before', async (t) => {
  const before = JSON.stringify(allEntries(original));
  let found = 0;
  fc.assert(
    fc.property(fc.integer({ min: 0, max: bytes.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const changed = Buffer.from(bytes);
      changed[at]! ^= flip;
      writeFileSync(copy, changed);
      let result: VerifyResult;
      try {
        result = verifyLedgerFile(copy);
      } catch (error) {
        // The file no longer says that it is a ledger this program knows: refused, which is as good as found.
        return (error as { code?: string }).code === 'STORE_UNAVAILABLE' && at < 100;
      }
      if (!result.ok) found++;
      return !result.ok || JSON.stringify(allEntries(copy)) === before;
    }),
    { numRuns: 250 },
  );
  t.ok(found > 50, `${found} of 250 changes hit something that matters`);
});

t.test('any byte of an entry: found', async (t) => {
  const db = new DatabaseSync(original, { readOnly: true });
  const rows = db.prepare('SELECT number, body, previous_hash, hash FROM entry').all();
  db.close();
  const random = createPrng(7);
  for (const row of rows) {
    const body = typeof row.body === 'string' ? Buffer.from(row.body) : Buffer.from(row.body as Uint8Array);
    // A long body continues on pages of its own: its beginning identifies it.
    for (const part of [body.subarray(0, 60), Buffer.from(`${row.previous_hash}${row.hash}`)]) {
      const places = placesOf(part);
      t.ok(places.length > 0, `entry ${row.number} is where it is looked for`);
      const at = random.below(part.length);
      const flip = 1 + random.below(255);
      const changed = Buffer.from(bytes);
      for (const place of places) changed[place + at]! ^= flip;
      writeFileSync(copy, changed);
      t.equal(verifyLedgerFile(copy).ok, false, `entry ${row.number}, byte ${at}`);
    }
  }
});

/** All places of a text in the file: pages that were split keep old copies in room they do not use. */
function placesOf(part: Buffer): number[] {
  const places: number[] = [];
  for (let at = bytes.indexOf(part); at >= 0; at = bytes.indexOf(part, at + 1)) places.push(at);
  return places;
}

t.test('entries changed, removed, cut off, reordered, added', async (t) => {
  const cases: [string, (db: DatabaseSync) => void, number][] = [
    ['body changed', (db) => db.exec("UPDATE entry SET body=replace(body, 'event-7', 'event-8') WHERE number=7"), 7],
    ['time changed', (db) => db.exec('UPDATE entry SET time_ms=5 WHERE number=8'), 8],
    ['kind changed', (db) => db.exec("UPDATE entry SET kind='policy' WHERE number=9"), 9],
    ['hash changed', (db) => db.exec(`UPDATE entry SET hash='${'a'.repeat(64)}' WHERE number=10`), 10],
    ['one removed', (db) => db.exec('DELETE FROM entry WHERE number=11'), 11],
    ['first removed', (db) => db.exec('DELETE FROM entry WHERE number=0'), 0],
    ['last removed', (db) => db.exec(`DELETE FROM entry WHERE number=${ENTRIES - 1}`), ENTRIES - 1],
    ['cut off', (db) => db.exec('DELETE FROM entry WHERE number>=20'), 20],
    ['all removed', (db) => db.exec('DELETE FROM entry'), 0],
    [
      'two swapped',
      (db) =>
        db.exec(
          'UPDATE entry SET number=-1 WHERE number=3; UPDATE entry SET number=3 WHERE number=4; UPDATE entry SET number=4 WHERE number=-1',
        ),
      3,
    ],
    ['one in front', (db) => db.exec("INSERT INTO entry VALUES (-5, 1, 'event', '{}', '', '')"), 0],
    ['hidden from its VM', (db) => db.exec(`DELETE FROM entry_vm WHERE number=7`), 7],
    ['filed under a VM it does not name', (db) => db.exec(`INSERT INTO entry_vm VALUES ('${VM_B}', 1)`), ENTRIES],
    ['head moved back', (db) => db.exec(`UPDATE head SET entries=25, hash=(SELECT hash FROM entry WHERE number=24)`), 25],
  ];
  for (const [name, change, index] of cases) t.match(tamper(change), { ok: false, index }, name);
});

t.test('an entry rewritten with a hash that fits it breaks the next', async (t) => {
  const result = tamper((db) => {
    const row = db.prepare('SELECT time_ms, body, previous_hash FROM entry WHERE number=6').get()!;
    const body = String(row.body).replace('event-6', 'event-X');
    const hash = entryHash(String(row.previous_hash), 6, Number(row.time_ms), body);
    db.prepare('UPDATE entry SET body=?, hash=? WHERE number=6').run(body, hash);
  });
  t.match(result, { ok: false, index: 7 });
});

t.test('a ledger whose end was cut off is not written on', async (t) => {
  const cut = join(directory, 'cut');
  const first = await openSqliteLedgerStore({ directory: cut });
  await first.append(1, eventBody('a'));
  await first.append(2, eventBody('b'));
  await first.close();
  const db = new DatabaseSync(join(cut, 'ledger.db'));
  db.exec('DELETE FROM entry WHERE number=1');
  db.close();
  await t.rejects(openSqliteLedgerStore({ directory: cut }), { code: 'LEDGER_BROKEN' });
  t.match(verifyLedgerFile(join(cut, 'ledger.db')), { ok: false, index: 1 });
});

t.test('no ledger, not a ledger', async (t) => {
  t.throws(() => verifyLedgerFile(join(directory, 'none.db')), { code: 'NOT_FOUND' });
  writeFileSync(copy, 'x'.repeat(5000));
  t.match(verifyLedgerFile(copy), { ok: false });
});
