import { z } from 'zod';
import { LEDGER_SETTINGS, type LedgerSettings } from '#ledger/settings.js';
import { askSchedule } from '#platform/ask-schedule.js';
import { integer, url } from '#platform/config-fields.js';
import { roomSettings, type SettingsOf } from '#platform/room-settings.js';
import { keyOfSecret } from '#platform/standard-webhooks.js';

export const PAYOUTS_SETTINGS = roomSettings({
  room: 'libs/payouts',
  reads: [LEDGER_SETTINGS],
  fields: {
    BANK_URL: url(['https', 'http'])
      .transform((value) => value.replace(/\/$/, ''))
      .optional()
      .describe('The bank that pays merchants. Without it payouts are refused with `invalid_transition`.'),
    BANK_SECRET: z
      .string()
      .refine((secret) => keyOfSecret(secret), 'must be whsec_ and the base64 of 24 to 64 bytes')
      .optional()
      .describe(
        'What we prove ourselves with to the bank, and what it signs its callbacks with (Standard Webhooks): `whsec_` and the base64 of 24 to 64 bytes. Needed where there is a BANK_URL.',
      ),
    // Three requests and a commit have to fit into the time of one piece of work on a due row.
    BANK_TIMEOUT_MS: integer({ default: 2_000, min: 10, max: 2_500 }).describe(
      'Deadline of one request to the bank, its answer included. What has no answer by then is unknown, and is asked for.',
    ),
    BANK_TOLERANCE_S: integer({ default: 300, min: 10, max: 86_400 }).describe(
      'How far the time that the bank signs may be from ours, either way; beyond that its callback is a replay.',
    ),
    PAYOUT_ASK_SCHEDULE_S: askSchedule('30,300,3600').describe(
      'Seconds after which the bank is asked about an instruction that it took and has not answered; the last goes on as an interval.',
    ),
    PAYOUT_WATCH_DAYS: integer({ default: 30, min: 0, max: 365 }).describe(
      'How long the bank is asked daily about what it has paid or failed to pay: it may come back, or be paid after all. Its callbacks are looked into for ever.',
    ),
    PAYOUT_POLL_MS: integer({ default: 1_000, min: 50, max: 600_000 }).describe(
      'How long the worker waits at most before it asks what of payouts is due. It asks sooner where it knows of something.',
    ),
    PAYOUT_CONCURRENCY: integer({ default: 8, min: 1, max: 100 }).describe(
      'Payouts that a worker tells or asks the bank of at once; as many again that it watches, and that the bank calls back about.',
    ),
  },
  checks: [
    {
      of: ['BANK_SECRET'],
      message: 'must be given where there is a BANK_URL',
      holds: ({ BANK_URL, BANK_SECRET }) => BANK_URL === undefined || BANK_SECRET !== undefined,
    },
  ],
});

/** What the room reads. */
export type PayoutsSettings = LedgerSettings & SettingsOf<typeof PAYOUTS_SETTINGS>;
