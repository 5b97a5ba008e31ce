/** Goal: what is written in XDR is read back the same, lengths are multiples of four, and any damaged bytes end in an error value, never in a read beyond. */
import fc from 'fast-check';
import t from 'tap';
import { type ParamType, readParams, type TypedParam, writeParams } from '../../agent/hypervisor/libvirt/typed-params.ts';
import { createXdrReader, createXdrWriter } from '../../agent/hypervisor/libvirt/xdr.ts';
import { isHeadroomError } from '../../shared/errors.ts';

const arbitraryOf: Record<ParamType, fc.Arbitrary<number | string | boolean>> = {
  int: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  uint: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  llong: fc.maxSafeInteger(),
  ullong: fc.maxSafeNat(),
  double: fc.double({ noNaN: true }),
  boolean: fc.boolean(),
  string: fc.string({ unit: 'grapheme' }),
};
const param: fc.Arbitrary<TypedParam> = fc
  .constantFrom(...(Object.keys(arbitraryOf) as ParamType[]))
  .chain((type) => fc.record({ name: fc.string({ minLength: 1 }), type: fc.constant(type), value: arbitraryOf[type] }));
const params = fc.uniqueArray(param, { selector: ({ name }) => name, maxLength: 40 });

t.test('typed parameters round trip, however many', async () => {
  fc.assert(
    fc.property(params, (list) => {
      const bytes = writeParams(createXdrWriter(), list).bytes();
      if (bytes.length % 4 !== 0) return false;
      const reader = createXdrReader(bytes);
      const read = readParams(reader);
      return (
        reader.remaining === 0 && list.every(({ name, value }) => Object.is(read[name], value)) && Object.keys(read).length === list.length
      );
    }),
  );
});

t.test('optional strings, fixed bytes and 64-bit numbers round trip', async () => {
  fc.assert(
    fc.property(fc.option(fc.string()), fc.uint8Array({ maxLength: 700 }), fc.maxSafeInteger(), (text, bytes, number) => {
      const reader = createXdrReader(createXdrWriter().optionalString(text).opaque(bytes).i64(number).bytes());
      const same = reader.optionalString() === text && Buffer.from(bytes).equals(Buffer.from(reader.opaque(bytes.length)));
      return same && reader.i64() === number && reader.remaining === 0;
    }),
  );
});

t.test('cut or altered bytes are an error of ours or other values, never a crash', async () => {
  fc.assert(
    fc.property(params, fc.nat(), fc.nat({ max: 255 }), (list, where, byte) => {
      const bytes = Buffer.from(writeParams(createXdrWriter(), list).bytes());
      const at = where % bytes.length;
      bytes[at] = byte;
      for (const damaged of [bytes, bytes.subarray(0, at)]) {
        try {
          readParams(createXdrReader(damaged));
        } catch (error) {
          if (!isHeadroomError(error, 'HYPERVISOR_UNAVAILABLE')) return false;
        }
      }
      return true;
    }),
  );
});

t.test('values a type cannot hold are refused before they are sent', async (t) => {
  for (const bad of [-1, 1.5, Number.NaN, 2 ** 60]) {
    t.throws(() => writeParams(createXdrWriter(), [{ name: 'cpu_shares', type: 'ullong', value: bad }]), { code: 'HYPERVISOR_REFUSED' });
  }
});
