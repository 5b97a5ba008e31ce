/** A pack of the snapshot store as damage beyond mending leaves it: its index says what should be there, and nothing is. */
import { readIndex } from '../../agent/snapshot/pack.ts';
import { DIGEST_BYTES } from '../../agent/snapshot/sealed-sizes.ts';

const COPIES = 2;
const ENTRY_BYTES = DIGEST_BYTES + 8;
const TRAILER_BYTES = 4 + 32 + 8;

/** Its records and their parity end here. */
export async function recordsEnd(bytes: Buffer): Promise<number> {
  const index = await readIndex(async (length) => (length > bytes.length ? null : bytes.subarray(-length)));
  if (index === null) throw new Error('it is no pack');
  return bytes.length - COPIES * (index.entries.length * ENTRY_BYTES + TRAILER_BYTES);
}

export async function spoiledPack(bytes: Buffer): Promise<Buffer> {
  const spoiled = Buffer.from(bytes);
  const end = await recordsEnd(bytes);
  for (let at = 0; at < end; at++) spoiled[at]! ^= 0xff;
  return spoiled;
}
