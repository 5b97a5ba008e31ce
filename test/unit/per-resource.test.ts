import { setFlagsFromString } from 'node:v8';
import t from 'tap';
import { without } from '../../aggregator/core/state/per-resource.ts';

setFlagsFromString('--allow-natives-syntax');
const isQuickToRead = new Function('parts', 'return %HasFastProperties(parts)') as (parts: object) => boolean;

t.test('a part less, made anew', async (t) => {
  const parts: Parameters<typeof without<string>>[0] = { memory: 'a', cpu: 'b', disk: 'c' };
  const left = without(parts, 'memory');
  t.same(Object.entries(left), [
    ['cpu', 'b'],
    ['disk', 'c'],
  ]);
  t.same(Object.keys(parts), ['memory', 'cpu', 'disk'], 'what others may still hold stays as it was');
  t.equal(without(left, 'memory'), left, 'nothing to take away');
  t.same(without(without(left, 'cpu'), 'disk'), {});
});

t.test('what is left stays quick to read, unlike what a part was deleted from', async (t) => {
  const parts: Parameters<typeof without<string>>[0] = { cpu: 'a', memory: 'b' };
  t.ok(isQuickToRead(without(parts, 'cpu')));
  delete parts.cpu;
  t.notOk(isQuickToRead(parts), 'else this function is no longer needed');
});
