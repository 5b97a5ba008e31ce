/**
 * People by their organisation's identity provider (OpenID Connect): a signed token (JWT) in, who that is out. The issuer's keys
 * come from its address or from a file; issuer, audience, expiry and algorithm are checked by `jose`.
 */
import { readFileSync } from 'node:fs';
import { createLocalJWKSet, createRemoteJWKSet, type JWTPayload, type JWTVerifyGetKey, errors as joseErrors, jwtVerify } from 'jose';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { OidcConfig } from '../access-config.ts';
import { type Principal, ROLES } from './roles.ts';

/** Only what needs the issuer's private key: no shared secrets, and not "none". */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'];
const CLOCK_TOLERANCE_SECONDS = 30;
const JWT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

export interface Oidc {
  /** Null: no token of theirs, or it does not hold. Rejects with UNAVAILABLE when the issuer's keys cannot be had. */
  principalOf(token: string): Promise<{ principal: Principal; expiresAtMs: number } | null>;
}

/** Throws CONFIG_INVALID when the file of keys is none. */
export function openOidc(config: OidcConfig): Oidc {
  const keys = keysOf(config);
  return {
    async principalOf(token) {
      if (!JWT.test(token)) return null;
      const { issuer, audience } = config;
      try {
        const { payload } = await jwtVerify(token, keys, {
          ...{ issuer, audience, algorithms: ALGORITHMS, clockTolerance: CLOCK_TOLERANCE_SECONDS },
          requiredClaims: ['exp', 'sub'],
        });
        const principal = principalOf(payload, config);
        return principal === null ? null : { principal, expiresAtMs: payload.exp! * 1000 };
      } catch (error) {
        if (error instanceof joseErrors.JOSEError && !(error instanceof joseErrors.JWKSTimeout)) return null;
        throw new HeadroomError('UNAVAILABLE', `the keys of ${issuer} cannot be had: ${errorText(error)}`, { cause: error });
      }
    },
  };
}

function keysOf({ keysUrl, keysFile }: OidcConfig): JWTVerifyGetKey {
  if (keysUrl !== undefined) return createRemoteJWKSet(new URL(keysUrl));
  try {
    return createLocalJWKSet(JSON.parse(readFileSync(keysFile!, 'utf8')));
  } catch (error) {
    throw new HeadroomError('CONFIG_INVALID', `access.oidc.keysFile ${keysFile} holds no JSON Web Key Set: ${errorText(error)}`, {
      cause: error,
    });
  }
}

/** Null: the token is good, but nothing in it is worth a role here. */
function principalOf(payload: JWTPayload, config: OidcConfig): Principal | null {
  const values = texts(payload[config.rolesClaim ?? 'roles']);
  const roles = values.flatMap((value) => (Object.hasOwn(config.roles, value) ? [config.roles[value]!] : []));
  const role = ROLES.findLast((each) => roles.includes(each));
  if (role === undefined) return null;
  const fleetWide = config.tenantClaim === undefined || values.some((value) => config.fleetWide?.includes(value));
  const claimed = config.tenantClaim === undefined ? undefined : payload[config.tenantClaim];
  // Whoever should have a tenant and has none must not see everybody's.
  if (!fleetWide && (typeof claimed !== 'string' || claimed === '')) return null;
  const name = typeof payload.email === 'string' ? payload.email : payload.sub!;
  return { name: `oidc ${name.slice(0, 200)}`, role, tenant: fleetWide ? null : (claimed as string), labels: {} };
}

function texts(claim: unknown): string[] {
  if (typeof claim === 'string') return claim.split(' ');
  return Array.isArray(claim) ? claim.filter((value) => typeof value === 'string') : [];
}
