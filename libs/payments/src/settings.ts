import { EFFECTIVE_AT_MAX_AHEAD_MS } from '#ledger/posting/command.js';
import { LEDGER_SETTINGS, type LedgerSettings } from '#ledger/settings.js';
import { integer } from '#platform/config-fields.js';
import { greater, roomSettings, type SettingsOf } from '#platform/room-settings.js';
import { PROVIDER_FIELDS } from './providers/settings.js';
import { TIMER_FIELDS } from './timers/settings.js';

export const PAYMENTS_SETTINGS = roomSettings({
  room: 'libs/payments',
  reads: [LEDGER_SETTINGS],
  fields: {
    PAYMENT_FACTS_MAX: integer({ default: 1_000, min: 10, max: 10_000 }).describe(
      'Facts that one payment may have; beyond that a provider’s are `rejected`, and requests are refused.',
    ),
    OVERCAPTURE_PERCENT: integer({ default: 0, min: 0, max: 100 }).describe(
      'How much more than was authorised may be captured, in percent of it. What a provider captured beyond that is counted all the same, and found.',
    ),
    PROVIDER_CLOCK_SKEW_MS: integer({ default: 60_000, min: 0, max: EFFECTIVE_AT_MAX_AHEAD_MS }).describe(
      'How far a provider’s clock may be ahead: a fact that `occurred_at` later than that from now is refused.',
    ),
    ...PROVIDER_FIELDS,
    ...TIMER_FIELDS,
  },
  // The worker must not apply what an API process is applying.
  checks: [greater('PROVIDER_INBOX_RETRY_MS', 'PROVIDER_APPLY_MS')],
});

/** What the room reads. */
export type PaymentsSettings = LedgerSettings & SettingsOf<typeof PAYMENTS_SETTINGS>;
