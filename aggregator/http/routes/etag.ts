/** Versions as entity tags: what is in force, and what a writer looked at. */
import { HeadroomError } from '../../../shared/errors.ts';

export const etagOf = (version: number): string => `"${version}"`;

/** Null: any version will do. */
export function versionOf(etag: string | undefined): number | null {
  if (etag === undefined || etag.trim() === '*') return null;
  const version = /^\s*(?:W\/)?"?(\d{1,15})"?\s*$/.exec(etag)?.[1];
  if (version === undefined) throw new HeadroomError('USAGE', `If-Match ${etag}: expected the ETag that was read, such as "3"`);
  return Number(version);
}
