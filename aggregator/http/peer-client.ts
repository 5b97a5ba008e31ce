/**
 * A request passed on to another aggregator. Input: its origin, the request as it came; output: status, the headers that tell what the
 * answer is, and its bytes. Rejects with UNAVAILABLE when it does not answer in time. Who asks shows the other one what he showed us.
 */
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { buffer } from 'node:stream/consumers';
import { errorText, HeadroomError } from '../../shared/errors.ts';

export interface Passed {
  method: string;
  /** With its query. */
  path: string;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  body: string | null;
}

export interface PeerAnswer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

export type AskPeer = (origin: string, passed: Passed) => Promise<PeerAnswer>;

/** In a request that was passed on once: it goes no further. */
export const PASSED_HEADER = 'x-headroom-passed';
const ANSWER_MS_MAX = 3000;
const ASKED_WITH = ['authorization', 'cookie', 'origin', 'accept', 'content-type', 'if-match', 'if-none-match', 'idempotency-key'];
const ANSWERED_WITH = ['content-type', 'etag', 'retry-after', 'www-authenticate', 'x-request-id', 'idempotent-replayed'];

/** `ca`: of those that have a certificate by an authority of one's own, PEM. */
export function peerClient(ca?: string): AskPeer {
  return (origin, { method, path, headers, body }) =>
    new Promise((resolve, reject) => {
      const failed = (error: unknown): void =>
        reject(new HeadroomError('UNAVAILABLE', `the aggregator at ${origin} does not answer: ${errorText(error)}`, { cause: error }));
      const url = new URL(path, origin);
      const sent = { ...picked(headers, ASKED_WITH), [PASSED_HEADER]: '1' };
      const options = { method, headers: sent, signal: AbortSignal.timeout(ANSWER_MS_MAX), ...(ca === undefined ? {} : { ca }) };
      const asked = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, options, (answer) => {
        buffer(answer).then(
          (bytes) => resolve({ status: answer.statusCode ?? 502, headers: picked(answer.headers, ANSWERED_WITH), body: bytes }),
          failed,
        );
      });
      asked.once('error', failed);
      asked.end(body ?? undefined);
    });
}

function picked(headers: Passed['headers'], names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.flatMap((name) => (typeof headers[name] === 'string' ? [[name, headers[name]]] : [])));
}

/** Where an aggregator answers people and programs: at the address at which it takes agents. */
export function originOf(agentsUrl: string): string {
  return new URL(agentsUrl.replace(/^ws/, 'http')).origin;
}
