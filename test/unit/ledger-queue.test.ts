/**
 * Goal: what waits for the ledger goes there in order and together, the newest row of each VM and resource alone; a ledger that is away
 * has all of it later, still in order; nothing is lost or doubled by that.
 */
import t from 'tap';
import { LedgerQueue } from '../../aggregator/service/ledger-queue.ts';
import type { LedgerBody, LedgerStore } from '../../aggregator/store/ledger-store.ts';
import { HeadroomError } from '../../shared/errors.ts';
import type { HostId, VmId } from '../../shared/ids.ts';

const note = (n: number): LedgerBody => ({ kind: 'operator', action: 'note', by: 'test', target: 'fleet', reason: String(n) }) as never;

/** A ledger on other machines: each call takes a turn, and is refused while `away` says so. */
function shared(away: (calls: number) => boolean) {
  const [entries, rows, removed]: [string[], Map<string, number>, string[]] = [[], new Map(), []];
  let [calls, underWay, underWayMost] = [0, 0, 0];
  const turn = async (write: () => void): Promise<void> => {
    const refused = away(calls++);
    underWayMost = Math.max(underWayMost, ++underWay);
    await new Promise((resolve) => setImmediate(resolve));
    underWay--;
    if (refused) throw new HeadroomError('UNAVAILABLE', 'etcd is away');
    write();
  };
  const ledger = {
    append: (_timeMs: number, body: { reason: string }) => turn(() => entries.push(body.reason)),
    putAllocation: ({ vm, sinceMs }: { vm: string; sinceMs: number }) => turn(() => rows.set(vm, sinceMs)),
    removeVm: (vm: string) => turn(() => removed.push(vm)),
  } as unknown as LedgerStore;
  return { ledger, entries, rows, removed, most: () => underWayMost, calls: () => calls };
}

const cpu = { resource: 'cpu', weight: 100, capCores: null } as const;

t.test('together, in order, and no more at once than a transaction takes', async (t) => {
  const { ledger, entries, rows, removed, most } = shared(() => false);
  const queue = new LedgerQueue(
    ledger,
    () => t.fail('nothing fails'),
    async () => void t.fail('nothing is away'),
  );
  for (let n = 0; n < 500; n++) queue.append(n, note(n));
  for (let n = 0; n < 100; n++) queue.allocate(`vm-${n}` as VmId, 'host' as HostId, cpu, n);
  queue.allocate('vm-7' as VmId, 'another' as HostId, cpu, 1000);
  queue.remove('vm-8' as VmId);
  await queue.flush();
  t.same(
    entries,
    Array.from({ length: 500 }, (_, n) => String(n)),
  );
  t.equal(rows.size, 99, 'what is gone is not written');
  t.equal(rows.get('vm-7'), 1000, 'the newest');
  t.same(removed, ['vm-8']);
  t.ok(most() > 16 && most() <= 100, `${most()} at once`);
  t.equal(queue.waiting, 0);
});

t.test('a ledger that is away now and then has everything once and in order', async (t) => {
  let pauses = 0;
  const { ledger, entries, rows } = shared((calls) => calls < 200 || calls % 7 === 0);
  const queue = new LedgerQueue(
    ledger,
    () => t.fail('nothing is given up'),
    async () => void pauses++,
  );
  for (let n = 0; n < 300; n++) queue.append(n, note(n));
  for (let n = 0; n < 40; n++) queue.allocate(`vm-${n}` as VmId, 'host' as HostId, cpu, n);
  await queue.flush();
  t.same(
    entries.toSorted((a, b) => Number(a) - Number(b)),
    [...Array(300).keys()].map(String),
    'all of them, none twice',
  );
  t.equal(rows.size, 40);
  t.ok(pauses > 3);
});

t.test('at the end a ledger that stays away is given up, and that is counted', async (t) => {
  const { ledger } = shared(() => true);
  let told = 0;
  const queue = new LedgerQueue(
    ledger,
    () => told++,
    () => new Promise((resolve) => setTimeout(resolve, 5)),
  );
  for (let n = 0; n < 3; n++) queue.append(n, note(n));
  await queue.end();
  t.equal(queue.failed, 3);
  t.equal(told, 3);
});

t.test('what comes while the last is being finished is written too, however close', async (t) => {
  const lost: number[] = [];
  for (let after = 0; after < 40; after++) {
    const { ledger, entries } = shared(() => false);
    let queue: LedgerQueue | null = null;
    const append = ledger.append.bind(ledger);
    let second = false;
    ledger.append = async (timeMs, body) => {
      const entry = await append(timeMs, body);
      if (!second) {
        second = true;
        void (async () => {
          for (let i = 0; i < after; i++) await Promise.resolve();
          queue!.append(2, note(2));
        })();
      }
      return entry;
    };
    queue = new LedgerQueue(
      ledger,
      () => t.fail('nothing fails'),
      async () => void t.fail('nothing is away'),
    );
    queue.append(1, note(1));
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
    if (entries.length !== 2) lost.push(after);
  }
  t.same(lost, []);
});
