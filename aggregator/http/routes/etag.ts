/** Versions as entity tags: what is in force, and what a writer looked at. */
import { createHash } from 'node:crypto';
import Type from 'typebox';
import { HeadroomError } from '../../../shared/errors.ts';

export const etagOf = (version: number): string => `"${version}"`;

/** Null: any version will do. */
export function versionOf(etag: string | undefined): number | null {
  if (etag === undefined || etag.trim() === '*') return null;
  const version = /^\s*(?:W\/)?"?(\d{1,15})"?\s*$/.exec(etag)?.[1];
  if (version === undefined) throw new HeadroomError('USAGE', `If-Match ${etag}: expected the ETag that was read, such as "3"`);
  return Number(version);
}

/** Of what has no versions: the same for the same content. JSON-serialisable, keys in a fixed order. */
export const contentTag = (content: unknown): string =>
  `"${createHash('sha256').update(JSON.stringify(content)).digest('base64url').slice(0, 22)}"`;

export const IfMatch = Type.Object({
  'if-match': Type.Optional(
    Type.String({ maxLength: 256, description: 'the ETag of what was looked at; 412 when it is another by now, `*`: whatever it is' }),
  ),
});

/** Throws VERSION_CHANGED when a writer looked at something else than `current`. */
export function mustMatch(ifMatch: string | undefined, current: string, what: string): void {
  if (ifMatch === undefined || ifMatch.trim() === '*') return;
  if (!ifMatch.split(',').some((tag) => tag.trim() === current))
    throw new HeadroomError('VERSION_CHANGED', `${what} is ${current} by now, not ${ifMatch}; look at it again`);
}
