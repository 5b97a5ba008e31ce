/**
 * Goal: model state comes back from its bytes exactly; bytes of another format, size or content are refused and change nothing; what older
 * programs wrote, with a checksum of their own, is still read.
 */
import t from 'tap';
import { packState, unpackState } from '../../aggregator/core/forecast/state-bytes.ts';

const TAG = 'made 1 300000';
const arrays = () => [new Float64Array(3), new Uint16Array(5), new Float32Array(1), new Int32Array(2)] as const;

function made() {
  const [levels, counts, weight, steps] = arrays();
  levels.set([1.5, Number.NaN, -0]);
  counts.set([1, 2, 3, 4, 65_535]);
  weight.set([0.25]);
  steps.set([-7, 2 ** 31 - 1]);
  return [levels, counts, weight, steps] as const;
}

/** As programs wrote it before CRC-32: "HRFM", and FNV-1a over what follows the checksum. */
function asOlder(bytes: Uint8Array): Uint8Array {
  const older = bytes.slice();
  const view = new DataView(older.buffer);
  let hash = 0x811c9dc5;
  for (const byte of older.subarray(8)) hash = Math.imul(hash ^ byte, 0x01000193);
  view.setUint32(0, 0x4d465248, true);
  view.setUint32(4, hash >>> 0, true);
  return older;
}

for (const [whose, written] of [
  ['of today', (bytes: Uint8Array) => bytes],
  ['of older programs', asOlder],
] as const) {
  t.test(`state ${whose} comes back, and none that is broken does`, async (t) => {
    const bytes = written(packState(TAG, made()));
    const read = arrays();
    unpackState(TAG, bytes, read);
    t.same(read, made());
    for (let at = 0; at < bytes.length; at++) {
      const broken = bytes.slice();
      broken[at]! ^= 1;
      const untouched = arrays();
      t.throws(() => unpackState(TAG, broken, untouched), { code: 'STORE_CORRUPT' }, `byte ${at}`);
      t.same(untouched, arrays());
    }
    for (const [what, cut] of [
      ['a header alone', bytes.subarray(0, 8)],
      ['one too short', bytes.subarray(0, -1)],
      ['one too long', Uint8Array.of(...bytes, 0)],
    ] as const)
      t.throws(() => unpackState(TAG, cut, arrays()), { code: 'STORE_CORRUPT' }, what);
    t.throws(() => unpackState('made 2 300000', bytes, arrays()), { code: 'STORE_CORRUPT', message: /written as "made 1 300000"/ });
  });
}
