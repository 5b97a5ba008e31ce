/**
 * One random key per tenant, in a folder of its own that only root reads. Input: `StoreFiles` of that folder, which belongs on
 * another disk than the snapshots, or at least in no backup of them. Destroying a key destroys all that was sealed with it.
 */
import { createHash, randomBytes } from 'node:crypto';
import { HeadroomError } from '../../shared/errors.ts';
import { TENANT_PATTERN } from '../core/tenant-name.ts';
import { KEY_BYTES } from './sealed-sizes.ts';
import { isUnfinished, putDurably, readWhole, type StoreFiles } from './store-files.ts';

const FOLDER = 'keys';
const NAME_MAX = 63;
const MARK_DIGITS = 12;

export interface TenantKeys {
  /** Null: the tenant has none, or none any more. */
  find(tenant: string): Promise<Buffer | null>;
  /** The tenant's key, made now if need be. Throws STORE_CORRUPT when it is not a key. */
  obtain(tenant: string): Promise<Buffer>;
  /**
   * A key of another host for a tenant, kept from now on; answers under which name. Where the tenant has none yet it is the tenant's,
   * so that what both hosts hold is sealed once; else it lies beside the tenant's own.
   */
  adopt(tenant: string, key: Buffer): Promise<string>;
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
  const keep = async (tenant: string, key: Buffer): Promise<void> => {
    await files.makeFolder(FOLDER);
    await putDurably(files, FOLDER, nameOf(tenant), [key]);
  };
  return {
    find,
    async obtain(tenant) {
      const there = await find(tenant);
      if (there !== null) return there;
      const key = randomBytes(KEY_BYTES);
      await keep(tenant, key);
      return key;
    },
    async adopt(tenant, key) {
      if (key.length !== KEY_BYTES) throw new HeadroomError('STORE_CORRUPT', `a key of ${key.length} bytes came for tenant ${tenant}`);
      const mark = createHash('sha256').update(key).digest('hex').slice(0, MARK_DIGITS);
      for (const name of [tenant, `${tenant.slice(0, NAME_MAX - MARK_DIGITS - 1)}-${mark}`]) {
        const there = await find(name);
        if (there === null) await keep(name, key);
        if (there === null || there.equals(key)) return name;
      }
      throw new HeadroomError('CONFLICT', `tenant ${tenant} has other keys here, also under the name that one of another host gets`);
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
