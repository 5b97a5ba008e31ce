/**
 * Goal: what is learnt of each VM beside its models outlives restarts, as it was last; it goes with the VM; nothing of one VM that cannot be
 * kept or read costs another anything. Its two users are tried on the same terms.
 */
import t from 'tap';
import { PrefetchTuner } from '../../aggregator/service/prefetch-tuner.ts';
import { ResumeCalendar } from '../../aggregator/service/resume-calendar.ts';
import { VmShelf } from '../../aggregator/service/vm-shelf.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';
import { type VmId, vmId } from '../../shared/ids.ts';

const [ONE, OTHER] = [1, 2].map((digit) => vmId(`6f1b0000-0000-4000-8000-00000000000${digit}`)) as [VmId, VmId];
const HOUR_MS = 3_600_000;
const PREFETCH = { leadMs: HOUR_MS, probability: 0.5, holdMs: HOUR_MS, bytesPerSecondMax: null, priority: null };
const RULE = { name: 'desktops', prefetch: { ...PREFETCH, learn: { secondsPerGiB: 0.5, secondsPerGiBHour: 1 } } };

function world() {
  const ledger = createMemoryLedgerStore();
  const warnings: unknown[] = [];
  const log = { warn: (_: string, fields?: object) => void warnings.push(fields) };
  const shelf = () => new VmShelf<{ n: number }>({ ledger, log, prefix: 'things/', what: 'a thing' });
  return { ledger, warnings, log, shelf };
}
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

t.test('as it was last, however slow the writing; what was changed again meanwhile is written once', async (t) => {
  const { ledger, shelf, warnings } = world();
  const writes: (() => void)[] = [];
  const slow = {
    ...ledger,
    putBlob: async (name: string, bytes: Uint8Array) => {
      await new Promise<void>((resolve) => writes.push(resolve));
      await ledger.putBlob(name, bytes);
    },
  };
  const things = new VmShelf<{ n: number }>({
    ledger: slow,
    log: { warn: (words) => void t.fail(words) },
    prefix: 'things/',
    what: 'a thing',
  });
  for (let n = 1; n <= 5; n++) things.keep(ONE, { n });
  things.keep(OTHER, { n: 9 });
  t.equal(writes.length, 2, 'one at a time of each');
  for (let done = 0; done < writes.length; done++) {
    writes[done]!();
    await settled();
  }
  t.equal(writes.length, 3);
  const kept = await shelf().load();
  t.same([...kept].toSorted(), [
    [ONE, { n: 5 }],
    [OTHER, { n: 9 }],
  ]);
  t.same(warnings, []);
});

t.test('forgotten after it was kept, in the same breath: nothing is left', async (t) => {
  const { ledger, shelf } = world();
  const things = shelf();
  things.keep(ONE, { n: 1 });
  things.keep(ONE, { n: 2 });
  things.forget(ONE);
  await settled();
  t.same(await ledger.blobNames(''), []);
});

t.test('a ledger that refuses is told of, and the next change is kept', async (t) => {
  const { ledger, log, warnings, shelf } = world();
  let refuses = true;
  const full = {
    ...ledger,
    putBlob: (name: string, bytes: Uint8Array) => (refuses ? Promise.reject(new Error('full')) : ledger.putBlob(name, bytes)),
  };
  const things = new VmShelf<{ n: number }>({ ledger: full, log, prefix: 'things/', what: 'a thing' });
  things.keep(ONE, { n: 1 });
  await settled();
  t.match(warnings, [{ vm: ONE, problem: /full/ }]);
  refuses = false;
  things.keep(ONE, { n: 2 });
  await settled();
  t.same((await shelf().load()).get(ONE), { n: 2 });
});

t.test('what cannot be read of one VM is learnt anew: when it is wanted, how it is made ready', async (t) => {
  const { ledger, log, warnings } = world();
  const [calendar, tuner] = [new ResumeCalendar(ledger, log), new PrefetchTuner(ledger, log)];
  for (const vm of [ONE, OTHER]) {
    calendar.note(vm, 0, true);
    calendar.note(vm, HOUR_MS, false);
    tuner.way(vm, RULE);
  }
  await settled();
  for (const name of await ledger.blobNames('')) if (name.endsWith(ONE)) await ledger.putBlob(name, Buffer.from('{"half":'));
  const [anew, ways] = [new ResumeCalendar(ledger, log), new PrefetchTuner(ledger, log)];
  await anew.load();
  await ways.load();
  t.match(warnings, [{ vm: ONE }, { vm: ONE }]);
  t.equal(anew.predict(ONE, 2 * HOUR_MS, HOUR_MS), null);
  t.not(anew.predict(OTHER, 2 * HOUR_MS, HOUR_MS), null);
  const text = async (): Promise<string> => Buffer.from((await ledger.getBlob(`prefetch-tuning/${OTHER}`)) ?? []).toString();
  const before = await text();
  ways.way(OTHER, RULE);
  await settled();
  t.equal(await text(), before, 'its suspension under way goes on');
  t.equal(ways.way(ONE, RULE).share, 1, 'the other begins with what the policy says');
});

t.test('of a VM that is gone for good nothing is kept', async (t) => {
  const { ledger, log } = world();
  const [calendar, tuner] = [new ResumeCalendar(ledger, log), new PrefetchTuner(ledger, log)];
  for (const vm of [ONE, OTHER]) {
    calendar.note(vm, 0, true);
    tuner.way(vm, RULE);
  }
  for (const one of [calendar, tuner]) one.forget(ONE);
  await settled();
  t.same((await ledger.blobNames('')).toSorted(), [`prefetch-tuning/${OTHER}`, `resume-times/${OTHER}`]);
});
