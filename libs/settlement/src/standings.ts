import { systemCode } from '#ledger/accounts/system-accounts.js';
import { int8Array, textArray } from '#platform/binary-array.js';
import type { Deadline } from '#platform/deadline.js';
import type { Database, TransactionClient } from '#platform/postgres.js';
import type { MerchantClock } from './calendar.js';

/** How far merchants are settled, and what waits. */

export interface Standing {
  readonly merchantId: bigint;
  readonly clock: MerchantClock;
  /** Its later zones, as PostgreSQL tells them: whoever finds others behind the merchant's lock has reckoned by what was. */
  readonly laterZones: string | null;
  readonly createdAtMs: number;
  readonly position: { readonly firstDate: string; readonly businessDate: string } | undefined;
  /** Of the day that was asked for. */
  readonly hasSettlements: boolean;
  /** The day that is in the making. */
  readonly draftedDate: string | undefined;
  /** Accounts `merchant_payable` with entries that no settlement has looked at, or left for later. */
  readonly waiting: readonly Waiting[];
}

export interface Waiting {
  readonly accountId: bigint;
  readonly currency: string;
}

interface ClockRow extends Record<string, unknown> {
  merchant_id: bigint;
  time_zone: string;
  cutoff: string;
  created_at: number;
  first_date: string | null;
  business_date: string | null;
  later: string | null;
}

interface StandingRow extends ClockRow {
  has_settlements: boolean;
  drafted_date: string | null;
  /** JSON. */
  waiting: string | null;
}

/** SQL: a merchant's zones after its first, as JSON: of each its beginning, null: for all days. */
export function laterZones(merchantId: string): string {
  return `(SELECT json_agg(json_build_array(CASE WHEN isfinite(z.from_at) THEN (extract(epoch FROM z.from_at) * 1000)::float8 END, z.time_zone)
                   ORDER BY z.from_at)::text
     FROM merchant_time_zones z WHERE z.merchant_id = ${merchantId})`;
}

/** What tells the days of row `m` of `merchants`, and how far it is settled, from row `p` of `settlement_positions`. */
const CLOCK = `
  m.id AS merchant_id, m.time_zone, to_char(m.settlement_cutoff, 'HH24:MI') AS cutoff, m.created_at,
  to_char(p.first_date, 'YYYY-MM-DD') AS first_date, to_char(p.business_date, 'YYYY-MM-DD') AS business_date,
  ${laterZones('m.id')} AS later`;

const CLOCKS = `
SELECT ${CLOCK} FROM merchants m LEFT JOIN settlement_positions p ON p.merchant_id = m.id WHERE m.id = ANY ($1::bigint[])`;

/** $1 merchants, $2 the day. */
const STANDINGS = `
SELECT ${CLOCK},
       EXISTS (SELECT FROM settlements s WHERE s.merchant_id = m.id AND s.business_date = $2::date) AS has_settlements,
       (SELECT to_char(min(d.business_date), 'YYYY-MM-DD') FROM settlement_drafts d WHERE d.merchant_id = m.id) AS drafted_date,
       (SELECT json_agg(json_build_array(a.id::text, a.currency))
          FROM unnest(m.currencies) AS c (currency)
          JOIN accounts a ON a.merchant_id = m.id AND a.code = '${systemCode('merchant_payable', '')}' || c.currency
                         AND a.currency = c.currency AND a.normal_side = -1
          JOIN balances b ON b.merchant_id = m.id AND b.account_id = a.id
          LEFT JOIN settled_balances s ON s.merchant_id = m.id AND s.currency = c.currency
         WHERE b.version > coalesce(s.taken_through, 0)) AS waiting
  FROM merchants m LEFT JOIN settlement_positions p ON p.merchant_id = m.id WHERE m.id = ANY ($1::bigint[])`;

export type Clocked = Pick<Standing, 'merchantId' | 'clock' | 'laterZones' | 'createdAtMs' | 'position'>;

/** Of the merchants that are there. */
export async function loadClocks(client: TransactionClient, merchantIds: readonly bigint[]): Promise<Clocked[]> {
  const { rows } = await client.query<ClockRow>({ text: CLOCKS, values: [int8Array(merchantIds)] });
  return rows.map(clockedOf);
}

/** Of the merchants that are there, with regard to a day. */
export async function loadStandings(
  database: Database,
  merchantIds: readonly bigint[],
  businessDate: string,
  deadline: Deadline,
): Promise<Standing[]> {
  const values = [int8Array(merchantIds), businessDate];
  const rows = await database.read<StandingRow>({ merchantIds }, deadline, { text: STANDINGS, values });
  return rows.map((row) => ({
    ...clockedOf(row),
    hasSettlements: row.has_settlements,
    draftedDate: row.drafted_date ?? undefined,
    waiting: (JSON.parse(row.waiting ?? '[]') as [string, string][]).map(([id, currency]) => ({
      accountId: BigInt(id),
      currency,
    })),
  }));
}

function clockedOf(row: ClockRow): Clocked {
  const { merchant_id: merchantId, time_zone: timeZone, cutoff, created_at: createdAtMs } = row;
  const later = (JSON.parse(row.later ?? '[]') as [number | null, string][]).map(([fromMs, zone]) => ({
    fromMs: fromMs ?? -Infinity,
    timeZone: zone,
  }));
  const position =
    row.first_date !== null && row.business_date !== null
      ? { firstDate: row.first_date, businessDate: row.business_date }
      : undefined;
  return { merchantId, clock: { timeZone, cutoff, later }, laterZones: row.later, createdAtMs, position };
}

/**
 * $1 merchants, $2 currencies, $3 accounts. When the first of what waits happened. Each entry is looked up by its key, whatever the
 * planner believes of tables that were empty a moment ago.
 */
const EARLIEST = `
SELECT k.merchant_id, min(e.at) AS at
  FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS k (merchant_id, currency, account_id)
  LEFT JOIN settled_balances s ON s.merchant_id = k.merchant_id AND s.currency = k.currency
  CROSS JOIN LATERAL (
    SELECT min(e.effective_at) AS at FROM entries e
     WHERE e.merchant_id = k.merchant_id AND e.account_id = k.account_id AND e.account_version > coalesce(s.looked_through, 0)
       AND e.posted_amount <> 0
    UNION ALL
    SELECT min(e.effective_at)
      FROM entries e
      LEFT JOIN LATERAL (SELECT l.account_version FROM settlement_lines l
                          WHERE l.merchant_id = e.merchant_id AND l.account_id = e.account_id AND l.account_version = e.account_version
                          LIMIT 1) taken ON true
     WHERE e.merchant_id = k.merchant_id AND e.account_id = k.account_id AND e.account_version > s.taken_through
       AND e.account_version <= s.looked_through AND e.posted_amount <> 0 AND taken.account_version IS NULL) e
 GROUP BY k.merchant_id HAVING min(e.at) IS NOT NULL`;

/** When the first of what waits happened. Of merchants who have some. */
export async function loadEarliest(
  database: Database,
  standings: readonly Standing[],
  deadline: Deadline,
): Promise<Map<bigint, number>> {
  const waiting = standings.flatMap(({ merchantId, waiting: own }) => own.map((one) => ({ merchantId, ...one })));
  if (waiting.length === 0) return new Map();
  const merchantIds = [...new Set(waiting.map(({ merchantId }) => merchantId))];
  const rows = await database.read<{ merchant_id: bigint; at: number }>({ merchantIds }, deadline, {
    text: EARLIEST,
    values: [
      int8Array(waiting.map(({ merchantId }) => merchantId)),
      textArray(waiting.map(({ currency }) => currency)),
      int8Array(waiting.map(({ accountId }) => accountId)),
    ],
  });
  return new Map(rows.map(({ merchant_id, at }) => [merchant_id, at]));
}
