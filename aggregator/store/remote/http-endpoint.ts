/**
 * A series server behind HTTP: its address, who we are to it, requests that read. Input: URL, credentials, a request;
 * output: the answer's text and headers, or an error that says what the server answered and what to do. Writes have their
 * own way (line-writer.ts), since they are retried.
 */
import { errorText, HeadroomError } from '../../../shared/errors.ts';

export interface Credentials {
  /** `basic` needs a user name; `token` is InfluxDB's own scheme; `bearer` is InfluxDB 3's and that of proxies. */
  scheme: 'basic' | 'token' | 'bearer';
  username?: string;
  secret: string;
}

export interface EndpointOptions {
  /** What people know the server as: InfluxDB, VictoriaMetrics. */
  name: string;
  /** Base address; a path in it stays in front of every request's. */
  url: string;
  credentials: Credentials | null;
  timeoutMs: number;
}

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
}

type Form = Readonly<Record<string, string>>;

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;
/** What a server says in an error is quoted up to here. */
const QUOTED_MAX = 300;

export class HttpEndpoint {
  readonly name: string;
  readonly base: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly loopback: boolean;
  readonly #timeoutMs: number;

  /** Throws CONFIG_INVALID on an address that is none. */
  constructor({ name, url, credentials, timeoutMs }: EndpointOptions) {
    this.name = name;
    const address = URL.canParse(url) ? new URL(url) : null;
    if (!address || !/^https?:$/.test(address.protocol) || address.username !== '' || address.search !== '') {
      throw new HeadroomError('CONFIG_INVALID', `store.url is "${url}"; it must be like http://127.0.0.1:8086, without user name or query`);
    }
    this.base = address.href.replace(/\/+$/, '');
    this.loopback = LOOPBACK.test(address.hostname);
    this.headers = credentials ? { authorization: authorization(credentials) } : {};
    this.#timeoutMs = timeoutMs;
  }

  /** Rejects with STORE_UNAVAILABLE when there is no answer in time. Every status is an answer. */
  ask(path: string, form: Form | null = null): Promise<Answer> {
    return this.#fetch(path, form ? { method: 'POST', body: new URLSearchParams(form) } : {});
  }

  /** The same for answers in JSON. Rejects with STORE_UNAVAILABLE or PERMISSION on any other answer. */
  async askJson(path: string, form: Form | null = null): Promise<unknown> {
    const answer = await this.ask(path, form);
    if (answer.status >= 300) throw this.refused(path, answer.status, answer.text);
    try {
      return JSON.parse(answer.text);
    } catch (error) {
      const message = `${this.name} at ${this.base} answered ${path} with something that is not JSON: ${quoted(answer.text)}`;
      throw new HeadroomError('STORE_UNAVAILABLE', `${message}; check store.url`, { cause: error });
    }
  }

  /** Rejects with STORE_UNAVAILABLE or PERMISSION when it is not taken. */
  async sendJson(method: string, path: string, body: unknown): Promise<void> {
    const headers = { 'content-type': 'application/json' };
    const answer = await this.#fetch(path, { method, headers, body: JSON.stringify(body) });
    if (answer.status >= 300) throw this.refused(path, answer.status, answer.text);
  }

  async #fetch(
    path: string,
    init: { method?: string; headers?: Record<string, string>; body?: string | URLSearchParams },
  ): Promise<Answer> {
    try {
      const response = await fetch(this.base + path, {
        ...init,
        headers: { ...this.headers, accept: 'application/json', ...init.headers },
        signal: AbortSignal.timeout(this.#timeoutMs),
      });
      return { status: response.status, headers: response.headers, text: await response.text() };
    } catch (error) {
      throw this.unreachable(error);
    }
  }

  unreachable(error: unknown): HeadroomError {
    const cause = error instanceof Error && error.cause !== undefined ? `: ${errorText(error.cause)}` : '';
    const message = `${this.name} at ${this.base} cannot be reached (${errorText(error)}${cause}); check store.url and that it runs`;
    return new HeadroomError('STORE_UNAVAILABLE', message, { cause: error });
  }

  refused(path: string, status: number, text: string): HeadroomError {
    const said = `${this.name} at ${this.base} answered ${path.replace(/\?.*/, '')} with ${status}: ${quoted(text)}`;
    if (status === 401 || status === 403)
      return new HeadroomError('PERMISSION', `${said}; check store.auth (scheme, username, secretFile)`);
    return new HeadroomError('STORE_UNAVAILABLE', said);
  }
}

export function quoted(text: string): string {
  const line = text.trim().replace(/\s+/g, ' ');
  return line.length > QUOTED_MAX ? `${line.slice(0, QUOTED_MAX)}…` : line || '(nothing)';
}

function authorization({ scheme, username, secret }: Credentials): string {
  if (scheme === 'basic') return `Basic ${Buffer.from(`${username ?? ''}:${secret}`).toString('base64')}`;
  return `${scheme === 'token' ? 'Token' : 'Bearer'} ${secret}`;
}
