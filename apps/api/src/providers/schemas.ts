import { z } from 'zod';
import { isoTime } from '#kernel/clock.js';
import type { ConnectedProvider } from '#payments/providers/provider-secret.commands.js';
import { listOf, readableIn, timestampIn, timestampOut } from '../schemas.js';

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
    query_token: z
      .string()
      .min(1)
      .max(1_000)
      .regex(/^[\x21-\x7e]+$/, 'must be visible ASCII characters')
      .nullable()
      .optional()
      .meta({
        description:
          'What the provider is asked with about payments that are unknown or unconfirmed (`Authorization: Bearer`); for `stripe` a key that may read PaymentIntents and charges. Write-only. Null: it is not asked any more; absent: as before.',
      }),
    query_url: z
      .string()
      .max(2_048)
      .optional()
      .meta({
        description:
          'Where it is asked: `GET <query_url>/<payment_ref>` answers `{"events": […]}` in the form of POST /v1/provider_events, or 404. Not for `stripe`, which has its own; `adyen` cannot be asked.',
        examples: ['https://api.acme.example/payments'],
      }),
    accounts: z
      .array(readableIn(255))
      .min(1, 'must name at least one; null: any')
      .max(100, 'must name at most 100')
      .nullable()
      .optional()
      .meta({
        description:
          'Merchant accounts with the provider, as its reports name them: rows of any other are not read into this merchant’s reconciliation. `adyen` alone. Null: any; absent: as before.',
        examples: [['NordwindCoffeeECOM']],
      }),
    previous_valid_until: timestampIn.optional().meta({
      description:
        'When the secrets before it end, at the latest; a time that has passed ends them at once. Default: the one before ends PROVIDER_SECRET_OVERLAP_HOURS from now.',
    }),
  })
  .refine(({ query_url, query_token }) => query_url === undefined || query_token, {
    message: 'is needed where there is a query_url',
    path: ['query_token'],
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
    query: z
      .looseObject({ url: z.string().nullable().meta({ description: 'Null: the provider’s own.' }) })
      .nullable()
      .meta({ description: 'Where it is asked about payments. Null: it is not.' }),
    accounts: z.array(z.string()).nullable().meta({ description: 'Those that its reports may be of. Null: any.' }),
  })
  .meta({ id: 'Provider' });

export const providerList = listOf(provider, 'ProviderList');

export const receivedWebhook = z
  .looseObject({
    received: z.literal(true),
    applied: z.boolean().meta({ description: 'False: kept, and applied in a moment.' }),
  })
  .meta({ id: 'ReceivedWebhook' });

export function providerBody(merchantId: bigint, { provider, secrets, query, accounts }: ConnectedProvider) {
  return {
    provider,
    webhook_path: `/v1/providers/${provider}/merchants/${merchantId}/webhook`,
    secrets: secrets.map(({ createdAtMs, expiresAtMs }) => ({
      set_at: isoTime(createdAtMs),
      valid_until: expiresAtMs === null ? null : isoTime(expiresAtMs),
    })),
    query,
    accounts,
  };
}
