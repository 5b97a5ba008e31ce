/**
 * A connection to etcd, 3.4 and later: all calls have a deadline, are made again at the next member when one does not
 * answer, and fail with UNAVAILABLE. Input: addresses, credentials; output: the client of npm's `etcd3`, and its errors as
 * ours. No stream is kept open: one to a member that was stopped would hang without a word.
 */
import { ConstantBackoff, handleWhen, noop, retry } from 'cockatiel';
import { Etcd3, EtcdLeaseInvalidError, isRecoverableError } from 'etcd3';
import { errorText, HeadroomError } from '../../shared/errors.ts';

export interface EtcdOptions {
  /** `http://HOST:PORT` or `https://HOST:PORT` of each member. */
  endpoints: readonly string[];
  /** PEM; for members with TLS. */
  tls?: { ca: string; cert?: string; key?: string };
  auth?: { username: string; password: string };
}

/** A member answers within milliseconds; one that waits for a new leader would take seconds. */
const CALL_MS_MAX = 700;
/** Further members to ask. A leader's election takes longer than all of them: then the next turn asks again. */
const RETRIES = 2;
const RETRY_MS = 50;

export interface EtcdConnection {
  readonly client: Etcd3;
  /** Runs one call; rejects with UNAVAILABLE, or LEASE_EXPIRED where it named a lease that has ended. */
  call<T>(what: string, run: (client: Etcd3) => Promise<T>): Promise<T>;
  close(): void;
}

export function connectEtcd({ endpoints, tls, auth }: EtcdOptions): EtcdConnection {
  const client = new Etcd3({
    hosts: [...endpoints],
    defaultCallOptions: () => ({ deadline: Date.now() + CALL_MS_MAX }),
    // A member that comes back is used at once, not after the library's two minutes.
    grpcOptions: { 'grpc.initial_reconnect_backoff_ms': 100, 'grpc.max_reconnect_backoff_ms': 1000 },
    ...(tls ? { credentials: credentialsOf(tls) } : {}),
    ...(auth ? { auth } : {}),
    faultHandling: {
      // The client's own breaker leaves a member alone for five seconds: longer than a lease, while a leader is elected.
      host: () => noop,
      global: retry(handleWhen(isRecoverableError), { maxAttempts: RETRIES, backoff: new ConstantBackoff(RETRY_MS) }),
    },
  });
  return {
    client,
    async call(what, run) {
      try {
        return await run(client);
      } catch (error) {
        throw errorOf(what, error);
      }
    },
    close: () => client.close(),
  };
}

function credentialsOf({ ca, cert, key }: NonNullable<EtcdOptions['tls']>): {
  rootCertificate: Buffer;
  certChain?: Buffer;
  privateKey?: Buffer;
} {
  return {
    rootCertificate: Buffer.from(ca),
    ...(cert === undefined ? {} : { certChain: Buffer.from(cert) }),
    ...(key === undefined ? {} : { privateKey: Buffer.from(key) }),
  };
}

function errorOf(what: string, error: unknown): HeadroomError {
  if (error instanceof HeadroomError) return error;
  if (error instanceof EtcdLeaseInvalidError)
    return new HeadroomError('LEASE_EXPIRED', `etcd: ${what}: the lease has ended`, { cause: error });
  return new HeadroomError('UNAVAILABLE', `etcd: ${what}: ${errorText(error)}`, { cause: error });
}
