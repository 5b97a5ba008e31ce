/**
 * A connection to etcd, 3.4 and later: all calls go to one member for as long as it answers, have a deadline, are made again at the
 * next member when it does not, and fail with UNAVAILABLE. Input: addresses, credentials; output: a client of npm's `etcd3` for
 * each member, and its errors as ours. No stream is kept open: one to a member that was stopped would hang without a word.
 */
import { randomInt } from 'node:crypto';
import { noop } from 'cockatiel';
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
/** Tries in all, each at another member. A leader's election takes longer than all of them: then the next turn asks again. */
const TRIES = 3;
/** gRPC's codes of a call that another member may answer: cancelled, deadline, exhausted, aborted, internal, unavailable. */
const AWAY_CODES: ReadonlySet<unknown> = new Set([1, 4, 8, 10, 13, 14]);

export interface EtcdConnection {
  /** Runs one call, at most three times, each at another member; rejects with UNAVAILABLE, or LEASE_EXPIRED where it named a lease that has ended. */
  call<T>(what: string, run: (client: Etcd3) => Promise<T>): Promise<T>;
  close(): void;
}

export function connectEtcd(options: EtcdOptions): EtcdConnection {
  const clients = options.endpoints.map((endpoint) => clientOf(endpoint, options));
  // Not all at the same one; and whoever does not answer costs its deadline once, not with every third call.
  let at = randomInt(clients.length);
  return {
    async call(what, run) {
      for (let tries = 1; ; tries++) {
        const used = at;
        try {
          return await run(clients[used]!);
        } catch (error) {
          if (!isAway(error) || tries >= TRIES) throw errorOf(what, error);
          // Others may have gone on already.
          if (at === used) at = (used + 1) % clients.length;
        }
      }
    },
    close: () => {
      for (const client of clients) client.close();
    },
  };
}

function clientOf(endpoint: string, { tls, auth }: EtcdOptions): Etcd3 {
  return new Etcd3({
    hosts: [endpoint],
    defaultCallOptions: () => ({ deadline: Date.now() + CALL_MS_MAX }),
    // A member that comes back is used at once, not after the library's two minutes.
    grpcOptions: { 'grpc.initial_reconnect_backoff_ms': 100, 'grpc.max_reconnect_backoff_ms': 1000 },
    ...(tls ? { credentials: credentialsOf(tls) } : {}),
    ...(auth ? { auth } : {}),
    // The client's own breaker leaves a member alone for five seconds: longer than a lease, while a leader is elected.
    faultHandling: { host: () => noop, global: noop },
  });
}

function isAway(error: unknown): boolean {
  if (error instanceof EtcdLeaseInvalidError || error instanceof HeadroomError) return false;
  return isRecoverableError(error as Error) || AWAY_CODES.has((error as { code?: unknown }).code);
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
