/**
 * One random key per tenant, in a folder of its own that only root reads. Input: `StoreFiles` of that folder, which belongs on
 * another disk than the snapshots, or at least in no backup of them. Destroying a key destroys all that was sealed with it.
 */
import { randomBytes } from 'node:crypto';
import { HeadroomError } from '../../shared/errors.ts';
import { TENANT_PATTERN } from '../core/tenant-name.ts';
import { KEY_BYTES } from './seal.ts';
import { isUnfinished, putDurably, readWhole, type StoreFiles } from './store-files.ts';

const FOLDER = 'keys';

export interface TenantKeys {
  /** Null: the tenant has none, or none any more. */
  find(tenant: string): Promise<Buffer | null>;
  /** The tenant's key, made now if need be. Throws STORE_CORRUPT when it is not a key. */
  obtain(tenant: string): Promise<Buffer>;
  destroy(tenant: string): Promise<void>;
}

export function createTenantKeys(files: StoreFiles): TenantKeys {
  const nameOf = (tenant: string): string => {
    if (!TENANT_PATTERN.test(tenant)) {
      throw new HeadroomError('USAGE', `a tenant is named by letters a to z, digits and dashes, at most 63 of them, not "${tenant}"`);
    }
    return `${tenant}.key`;
  };
  const find = async (tenant: string): Promise<Buffer | null> => {
    const key = await readWhole(files, `${FOLDER}/${nameOf(tenant)}`);
    if (key !== null && key.length !== KEY_BYTES) {
      throw new HeadroomError('STORE_CORRUPT', `the key of tenant ${tenant} has ${key.length} bytes, not ${KEY_BYTES}: bring it back`);
    }
    return key;
  };
  return {
    find,
    async obtain(tenant) {
      const there = await find(tenant);
      if (there !== null) return there;
      const key = randomBytes(KEY_BYTES);
      await files.makeFolder(FOLDER);
      await putDurably(files, FOLDER, nameOf(tenant), [key]);
      return key;
    },
    async destroy(tenant) {
      const path = `${FOLDER}/${nameOf(tenant)}`;
      // Over itself first: a name taken away leaves the bytes on many disks.
      if ((await files.size(path)) !== null) {
        await files.write(path, [randomBytes(KEY_BYTES)]);
        await files.sync(path);
      }
      for (const name of await files.list(FOLDER)) if (isUnfinished(name)) await files.remove(`${FOLDER}/${name}`);
      await files.remove(path);
      await files.syncFolder(FOLDER);
    },
  };
}
