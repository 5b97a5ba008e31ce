/**
 * The aggregator's HTTP API as the command line uses it: the typed client that its OpenAPI document makes. Input: its address and
 * `fetch`; output: answers as parsed JSON. Everything that goes wrong is a HeadroomError that says what to do.
 */
import createClient from 'openapi-fetch';
import { AGGREGATOR_AUTHORITY } from '../../shared/aggregator-address.ts';
import { type ErrorCode, errorText, HeadroomError } from '../../shared/errors.ts';
import type { paths } from '../client/api-types.ts';
import type { Answer, ItemOf, Method, PagedPath, PathOf, Problem, RequestOf, Rest } from '../client/words.ts';

type Mistake = NonNullable<Problem['mistakes']>[number];

/** A problem document (RFC 9457) that the aggregator answered. */
export class ProblemError extends HeadroomError {
  readonly mistakes: readonly Mistake[];
  constructor(code: ErrorCode, message: string, mistakes: readonly Mistake[]) {
    super(code, message);
    this.name = 'ProblemError';
    this.mistakes = mistakes;
  }
}

export interface ApiClient {
  readonly url: string;
  get<P extends PathOf<'get'>>(path: P, ...request: Rest<RequestOf<P, 'get'>>): Promise<Answer<P>>;
  /** All pages of a list. */
  all<P extends PagedPath>(path: P): Promise<ItemOf<P>[]>;
  send<M extends 'put' | 'post' | 'delete', P extends PathOf<M>>(method: M, path: P, request: RequestOf<P, M>): Promise<Answer<P, M>>;
  /** An answer that does not end; the signal ends it. */
  stream(path: string, headers: Record<string, string>, signal: AbortSignal): Promise<ReadableStream<Uint8Array>>;
}

export const URL_DEFAULT = `http://${AGGREGATOR_AUTHORITY}`;
/** Proving a long ledger takes seconds; nothing takes longer than this. */
const ANSWER_MS_MAX = 60_000;
const PAGE_ROWS = 1000;
/** A million VMs: a cursor that never ends is a broken server, not a fleet. */
const PAGES_MAX = 1000;

function codeOf(status: number): ErrorCode {
  if (status === 404) return 'NOT_FOUND';
  if (status === 409) return 'CONFLICT';
  if (status === 412) return 'VERSION_CHANGED';
  if (status === 403) return 'PERMISSION';
  if (status === 401) return 'UNAUTHENTICATED';
  if (status === 429) return 'RATE_LIMITED';
  if (status === 422) return 'POLICY_INVALID';
  if (status === 502 || status === 503 || status === 504) return 'UNAVAILABLE';
  return status < 500 ? 'USAGE' : 'INVARIANT_BROKEN';
}

function base(text: string): string {
  const url = URL.parse(text);
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw new HeadroomError('USAGE', `"${text}" is not the address of an aggregator; it looks like ${URL_DEFAULT}`);
  }
  return url.href.replace(/\/+$/, '');
}

function notOurs(url: string, why: string): HeadroomError {
  return new HeadroomError('UNAVAILABLE', `${url} answers, but not as Headroom's API (${why}); check --url or HEADROOM_URL`);
}

async function problemOf(url: string, response: Response): Promise<HeadroomError> {
  const { status } = response;
  if (!response.headers.get('content-type')?.startsWith('application/problem+json')) return notOurs(url, `status ${status}`);
  const { title, detail, mistakes } = (await response.json()) as Partial<Problem> & Pick<Problem, 'title'>;
  return new ProblemError(codeOf(status), detail ?? title, mistakes ?? []);
}

/** Why fetch failed: it hides the reason in `cause`. */
function unreachable(url: string, error: unknown): HeadroomError {
  if ((error as Error).name === 'TimeoutError') {
    return new HeadroomError('TIMEOUT', `${url} gave no answer for ${ANSWER_MS_MAX / 1000} s; see the aggregator's log`);
  }
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const why = (cause as { code?: string }).code ?? errorText(cause);
  return new HeadroomError(
    'UNAVAILABLE',
    `no aggregator answers at ${url} (${why}); start one, or name its address with --url or HEADROOM_URL`,
    { cause: error },
  );
}

interface Asked {
  query?: object;
  header?: object;
  path?: object;
  body?: unknown;
}

/** Bodies that are text are files. */
const typeOf = (body: unknown): Record<string, string> =>
  body === undefined ? {} : { 'content-type': typeof body === 'string' ? 'application/yaml' : 'application/json' };

/** Throws USAGE when the address is none; each call throws UNAVAILABLE, TIMEOUT or what the problem document says. */
export function createApiClient(address: string, fetcher: typeof fetch, stop: AbortSignal): ApiClient {
  const url = base(address);
  const ask = async (path: string, init: RequestInit): Promise<Response> => {
    const response = await fetcher(path, { redirect: 'error', ...init }).catch((error: unknown) => {
      throw unreachable(url, error);
    });
    if (!response.ok) throw await problemOf(url, response);
    return response;
  };
  const client = createClient<paths>({
    baseUrl: url,
    fetch: async ({ url: path, method, headers, body, signal }) =>
      ask(path, {
        method,
        headers: Object.fromEntries(headers),
        ...(body === null ? {} : { body: await new Response(body).text() }),
        signal,
      }),
    bodySerializer: (body) => (typeof body === 'string' ? body : JSON.stringify(body)),
  });
  const json = async (method: Method, path: string, { body, ...params }: Asked = {}): Promise<unknown> => {
    const signal = AbortSignal.any([AbortSignal.timeout(ANSWER_MS_MAX), stop]);
    const init = { params, signal, headers: typeOf(body), ...(body === undefined ? {} : { body }) };
    try {
      // The types of what is asked and answered stand in the interface; here every path is one.
      return (await client.request(method, path as never, init as never)).data;
    } catch (error) {
      throw error instanceof SyntaxError ? notOurs(url, errorText(error)) : error;
    }
  };
  return {
    url,
    get: (path, ...[request]) => json('get', path, request) as never,
    async all<P extends PagedPath>(path: P): Promise<ItemOf<P>[]> {
      const items: ItemOf<P>[] = [];
      let cursor: string | null = null;
      for (let page = 0; page < PAGES_MAX; page++) {
        const query: object = cursor === null ? { limit: PAGE_ROWS } : { limit: PAGE_ROWS, cursor };
        const answer = (await json('get', path, { query })) as { items: ItemOf<P>[]; cursor: string | null };
        items.push(...answer.items);
        cursor = answer.cursor;
        if (cursor === null) return items;
      }
      throw new HeadroomError('INVARIANT_BROKEN', `${url}${path} has no end after ${PAGES_MAX} pages`);
    },
    send: (method, path, request) => json(method, path, request) as never,
    async stream(path, headers, signal) {
      const { body } = await ask(`${url}${path}`, { headers, signal });
      if (body === null) throw notOurs(url, `${path} without a body`);
      return body;
    },
  };
}
