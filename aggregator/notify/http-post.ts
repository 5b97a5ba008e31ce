/**
 * One POST to one webhook. Input: URL, headers, body; output: the status, or an error. Every address that the name resolves to
 * is looked at in the very lookup that the connection uses, so that a name cannot answer one thing to the check and another
 * to the connection. Redirects are not followed: they would lead around the check.
 */
import { type LookupAddress, lookup } from 'node:dns';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { type BlockList, isIP, type LookupFunction } from 'node:net';
import { HeadroomError } from '../../shared/errors.ts';
import { targetRefusal } from './target-address.ts';

/** Answers the status. Rejects with PERMISSION for a target that is refused, UNAVAILABLE otherwise. */
export type Post = (url: string, headers: Readonly<Record<string, string>>, body: string) => Promise<number>;

export function createHttpPost(allowed: BlockList, timeoutMs: number, resolve: typeof lookup = lookup): Post {
  return (url, headers, body) =>
    new Promise((done, fail) => {
      const target = new URL(url);
      const host = target.hostname.replace(/^\[|\]$/g, '');
      // A literal address is never looked up.
      const literal = isIP(host) === 0 ? null : targetRefusal(host, allowed);
      if (literal !== null) {
        fail(refused(host, host, literal));
        return;
      }
      const send = target.protocol === 'https:' ? httpsRequest : httpRequest;
      const request = send(
        target,
        {
          method: 'POST',
          headers: { ...headers, 'content-length': String(Buffer.byteLength(body)) },
          lookup: checked(allowed, resolve),
          agent: false,
        },
        (response) => {
          response.resume();
          done(response.statusCode ?? 0);
        },
      );
      request.setTimeout(timeoutMs, () => request.destroy(new Error(`no answer within ${timeoutMs} ms`)));
      request.on('error', (error) => {
        fail(
          error instanceof HeadroomError ? error : new HeadroomError('UNAVAILABLE', `${target.host}: ${error.message}`, { cause: error }),
        );
      });
      request.end(body);
    });
}

function checked(allowed: BlockList, resolve: typeof lookup): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
      if (error) {
        callback(error, []);
        return;
      }
      for (const { address } of addresses) {
        const why = targetRefusal(address, allowed);
        // One bad address spoils the name: which of them is taken is not ours to say.
        if (why !== null) {
          callback(refused(hostname, address, why), []);
          return;
        }
      }
      const [first] = addresses;
      if (options.all) callback(null, addresses);
      else callback(first ? null : new Error(`${hostname} has no address`), first?.address ?? '', first?.family);
    });
  };
}

function refused(host: string, address: string, why: string): HeadroomError {
  return new HeadroomError('PERMISSION', `webhooks to ${host} (${address}: ${why}) are refused; name it in webhookTargets if it is meant`);
}
