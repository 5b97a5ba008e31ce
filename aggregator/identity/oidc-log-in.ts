/**
 * The console's way in by the identity provider: OpenID Connect's authorisation code flow with PKCE (RFC 7636), state and nonce, by
 * `openid-client`. Input: a browser that wants in, then the provider's answer in its address; output: where to send the browser and
 * what it keeps meanwhile, then the provider's ID token. What a browser keeps is sealed with a key of this process: nothing is
 * remembered here, so nobody can fill it up, and a restart costs those who are on their way one more click.
 */
import { readFileSync } from 'node:fs';
import { EncryptJWT, jwtDecrypt } from 'jose';
import {
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  type ClientAuth,
  ClientSecretBasic,
  type Configuration,
  calculatePKCECodeChallenge,
  discovery,
  None,
  randomNonce,
  randomPKCECodeVerifier,
  randomState,
} from 'openid-client';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import { isLoopbackName } from '../../shared/net/local-address.ts';
import type { OidcConfig } from '../access-config.ts';

/** A person finds a password and a second factor within that. */
export const UNDER_WAY_SECONDS = 600;
const KEY_BYTES = 32;
/** Who the person is; the groups that roles come from are the provider's to put in. */
const SCOPE = 'openid email';
/** A provider that does not answer by then is away. */
const TIMEOUT_SECONDS = 10;
export const CALLBACK_PATH = '/v1/session/provider/answer';

interface UnderWay {
  state: string;
  nonce: string;
  verifier: string;
}

export class OidcLogIn {
  readonly #config: OidcConfig;
  readonly #logIn: NonNullable<OidcConfig['logIn']>;
  readonly #key = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
  readonly #clientAuth: ClientAuth;
  #provider: Promise<Configuration> | null = null;

  /** Throws CONFIG_INVALID when the file of the client's secret cannot be read. */
  constructor(config: OidcConfig, logIn: NonNullable<OidcConfig['logIn']>) {
    this.#config = config;
    this.#logIn = logIn;
    this.#clientAuth = logIn.clientSecretFile === undefined ? None() : ClientSecretBasic(readSecret(logIn.clientSecretFile));
  }

  /** The provider's page, and what the browser is to keep until it is back. Rejects with UNAVAILABLE when the provider is away. */
  async begin(): Promise<{ url: string; kept: string }> {
    const provider = await this.#discovered();
    const underWay: UnderWay = { state: randomState(), nonce: randomNonce(), verifier: randomPKCECodeVerifier() };
    const url = buildAuthorizationUrl(provider, {
      redirect_uri: this.#callbackUrl(),
      scope: this.#logIn.scope ?? SCOPE,
      code_challenge: await calculatePKCECodeChallenge(underWay.verifier),
      code_challenge_method: 'S256',
      state: underWay.state,
      nonce: underWay.nonce,
    });
    const sealed = new EncryptJWT({ ...underWay }).setProtectedHeader({ alg: 'dir', enc: 'A256GCM' });
    const kept = await sealed.setExpirationTime(`${UNDER_WAY_SECONDS}s`).encrypt(this.#key);
    return { url: url.href, kept };
  }

  /**
   * @param query of the address the provider sent the browser to
   * @param kept what the browser kept; null = nothing, so it did not begin here
   * Rejects with UNAUTHENTICATED when the answer is not to what this browser asked, was changed, or is refused by the provider.
   */
  async end(query: string, kept: string | null): Promise<string> {
    const { state, nonce, verifier } = await this.#unseal(kept);
    const provider = await this.#discovered();
    const checks = { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier, idTokenExpected: true };
    try {
      const tokens = await authorizationCodeGrant(provider, new URL(`${this.#callbackUrl()}?${query}`), checks);
      return tokens.id_token!;
    } catch (error) {
      const problem = `the answer of the identity provider does not hold: ${errorText(error)}; log in again`;
      throw new HeadroomError('UNAUTHENTICATED', problem, { cause: error });
    }
  }

  #callbackUrl(): string {
    return new URL(CALLBACK_PATH, this.#logIn.consoleUrl).href;
  }

  async #unseal(kept: string | null): Promise<UnderWay> {
    const refused = (why: string): HeadroomError => new HeadroomError('UNAUTHENTICATED', `${why}: begin at the console's log-in`);
    if (kept === null) throw refused('this browser was not sent to the identity provider from here, or too long ago');
    try {
      const { payload } = await jwtDecrypt(kept, this.#key, { keyManagementAlgorithms: ['dir'], contentEncryptionAlgorithms: ['A256GCM'] });
      return payload as unknown as UnderWay;
    } catch {
      throw refused('what this browser kept is not from here, or too old');
    }
  }

  /** Asked for once; a failure is asked again by the next who wants in. */
  #discovered(): Promise<Configuration> {
    this.#provider ??= this.#discover().catch((error: unknown) => {
      this.#provider = null;
      throw new HeadroomError('UNAVAILABLE', `${this.#config.issuer} cannot be asked how to log in: ${errorText(error)}`, { cause: error });
    });
    return this.#provider;
  }

  #discover(): Promise<Configuration> {
    const issuer = new URL(this.#config.issuer);
    // A provider on this very machine may do without TLS, as we do.
    const execute = isLoopbackName(issuer.hostname) ? [allowInsecureRequests] : [];
    return discovery(issuer, this.#config.audience, undefined, this.#clientAuth, { execute, timeout: TIMEOUT_SECONDS });
  }
}

function readSecret(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new HeadroomError('CONFIG_INVALID', `access.oidc.logIn.clientSecretFile ${file} cannot be read: ${errorText(error)}`, {
      cause: error,
    });
  }
}
