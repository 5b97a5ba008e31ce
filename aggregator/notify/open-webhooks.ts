/** Webhooks as the configuration names them. Input: configuration, clock; output: a notifier, null where there is none. */
import { readFileSync } from 'node:fs';
import type { Clock } from '../../shared/clock.ts';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { Prng } from '../../shared/prng.ts';
import type { WebhooksConfig } from '../webhook-config.ts';
import { createHttpPost } from './http-post.ts';
import { allowedTargets } from './target-address.ts';
import { Webhooks } from './webhooks.ts';

/** Receivers answer first and work later; who takes longer hangs. */
const ANSWER_MS_MAX = 10_000;
/** Half of what the digest is long: shorter ones are guessed. */
const SECRET_LENGTH_MIN = 16;

/** Throws CONFIG_INVALID when a secret cannot be read or is short. */
export function openWebhooks(
  { webhooks, targets }: WebhooksConfig,
  clock: Clock,
  prng: Prng,
  onProblem: (message: string) => void,
): Webhooks | null {
  if (webhooks.length === 0) return null;
  return new Webhooks({
    targets: webhooks.map(({ url, secretFile, match = {}, kinds = null, format = 'headroom' }) => ({
      ...{ url, secret: readSecret(secretFile), match, kinds, format },
    })),
    post: createHttpPost(allowedTargets(targets), ANSWER_MS_MAX),
    clock,
    prng,
    onProblem,
  });
}

function readSecret(file: string): string {
  let secret: string;
  try {
    secret = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new HeadroomError('CONFIG_INVALID', `the webhook's secret ${file} cannot be read: ${errorText(error)}`, { cause: error });
  }
  if (secret.length >= SECRET_LENGTH_MIN) return secret;
  throw new HeadroomError(
    'CONFIG_INVALID',
    `the webhook's secret in ${file} has ${secret.length} characters; ${SECRET_LENGTH_MIN} are the least`,
  );
}
