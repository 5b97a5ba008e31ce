/**
 * A server that holds history, read over HTTP. Input: its address, credentials in it or in HEADROOM_HISTORY_AUTHORIZATION
 * (the whole Authorization header: "Bearer …", "Token …", "PVEAPIToken=…"), paths and parameters; output: parsed JSON. Errors say
 * what the server answered and what to do; credentials never appear in them. Reads only.
 */
import { errorText, HeadroomError } from '../../../../shared/errors.ts';
import type { CliIo } from '../../command.ts';
import { printable } from '../../output.ts';

/** A month of one VM takes a busy server seconds; a minute means something else is wrong. */
const TIMEOUT_MS = 60_000;
const QUOTED_MAX = 200;
const VARIABLE = 'HEADROOM_HISTORY_AUTHORIZATION';

export type Parameters = Readonly<Record<string, string>>;

export class HistoryServer {
  /** Without credentials: for messages. */
  readonly place: string;
  readonly #name: string;
  readonly #fetch: typeof fetch;
  readonly #headers: Readonly<Record<string, string>>;

  /** `name` as people know the kind of server. Throws USAGE on an address that is none. */
  constructor(name: string, url: string, { env, fetch }: Pick<CliIo, 'env' | 'fetch'>) {
    const address = URL.canParse(url) ? new URL(url) : null;
    if (!address || !/^https?:$/.test(address.protocol) || address.search !== '')
      throw new HeadroomError('USAGE', `backtest: "${printable(url)}" is no address of ${name}; it looks like http://127.0.0.1:9090`);
    const { username, password } = address;
    address.username = '';
    address.password = '';
    this.#name = name;
    this.#fetch = fetch;
    this.place = address.href.replace(/\/+$/, '');
    this.#headers = { accept: 'application/json', ...authorization(username, password, env[VARIABLE]) };
  }

  /** Rejects with UNAVAILABLE, PERMISSION or NOT_FOUND. */
  get(path: string, parameters: Parameters = {}): Promise<unknown> {
    const query = new URLSearchParams(parameters).toString();
    return this.#ask(path, `${this.place}${path}${query === '' ? '' : `?${query}`}`, {});
  }

  /** The same with parameters as a form, which may be long. */
  post(path: string, parameters: Parameters): Promise<unknown> {
    return this.#ask(path, this.place + path, { method: 'POST', body: new URLSearchParams(parameters) });
  }

  async #ask(path: string, url: string, init: { method?: string; body?: URLSearchParams }): Promise<unknown> {
    const { status, text } = await this.#answer(url, init);
    const said = `${this.#name} at ${this.place} answered ${path} with ${status}: ${quoted(text)}`;
    if (status === 401 || status === 403) throw new HeadroomError('PERMISSION', `backtest: ${said}; set ${VARIABLE} to who may read`);
    if (status === 404) throw new HeadroomError('NOT_FOUND', `backtest: ${said}; check the address`);
    if (status >= 300) throw new HeadroomError('UNAVAILABLE', `backtest: ${said}`);
    try {
      return JSON.parse(text);
    } catch (error) {
      throw this.unreadable(path, error);
    }
  }

  async #answer(url: string, init: { method?: string; body?: URLSearchParams }): Promise<{ status: number; text: string }> {
    try {
      const response = await this.#fetch(url, { ...init, headers: this.#headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
      return { status: response.status, text: await response.text() };
    } catch (error) {
      const cause = error instanceof Error && error.cause !== undefined ? `: ${errorText(error.cause)}` : '';
      const message = `backtest: ${this.#name} at ${this.place} cannot be reached (${errorText(error)}${cause})`;
      throw new HeadroomError('UNAVAILABLE', `${message}; for a certificate of your own set NODE_EXTRA_CA_CERTS`, { cause: error });
    }
  }

  /** The answer is not what such a server says. */
  unreadable(path: string, cause: unknown): HeadroomError {
    const message = `backtest: ${this.place} answered ${path} with something that is no answer of ${this.#name}`;
    return new HeadroomError('UNAVAILABLE', `${message} (${errorText(cause)}); check the address`, { cause });
  }
}

function authorization(username: string, password: string, whole: string | undefined): { authorization?: string } {
  if (username !== '') {
    const both = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    return { authorization: `Basic ${Buffer.from(both).toString('base64')}` };
  }
  return whole === undefined || whole === '' ? {} : { authorization: whole };
}

function quoted(text: string): string {
  const line = printable(text.trim().replace(/\s+/g, ' '));
  return line.length > QUOTED_MAX ? `${line.slice(0, QUOTED_MAX)}…` : line || '(nothing)';
}
