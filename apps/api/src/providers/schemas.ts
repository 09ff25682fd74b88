import { z } from 'zod';
import { isoTime } from '#kernel/clock.js';
import type { ConnectedProvider } from '#payments/providers/provider-secret.commands.js';
import { listOf, timestampIn, timestampOut } from '../schemas.js';

export const setProviderSecret = z
  .strictObject({
    webhook_secret: z
      .string('must be the secret as the provider shows it')
      .max(1_000)
      .meta({
        description:
          'What the provider signs its webhooks with, as it shows it: `whsec_…` (Stripe, Standard Webhooks), or 64 hexadecimal digits (Adyen). Write-only.',
        examples: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
      }),
    previous_valid_until: timestampIn.optional().meta({
      description:
        'When the secrets before it end, at the latest; a time that has passed ends them at once. Default: the one before ends PROVIDER_SECRET_OVERLAP_HOURS from now.',
    }),
  })
  .meta({ id: 'SetProviderSecret' });

export const provider = z
  .looseObject({
    provider: z.string(),
    webhook_path: z.string().meta({ description: 'Where it is to send its webhooks.' }),
    secrets: z
      .array(
        z.looseObject({
          set_at: timestampOut,
          valid_until: timestampOut.nullable().meta({ description: 'Null: the current one.' }),
        }),
      )
      .meta({ description: 'Those that are valid, the current one first; never what they are.' }),
  })
  .meta({ id: 'Provider' });

export const providerList = listOf(provider, 'ProviderList');

export const receivedWebhook = z
  .looseObject({
    received: z.literal(true),
    applied: z.boolean().meta({ description: 'False: kept, and applied in a moment.' }),
  })
  .meta({ id: 'ReceivedWebhook' });

export function providerBody(merchantId: bigint, { provider, secrets }: ConnectedProvider) {
  return {
    provider,
    webhook_path: `/v1/providers/${provider}/merchants/${merchantId}/webhook`,
    secrets: secrets.map(({ createdAtMs, expiresAtMs }) => ({
      set_at: isoTime(createdAtMs),
      valid_until: expiresAtMs === null ? null : isoTime(expiresAtMs),
    })),
  };
}
