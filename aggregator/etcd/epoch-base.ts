/**
 * What is added to etcd's revisions to make epochs of them: nothing, unless the fleet was restored from a backup. A new etcd counts from
 * one again, and hosts refuse epochs below those they have had. Input: our keys; output: the number, which only a restore changes.
 */
import { type EtcdKeys, textOf } from './keys.ts';

export const EPOCH_BASE_KEY = 'counter/epoch-base';

export async function epochBase(keys: EtcdKeys): Promise<number> {
  const found = await keys.get(EPOCH_BASE_KEY);
  return found === null ? 0 : Number(textOf(found.value));
}
