/**
 * The part of the configuration that says which webhooks are told of what happens to VMs. Input: what stands under `webhooks`
 * and `webhookTargets`; output: checked values, or CONFIG_INVALID naming the key. Secrets stand in files of their own.
 */
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { HeadroomError } from '../shared/errors.ts';
import { NOTIFICATION_KINDS } from './notify/notifier.ts';
import { allowedTargets } from './notify/target-address.ts';
import { checkWebhookUrl, WEBHOOK_FORMATS } from './notify/webhooks.ts';

const closed = { additionalProperties: false } as const;
const text = Type.String({ minLength: 1, maxLength: 4096 });
const glob = Type.String({ minLength: 1, maxLength: 256 });

const WebhooksFile = Type.Array(
  Type.Object(
    {
      url: text,
      /** A file with the secret alone, of at least 16 characters: what signatures are made with. */
      secretFile: text,
      match: Type.Optional(
        Type.Partial(
          Type.Object(
            { name: glob, host: glob, template: glob, class: glob, labels: Type.Record(Type.String({ maxLength: 64 }), glob) },
            closed,
          ),
          closed,
        ),
      ),
      kinds: Type.Optional(Type.Array(Type.Enum(NOTIFICATION_KINDS), { minItems: 1 })),
      format: Type.Optional(Type.Enum(WEBHOOK_FORMATS)),
    },
    closed,
  ),
  { maxItems: 100 },
);
const TargetsFile = Type.Array(text, { maxItems: 100 });
const CHECK = { webhooks: Compile(WebhooksFile), webhookTargets: Compile(TargetsFile) };

export interface WebhooksConfig {
  webhooks: Static<typeof WebhooksFile>;
  /** Addresses and networks that webhooks may reach beside the usual ones. */
  targets: readonly string[];
}

/** Both as read from the file; undefined: none. Throws CONFIG_INVALID. */
export function resolveWebhooks(webhooks: unknown = [], webhookTargets: unknown = []): WebhooksConfig {
  for (const [name, value] of Object.entries({ webhooks, webhookTargets }) as [keyof typeof CHECK, unknown][]) {
    if (CHECK[name].Check(value)) continue;
    const error = CHECK[name].Errors(value).find(({ keyword }) => keyword !== 'boolean');
    throw new HeadroomError(
      'CONFIG_INVALID',
      `the configuration at /${name}${error?.instancePath ?? ''} ${error?.message ?? 'does not fit'}`,
    );
  }
  const given = { webhooks: webhooks as WebhooksConfig['webhooks'], targets: webhookTargets as string[] };
  for (const { url } of given.webhooks) checkWebhookUrl(url);
  allowedTargets(given.targets);
  return given;
}
