/**
 * The table of leases in etcd. Input: a connection, the prefix of our keys; output: a LeaseTable. A key is taken in one
 * transaction that creates it under the lease; the revision of that transaction is the entry's, and no later one of the key has it.
 * Keys that are taken, freed or read at the same time share a transaction, within which each has its own condition.
 */
import type { Etcd3, IRequestOp, IResponseOp } from 'etcd3';
import { isHeadroomError } from '../../shared/errors.ts';
import type { LeaseId, LeaseTable, TableEntry } from '../ownership/lease-table.ts';
import { Batches } from './batches.ts';
import type { EtcdConnection } from './connection.ts';
import { after } from './keys.ts';

/** A member that is stopped does not answer; the lease must be renewed at another before it ends. */
const RENEWAL_MS_MAX = 400;
/** A transaction takes 128 operations, and what stands within its parts counts on top of their number. */
const KEYS_TOGETHER_MAX = 100;
/** One on its way, one that is being answered. */
const TOGETHER_AT_ONCE = 2;

interface KeyValue {
  key: Buffer;
  value: Buffer;
  create_revision: string;
  lease: string;
}

/** Of one key, in a transaction with others. */
interface Part {
  what: string;
  op: IRequestOp;
}

interface Answered {
  response: IResponseOp;
  /** Of the whole transaction. */
  revision: number;
}

/** `base`: added to revisions; see epoch-base.ts. */
export function etcdLeaseTable({ call }: EtcdConnection, prefix: string, base = 0): LeaseTable {
  const bytesOf = (key: string): Buffer => Buffer.from(prefix + key);
  const entryOf = ({ key, value, create_revision }: KeyValue): TableEntry => ({
    key: key.toString().slice(prefix.length),
    value: value.toString(),
    revision: base + Number(create_revision),
  });
  const together = async (parts: readonly Part[]): Promise<Answered[]> => {
    const what = parts.length === 1 ? parts[0]!.what : `${parts[0]!.what} with ${parts.length - 1} others`;
    const { header, responses } = await call(what, (etcd) => etcd.kv.txn({ compare: [], success: parts.map(({ op }) => op), failure: [] }));
    return responses.map((response) => ({ response, revision: Number(header.revision) }));
  };
  const parts = new Batches<Part, Answered | null>({
    ...{ itemsMax: KEYS_TOGETHER_MAX, atOnce: TOGETHER_AT_ONCE },
    async run(items) {
      try {
        return await together(items);
      } catch (error) {
        // Of one's lease alone: what others asked for is theirs all the same.
        if (items.length === 1 || !isHeadroomError(error, 'LEASE_EXPIRED')) throw error;
        return items.map(() => null);
      }
    },
  });
  /** With others where there are any. */
  const asked = async (part: Part): Promise<Answered> => (await parts.ask(part)) ?? (await together([part]))[0]!;
  return {
    async grant(ttlMs) {
      const { ID } = await call('a lease is asked for', (etcd) => etcd.leaseClient.leaseGrant({ TTL: Math.ceil(ttlMs / 1000) }));
      return ID;
    },
    async renew(lease) {
      const { TTL } = await call('a lease is renewed', (etcd) => renewOnce(etcd, lease));
      return Number(TTL) > 0;
    },
    async revoke(lease) {
      await call('a lease is given up', (etcd) => etcd.leaseClient.leaseRevoke({ ID: lease })).catch(ignoreEnded);
    },
    async take(lease, key, value) {
      const bytes = bytesOf(key);
      const op: IRequestOp = {
        request_txn: {
          compare: [{ key: bytes, target: 'Create', result: 'Equal', create_revision: 0 }],
          success: [{ request_put: { key: bytes, value: Buffer.from(value), lease } }],
          failure: [{ request_range: { key: bytes } }],
        },
      };
      const { response, revision } = await asked({ what: `${key} is taken`, op });
      const { succeeded, responses } = response.response_txn;
      if (succeeded) return { mine: true, entry: { key, value, revision: base + revision } };
      const held = responses[0]!.response_range.kvs[0] as KeyValue;
      return { mine: held.lease === lease, entry: entryOf(held) };
    },
    async free(key, revision) {
      const bytes = bytesOf(key);
      const op: IRequestOp = {
        request_txn: {
          compare: [{ key: bytes, target: 'Create', result: 'Equal', create_revision: revision - base }],
          success: [{ request_delete_range: { key: bytes } }],
          failure: [],
        },
      };
      await asked({ what: `${key} is freed`, op });
    },
    async put(lease, key, value) {
      await call(`${key} is written`, (etcd) => etcd.kv.put({ key: bytesOf(key), value: Buffer.from(value), lease }));
    },
    async get(key) {
      const { response } = await asked({ what: `${key} is read`, op: { request_range: { key: bytesOf(key) } } });
      const { kvs } = response.response_range;
      return kvs.length === 0 ? null : entryOf(kvs[0] as KeyValue);
    },
    async list(begin) {
      const { kvs } = await call(`${begin} is listed`, (etcd) => etcd.kv.range({ key: bytesOf(begin), range_end: after(bytesOf(begin)) }));
      return kvs.map((kv) => entryOf(kv as KeyValue));
    },
  };
}

/** By a stream of its own, which ends with the answer. */
async function renewOnce(etcd: Etcd3, lease: LeaseId): Promise<{ TTL: string }> {
  const stream = await etcd.leaseClient.leaseKeepAlive({ deadline: Date.now() + RENEWAL_MS_MAX });
  try {
    return await new Promise<{ TTL: string }>((resolve, reject) => {
      stream.on('data', resolve);
      stream.on('error', reject);
      stream.on('end', () => reject(new Error('the stream ended without an answer')));
      stream.write({ ID: lease });
    });
  } finally {
    stream.end();
  }
}

function ignoreEnded(error: { code?: string }): void {
  if (error.code !== 'LEASE_EXPIRED') throw error;
}
