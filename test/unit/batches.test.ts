/** Goal: calls that come at once or while others are under way are made together, a few batches at a time, and each hears its own answer. */
import t from 'tap';
import { Batches } from '../../aggregator/etcd/batches.ts';

/** A server that answers when it is told to. */
function server(options: { itemsMax: number; atOnce: number }) {
  const made: { items: readonly number[]; answer: () => Promise<void>; fail: (error: Error) => Promise<void> }[] = [];
  const batches = new Batches<number, string>({
    ...options,
    run: (items) =>
      new Promise((resolve, reject) => {
        const after = async (): Promise<void> => new Promise((done) => setImmediate(done));
        made.push({
          items,
          answer: () => {
            resolve(items.map((item) => `answer ${item}`));
            return after();
          },
          fail: (error) => {
            reject(error);
            return after();
          },
        });
      }),
  });
  return { made, batches };
}

const turn = (): Promise<void> => new Promise((done) => setImmediate(done));

t.test('what is asked in one turn goes together, as much as fits; what comes later waits for one to end', async (t) => {
  const { made, batches } = server({ itemsMax: 3, atOnce: 2 });
  const first = [1, 2, 3, 4].map((item) => batches.ask(item));
  await turn();
  t.same(
    made.map(({ items }) => items),
    [[1, 2, 3], [4]],
  );
  const later = [5, 6].map((item) => batches.ask(item));
  await turn();
  t.equal(made.length, 2, 'two are under way');
  await made[1]!.answer();
  t.same(made[2]!.items, [5, 6]);
  t.equal(await first[3], 'answer 4');
  await made[0]!.answer();
  await made[2]!.answer();
  t.same(await Promise.all([...first, ...later]), ['answer 1', 'answer 2', 'answer 3', 'answer 4', 'answer 5', 'answer 6']);
});

t.test('an error is told to those it went with, and to nobody else; what waits goes on', async (t) => {
  const { made, batches } = server({ itemsMax: 2, atOnce: 1 });
  const asked = Promise.allSettled([1, 2, 3].map((item) => batches.ask(item)));
  await turn();
  await made[0]!.fail(new Error('away'));
  await made[1]!.answer();
  const [one, two, three] = await asked;
  t.match(one, { status: 'rejected', reason: { message: 'away' } });
  t.match(two, { status: 'rejected' });
  t.match(three, { status: 'fulfilled', value: 'answer 3' });
});

t.test('asked in the very turn in which an answer comes, it is not forgotten', async (t) => {
  const { made, batches } = server({ itemsMax: 1, atOnce: 1 });
  const next = batches.ask(1).then(() => batches.ask(2));
  await turn();
  await made[0]!.answer();
  await made[1]!.answer();
  t.equal(await next, 'answer 2');
});
