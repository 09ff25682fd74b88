import { integer } from '#platform/config-fields.js';

const MIB = 1_048_576;

/** What payment providers' webhooks are taken with. */
export const PROVIDER_FIELDS = {
  PROVIDERS_PER_MERCHANT: integer({ default: 50, min: 1, max: 1_000 }).describe(
    'Payment providers that a merchant may have a secret of.',
  ),
  PROVIDER_SECRET_OVERLAP_HOURS: integer({ default: 24, min: 0, max: 720 }).describe(
    'How long a provider’s secret stays valid after another one was set, unless `previous_valid_until` says otherwise.',
  ),
  PROVIDER_TOLERANCE_S: integer({ default: 300, min: 10, max: 86_400 }).describe(
    'How far the time that a provider signs may be from ours, either way; beyond that its webhook is a replay.',
  ),
  PROVIDER_WEBHOOK_BYTES: integer({ default: MIB / 4, min: 1_024, max: 16 * MIB }).describe(
    'Largest body of a provider’s webhook. Whoever sends it is a stranger until all of it has been read.',
  ),
  PROVIDER_APPLY_MS: integer({ default: 3_000, min: 10, max: 60_000 }).describe(
    'How long the answer to a provider’s webhook waits for what it tells to be applied; it is kept before, and the worker applies the rest.',
  ),
  PROVIDER_INBOX_RETRY_MS: integer({ default: 15_000, min: 100, max: 3_600_000 }).describe(
    'How long after it was received the worker applies what no API process has applied. More than PROVIDER_APPLY_MS.',
  ),
  PROVIDER_INBOX_POLL_MS: integer({ default: 1_000, min: 50, max: 600_000 }).describe(
    'How long the worker waits at most before it asks what of providers’ webhooks is to be applied. It asks sooner where it knows of something.',
  ),
  PROVIDER_INBOX_DAYS: integer({ default: 30, min: 1, max: 3_650 }).describe(
    'How long bodies of providers’ webhooks are kept after they were received, if they have been applied.',
  ),
};
