/**
 * POSTs that are sent again. Input: requests with an `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header); output: the first
 * answer once more, with nothing done a second time. A key belongs to who sent it and to what was asked: the same key for something else
 * is refused, and so is a second one while the first is under way. Answers are kept for a day.
 */
import { createHash } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import Type from 'typebox';
import { HeadroomError } from '../../shared/errors.ts';
import type { GivenAnswer, KeptAnswers } from './kept-answers.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Its answer holds a secret that is shown once: it is not kept, and a second request is told that it was done. */
    secret?: true;
  }
}

const KEY_HEADER = 'idempotency-key';
/** In an answer that is given once more. */
const REPLAYED_HEADER = 'idempotent-replayed';

const HEADERS_KEPT = ['content-type', 'etag', 'location'] as const;

const KeyHeaders = Type.Object({
  [KEY_HEADER]: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 128,
      pattern: '^[\\x21-\\x7e]+$',
      description: 'a name for this one request, such as a UUID: sent again with it, it is answered as the first time and done once',
    }),
  ),
});

const kept = Symbol('kept');
type Marked = FastifyRequest & { [kept]?: { key: string; fingerprint: string } };

/** Who asks: where nobody is asked who they are, the machine. */
const askerOf = (request: FastifyRequest): string => JSON.stringify((request as Partial<FastifyRequest>).principal ?? request.ip);

/** Routes that are added after it have it. */
export function addIdempotency(app: FastifyInstance, answers: KeptAnswers): void {
  app.addHook('onRoute', (route) => {
    if (route.method === 'POST' && route.schema?.hide !== true) route.schema = { ...route.schema, headers: KeyHeaders };
  });
  app.addHook('preHandler', async (request: Marked, reply) => {
    const given = request.headers[KEY_HEADER];
    if (request.method !== 'POST' || typeof given !== 'string') return;
    const key = JSON.stringify([askerOf(request), given]);
    const fingerprint = fingerprintOf(request);
    const before = await answers.begin(key, fingerprint);
    if (before === null) {
      request[kept] = { key, fingerprint };
      return;
    }
    if (before.fingerprint !== fingerprint)
      throw new HeadroomError('USAGE', `the ${KEY_HEADER} "${given}" was used for another request; take a new one for each`);
    if (before.answer === null)
      throw new HeadroomError('CONFLICT', `the request with the ${KEY_HEADER} "${given}" is still under way; ask again in a moment`);
    return again(reply, before.answer, given);
  });
  app.addHook('onSend', async (request: Marked, reply, payload) => {
    const mark = request[kept];
    if (mark === undefined) return payload;
    const end = (answer: GivenAnswer | null): Promise<void> => answers.end(mark.key, mark.fingerprint, answer);
    // What failed on our side, or was refused for now, may well go the next time.
    if (reply.statusCode >= 500 || reply.statusCode === 429 || typeof payload !== 'string') {
      await end(null).catch(() => undefined);
      return payload;
    }
    const secret = request.routeOptions.config.secret === true && reply.statusCode < 400;
    const headers = Object.fromEntries(
      HEADERS_KEPT.flatMap((name) => (reply.hasHeader(name) ? [[name, String(reply.getHeader(name))]] : [])),
    );
    // It is done: where its answer cannot be kept, whoever asks again hears that it is under way until that is forgotten.
    await end({ status: reply.statusCode, headers, body: secret ? null : payload }).catch(() => undefined);
    return payload;
  });
}

function again(reply: FastifyReply, { status, headers, body }: GivenAnswer, given: string): FastifyReply {
  if (body === null)
    throw new HeadroomError(
      'CONFLICT',
      `what was asked for with the ${KEY_HEADER} "${given}" was made; its answer was given then, and only then: it held a secret, or was larger than is kept`,
    );
  return reply
    .code(status)
    .headers({ ...headers, [REPLAYED_HEADER]: 'true' })
    .serializer(String)
    .send(body);
}

function fingerprintOf({ url, body }: FastifyRequest): string {
  return createHash('sha256')
    .update(JSON.stringify([url, body ?? null]))
    .digest('base64');
}
