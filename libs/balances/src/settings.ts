import { LEDGER_SETTINGS, type LedgerSettings } from '#ledger/settings.js';
import { decimal, integer, oneOf } from '#platform/config-fields.js';
import { greater, roomSettings, type SettingsOf } from '#platform/room-settings.js';

export const BALANCES_SETTINGS = roomSettings({
  room: 'libs/balances',
  reads: [LEDGER_SETTINGS],
  fields: {
    CACHE_WRITE_POLICY: oneOf(['available', 'strict'])
      .default('available')
      .describe(
        'What happens to an answer whose balances cannot be told to Redis. `available`: it is given, and a reader who still reaches Redis may see the old balance for less than BALANCE_TTL_MS. `strict`: acknowledgements, and reads from the database, wait until no older balance can be served any more, at most BALANCE_TTL_MS; REQUEST_DEADLINE_MS must be longer.',
      ),
    BALANCE_TTL_MS: integer({ default: 5_000, min: 100, max: 600_000 }).describe(
      'How long a cached balance may live, counted from the lease or fence that it rests on.',
    ),
    BALANCE_REDIS_TIMEOUT_MS: integer({ default: 50, min: 1, max: 10_000 }).describe(
      'Longest wait for one call to the cache; after it the database is asked.',
    ),
    BALANCE_L1_MAX_AGE_MS: integer({ default: 1_000, min: 0, max: 60_000 }).describe(
      'Oldest balance that `consistency=bounded` may answer from this process’ memory. 0 turns that off. No other read uses it.',
    ),
    BALANCE_LEASE_WAIT_MS: integer({ default: 250, min: 0, max: 10_000 }).describe(
      'How long a read waits for another one that fills the cache before it reads the database itself.',
    ),
    BALANCE_DATABASE_READS: integer({ default: 4, min: 1, max: 64 }).describe(
      'Reads of balances that a process sends to the database at once; each carries many accounts.',
    ),
    BALANCE_DATABASE_QUEUE: integer({ default: 10_000, min: 1, max: 1_000_000 }).describe(
      'Accounts that may wait for such a read; beyond that the answer is `overloaded`.',
    ),
    BALANCE_EARLY_REFRESH: decimal({ max: 100 })
      .default(1)
      .describe('XFetch’s β: how eagerly a balance is refreshed before it expires. 0 turns that off.'),
    BALANCE_SWEEP_AFTER_MS: integer({ default: 8_000, min: 100, max: 600_000 }).describe(
      'Age from which the fence of a writer is swept. More than WRITER_GROUP_TIMEOUT_MS, or slow groups are tried again.',
    ),
    BALANCE_MONITOR_INTERVAL_MS: integer({ default: 10_000, min: 100, max: 3_600_000 }).describe(
      'How often the worker compares a sample of cached balances with the ledger.',
    ),
    BALANCE_MONITOR_SAMPLE: integer({ default: 200, min: 2, max: 10_000 }).describe(
      'Accounts in such a sample: half of them from the cache, half from the ledger.',
    ),
  },
  checks: [greater('BALANCE_SWEEP_AFTER_MS', 'WRITER_GROUP_TIMEOUT_MS')],
});

/** What the room reads. */
export type BalancesSettings = LedgerSettings & SettingsOf<typeof BALANCES_SETTINGS>;
