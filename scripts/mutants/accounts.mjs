// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.
import { inFile } from './mutant.mjs';

const AT = 'test/accounts.test.ts';
const KEYS = 'test/authenticator.test.ts';
const CACHE = 'test/balance-monitor.test.ts';
const DAYS = 'test/daily-summaries.test.ts';
const TENANCY = 'test/tenancy.test.ts';

/**
 * Planted bugs of accounts, balances in the past, keys, zones and days.
 *
 * @type {import('./mutant.mjs').Mutant[]}
 */
export const ACCOUNT_MUTANTS = [
  ...inFile('libs/ledger/src/balance-store.ts', AT, [
    [
      'what takes effect later counts in the version',
      'AND account_version <= v.version AND effective_at <= $5',
      'AND account_version <= v.version AND $5::timestamptz IS NOT NULL',
    ],
    [
      'what was dated back does not count in the version',
      'greatest(c.version, s.newest_version, 0)',
      'greatest(c.version, 0)',
    ],
  ]),
  ...inFile('libs/ledger/src/late-sums.ts', 'libs/ledger/src/late-sums.spec.ts', [
    ['no version is dated back', 'const isDatedBack = sign === 1n &&', 'const isDatedBack = sign === 0n &&'],
    [
      'the newest version of a node is its last',
      'entry.accountVersion > node.newestVersion',
      'entry.accountVersion > 0n',
    ],
  ]),
  ...inFile('libs/balances/src/get-balance.query.ts', AT, [
    ['min_version is compared with the version at T', 'newest: record.newestVersion', 'newest: record.version'],
  ]),
  ...inFile('libs/ledger/src/account-status.command.ts', AT, [
    ['system accounts close', "change === 'close' && isSystemAccount(account)", 'false'],
  ]),
  ...inFile('libs/ledger/src/create-account.command.ts', AT, [
    ['system names are anybody’s', 'isReservedCode(account.code)', 'false'],
  ]),
  ...inFile('libs/tenancy/src/authenticator.ts', KEYS, [
    ['answers are dated after the look-up', 'merchantId, { start }', 'merchantId, { start: performance.now() }'],
    ['a look-up ends with its first caller', 'Deadline.after(LOOKUP_TIMEOUT_MS)', 'deadline.within(LOOKUP_TIMEOUT_MS)'],
  ]),
  ...inFile('libs/balances/src/load-balances.ts', CACHE, [
    [
      'the cache is filled with holds on each other’s side',
      'pendingDebits: row.pending_debits',
      'pendingDebits: row.pending_credits',
    ],
  ]),
  ...inFile('libs/balances/src/monitor-store.ts', CACHE, [
    ['the monitor takes holds for those of the other side', 'pendingDebits: hd', 'pendingDebits: hc'],
  ]),
  ...inFile('libs/balances/src/cache-judge.ts', CACHE, [
    ['totals are not compared', 'sameTotals(look.balance, ledger) ?', 'true ?'],
  ]),
  ...inFile('libs/summaries/src/daily-summaries.ts', DAYS, [
    ['days are those of recording', 'atMs: Date.parse(effectiveAt)', 'atMs: event.occurredAtMs'],
  ]),
  ...inFile('libs/ledger/src/merchant-day.ts', DAYS, [
    ['all days are in the first zone', 'AND z.from_at <= ${at}', 'AND false'],
    ['all days are in the last zone', 'AND z.from_at <= ${at}', ''],
  ]),
  ...inFile('libs/tenancy/src/time-zones.ts', TENANCY, [
    ['a zone need not be PostgreSQL’s', "if (!this.isReckonable(zone)) return 'unknown to PostgreSQL';", ''],
    ['zones need not agree', "isSame ? 'agreed' : 'disagreed'", "'agreed'"],
  ]),
  ...inFile('libs/tenancy/src/merchant-zone-store.ts', TENANCY, [
    ['days that have begun move', 'from_at < now() + interval', 'false AND from_at < now() + interval'],
    [
      'what was planned stays',
      'DELETE FROM merchant_time_zones WHERE merchant_id = $1 AND',
      'DELETE FROM merchant_time_zones WHERE false AND',
    ],
  ]),
];
