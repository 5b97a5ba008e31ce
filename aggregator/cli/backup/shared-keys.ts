/**
 * What several aggregators share in etcd, out to a file and in again. Input: a connection, the prefix of the fleet's keys, a file;
 * output: how many keys. What lives by a lease (who is there, who owns what) is left out: it is of those who run, and they take it anew.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { HeadroomError } from '../../../shared/errors.ts';
import type { EtcdConnection } from '../../etcd/connection.ts';
import { EPOCH_BASE_KEY, epochBase } from '../../etcd/epoch-base.ts';
import { EtcdKeys, type Put, textOf } from '../../etcd/keys.ts';

/** Which backup etcd was filled from; until it is done, which one it is being filled from. */
const RESTORED_KEY = 'restored';
const RESTORING_KEY = 'restoring';
const PAGE_KEYS = 200;
/** etcd takes transactions of 128 operations and 1.5 MiB; a value may have 1 MiB. */
const BATCH_KEYS = 100;
const BATCH_BYTES = 256 * 1024;
/** Epochs given after the backup was made: ten thousand million changes of etcd, years of the largest fleet. */
const EPOCHS_SINCE_MAX = 10_000_000_000;

/** Everything as it was at one revision. */
export async function saveShared(connection: EtcdConnection, prefix: string, file: string): Promise<{ keys: number; epochsBelow: number }> {
  const keys = new EtcdKeys(connection, prefix);
  const base = await epochBase(keys);
  let [count, revision] = [0, 0];
  async function* lines(): AsyncGenerator<string> {
    for await (const page of keys.pages(PAGE_KEYS)) {
      revision = page.revision;
      for (const { key, value, leased } of page.found) {
        if (leased || key === RESTORED_KEY) continue;
        count++;
        yield `${JSON.stringify([key, value.toString('base64')])}\n`;
      }
    }
  }
  await pipeline(lines, createWriteStream(file, { mode: 0o640 }));
  return { keys: count, epochsBelow: base + revision + 1 };
}

/** True: filled now; false: it was filled from this very backup before. Rejects with CONFLICT when a fleet's keys are there. */
export async function loadShared(
  connection: EtcdConnection,
  prefix: string,
  { file, id, epochsBelow }: { file: string; id: string; epochsBelow: number },
): Promise<boolean> {
  const keys = new EtcdKeys(connection, prefix);
  const restored = await keys.get(RESTORED_KEY);
  if (restored !== null && textOf(restored.value) === id) return false;
  const broken = await keys.get(RESTORING_KEY);
  if (broken !== null) await keys.removeAll('');
  const there = await keys.names('');
  if (there.length > 0)
    throw new HeadroomError(
      'CONFLICT',
      `etcd has ${there.length} keys below "${prefix}" already; stop all aggregators and remove them first (etcdctl del --prefix ${prefix}), or name another prefix`,
    );
  // Whoever finds this key knows that the rest is not whole.
  await keys.put(RESTORING_KEY, id);
  const { revision } = (await keys.get(RESTORING_KEY))!;
  let [puts, bytes]: [Put[], number] = [[], 0];
  const flush = async (): Promise<void> => {
    if (puts.length > 0 && !(await keys.putAllIf(RESTORING_KEY, revision, puts)))
      throw new HeadroomError('CONFLICT', 'somebody else began to restore into the same etcd meanwhile');
    [puts, bytes] = [[], 0];
  };
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const [key, value] = JSON.parse(line) as [string, string];
    puts.push({ key, value: Buffer.from(value, 'base64') });
    bytes += value.length;
    if (puts.length >= BATCH_KEYS || bytes >= BATCH_BYTES) await flush();
  }
  await flush();
  await keys.put(EPOCH_BASE_KEY, String(epochsBelow + EPOCHS_SINCE_MAX));
  await keys.put(RESTORED_KEY, id);
  await keys.remove(RESTORING_KEY);
  return true;
}
