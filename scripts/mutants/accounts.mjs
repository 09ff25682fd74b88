// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.
import { inFile } from './mutant.mjs';

const AT = 'test/accounts.test.ts';
const SYSTEM = 'test/system-accounts.test.ts';
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
  ...inFile('libs/ledger/src/accounts/balance-store.ts', AT, [
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
  ...inFile(
    'libs/ledger/src/accounts/back-dated-adjustments.ts',
    'libs/ledger/src/accounts/back-dated-adjustments.spec.ts',
    [['no version is dated back', 'BigInt(createdAtMs) >> shift > bucket', 'BigInt(createdAtMs) >> shift < bucket']],
  ),
  ...inFile('libs/balances/src/get-balance.query.ts', AT, [
    ['min_version is compared with the version at T', 'if (newest < minVersion)', 'if (record.version < minVersion)'],
    [
      'the cache is told the version at T',
      'merchantId, accountId, version: newest',
      'merchantId, accountId, version: record.version',
    ],
  ]),
  ...inFile('libs/ledger/src/accounts/account-status.command.ts', AT, [
    ['system accounts close', "change === 'close' && isSystemAccount(account)", 'false'],
  ]),
  ...inFile('libs/ledger/src/accounts/account-status.command.ts', 'test/replays.test.ts', [
    ['a refusal is told again as done', "stored.code === undefined ? 'changed'", "stored.code !== '' ? 'changed'"],
  ]),
  ...inFile('apps/api/src/accounts/accounts.controller.ts', 'test/replays.test.ts', [
    [
      'a replay tells the status of today',
      '{ ...(await this.#account(context, id)), status }',
      '{ status, ...(await this.#account(context, id)) }',
    ],
  ]),
  ...inFile('libs/ledger/src/accounts/system-accounts.ts', AT, [
    ['the wrong side makes a system account', 'system?.normalSide === normalSide &&', 'system !== undefined &&'],
  ]),
  ...inFile('libs/ledger/src/accounts/find-system-accounts.ts', SYSTEM, [
    ['a merchant’s own account is posted to', '!isSystemAccount(account)', 'false'],
    ['what is missing stays so', 'if (found.includes(undefined)) {', 'if (false) {'],
  ]),
  ...inFile('libs/ledger/src/accounts/flawed-system-accounts.ts', SYSTEM, [
    [
      'what is missing is looked for before the lock',
      'const log = await MerchantLog.lock(client, merchantId);\n    const missing = (await flawsOf(client, merchantId))',
      'const looked = await flawsOf(client, merchantId);\n    const log = await MerchantLog.lock(client, merchantId);\n    const missing = looked',
    ],
    ['any account of the code will do', 'OR a.currency <> c.currency OR a.normal_side <> s.side', ''],
  ]),
  ...inFile('libs/ledger/src/duties/system-accounts.ts', SYSTEM, [
    [
      'a merchant that fails ends the round',
      'mender.logger.warn({ err: error',
      'throw error; mender.logger.warn({ err: error',
    ],
    ['what was closed stays closed', 'else if (closed) await', 'else if (false) await'],
  ]),
  ...inFile('libs/ledger/src/ledger-worker.module.ts', SYSTEM, [
    ['a worker waits an hour', 'this.#hasCompleted ? undefined : 0', 'undefined'],
  ]),
  ...inFile('apps/api/src/accounts/schemas.ts', 'test/adjustments.test.ts', [
    [
      'whatever holds is a hold',
      "if (posted === 0n) return pending > 0n ? 'hold'",
      "if (posted === 0n || pending > 0n) return pending > 0n ? 'hold'",
    ],
  ]),
  ...inFile('libs/ledger/src/accounts/create-account.command.ts', AT, [
    ['system names are anybody’s', 'isReservedCode(account.code)', 'false'],
  ]),
  ...inFile('libs/tenancy/src/api-key.commands.ts', TENANCY, [
    ['a second revocation moves the moment', 'id: keyId, revokedAtMs: IsNull() }', 'id: keyId }'],
  ]),
  ...inFile('libs/tenancy/src/authenticator.ts', KEYS, [
    ['answers are dated after the look-up', 'caller, { start }', 'caller, { start: performance.now() }'],
    ['a look-up ends with its first caller', 'Deadline.after(LOOKUP_TIMEOUT_MS)', 'deadline.within(LOOKUP_TIMEOUT_MS)'],
  ]),
  ...inFile('libs/balances/src/load-balances.ts', CACHE, [
    [
      'the cache is filled with holds on each other’s side',
      'pendingDebits: balance.pendingDebits',
      'pendingDebits: balance.pendingCredits',
    ],
  ]),
  ...inFile('libs/balances/src/monitor-store.ts', CACHE, [
    ['the monitor takes holds for those of the other side', 'pendingDebits: hd', 'pendingDebits: hc'],
  ]),
  ...inFile('libs/balances/src/cache-judge.ts', CACHE, [
    ['totals are not compared', 'sameTotals(look.balance, ledger) ?', 'true ?'],
    ['what has died is served', 'val === undefined || !(Number(die) > nowMs)', 'val === undefined'],
    ['held credits are not compared', '&& one.pendingCredits === other.pendingCredits', ''],
  ]),
  ...inFile('libs/balances/src/checks.ts', CACHE, [
    ['accounts are passed over', 'at += JUDGED_AT_ONCE', 'at += 2 * JUDGED_AT_ONCE'],
  ]),
  ...inFile('libs/summaries/src/checks.ts', DAYS, [
    ['what is post-dated is forgotten on its day', '${EFFECTIVE_AT_MAX_AHEAD_MS} milliseconds', '0 milliseconds'],
  ]),
  ...inFile('libs/summaries/src/daily-summaries.ts', DAYS, [
    ['days are those of recording', 'atMs: Date.parse(effectiveAt)', 'atMs: event.occurredAtMs'],
  ]),
  ...inFile('libs/ledger/src/reading/merchant-day.ts', DAYS, [
    ['all days are in the first zone', 'AND z.from_at <= ${at}', 'AND false'],
    ['all days are in the last zone', 'AND z.from_at <= ${at}', ''],
    ['a day begins a moment late', 'AND z.from_at <= ${at}', 'AND z.from_at < ${at}'],
  ]),
  ...inFile('libs/tenancy/src/merchant.queries.ts', DAYS, [
    ['the zone shown is the first that came into force', 'later.findLast(', 'later.find('],
  ]),
  ...inFile('libs/tenancy/src/time-zones.ts', TENANCY, [
    ['a zone need not be PostgreSQL’s', "if (!this.isReckonable(zone)) return 'unknown to PostgreSQL';", ''],
    ['zones need not agree', "isSame ? 'agreed' : 'disagreed'", "'agreed'"],
  ]),
  ...inFile('libs/tenancy/src/merchant-zone-store.ts', TENANCY, [
    ['days that have begun move', 'from_at < ${KNOWN_UNTIL} AS too_soon', 'false AS too_soon'],
    ['the first zone is the present one', "SELECT ${zoneOf('m', 'now()')} AS time_zone", 'SELECT m.time_zone'],
    ['zones change without notice', 'const NOTICE_MS = 2 *', 'const NOTICE_MS = 0 *'],
    ['changes of a merchant do not wait for each other', 'WHERE id = $1 FOR NO KEY UPDATE`', 'WHERE id = $1`'],
    [
      'what was planned stays',
      'DELETE FROM merchant_time_zones WHERE merchant_id = $1 AND',
      'DELETE FROM merchant_time_zones WHERE false AND',
    ],
    [
      'a day that began earlier where it was planned stays',
      'OR (from_day >= $3::date AND from_at >= ${KNOWN_UNTIL})',
      '',
    ],
  ]),
];
