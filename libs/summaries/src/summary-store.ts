import type pg from 'pg';
import type { SearchBounds, TransactionClient } from '#platform/postgres.js';
import { conditions, type Found, foundOf, type Search, searchQuery } from '#platform/search.js';

/** Place of a row in the list: newest day first, and then by the rest of the key, downwards. */
export interface SummaryKey {
  /** `YYYY-MM-DD`, in the merchant's time zone. */
  day: string;
  accountId: bigint;
  type: string;
  currency: string;
}

export interface DailySummary extends SummaryKey {
  debits: { count: bigint; amount: bigint };
  credits: { count: bigint; amount: bigint };
}

export interface SummaryFilter {
  /** First and last day, both included. */
  dayFrom: string | undefined;
  dayTo: string | undefined;
  accountId: bigint | undefined;
  type: string | undefined;
  currency: string | undefined;
}

export interface SummaryListPage {
  filter: SummaryFilter;
  before: SummaryKey | undefined;
  limit: number;
}

/** How current a merchant's summaries are. */
export interface Currentness {
  /** Everything that was committed before this moment is in them. */
  asOfMs: number;
  /** Events of the merchant that are not applied yet, at most LAG_COUNTED. */
  waitingEvents: number;
  /** Events that were given up on for the time being: they are missing until they are redriven. */
  deadLetters: number;
}

/** Whoever is further behind than this has a problem whose exact size does not matter. */
const LAG_COUNTED = 1_000;

const COLUMNS = `to_char(d.day, 'YYYY-MM-DD') AS day, d.account_id, d.type, d.currency, d.debit_count, d.debit_amount::text AS debit_amount,
  d.credit_count, d.credit_amount::text AS credit_amount`;

/**
 * $1 merchant, $2 consumer. What has been committed before this statement's transaction began is seen by it: either it
 * is applied, or it is among the waiting events, and then no older than the oldest of them.
 */
const CURRENTNESS = {
  name: 'currentness-of-daily-summaries',
  text: `
SELECT coalesce(w.oldest, now()) AS as_of, w.count AS waiting,
       (SELECT count(*)::int FROM dead_letters
         WHERE merchant_id = $1 AND consumer = $2 AND status IN ('parked', 'redriving', 'discarding')) AS dead_letters
  FROM (SELECT count(*)::int AS count, min(occurred_at) AS oldest
          FROM (SELECT e.occurred_at FROM events e
                 WHERE e.merchant_id = $1 AND (e.xid, e.seq) > (
                   coalesce((SELECT xid FROM merchant_positions WHERE consumer = $2 AND merchant_id = $1),
                            (SELECT xid FROM consumer_positions WHERE consumer = $2 AND partition = partition_of($1)), '0'::xid8),
                   coalesce((SELECT seq FROM merchant_positions WHERE consumer = $2 AND merchant_id = $1),
                            (SELECT seq FROM consumer_positions WHERE consumer = $2 AND partition = partition_of($1)), 0))
                 ORDER BY e.xid, e.seq LIMIT ${LAG_COUNTED}) e) w`,
};

interface Row extends pg.QueryResultRow {
  day: string;
  account_id: bigint;
  type: string;
  currency: string;
  debit_count: bigint;
  debit_amount: string;
  credit_count: bigint;
  credit_amount: string;
}
interface CurrentnessRow extends pg.QueryResultRow {
  as_of: number;
  waiting: number;
  dead_letters: number;
}

/** A page of the generation that is served, below `before`. In the merchant's scope. */
export async function listDailySummaries(
  client: TransactionClient,
  { merchantId, cost }: Pick<SearchBounds, 'merchantId' | 'cost'>,
  page: SummaryListPage,
): Promise<Found<DailySummary, SummaryKey>> {
  const most = cost.mayLookAt;
  const { rows } = await client.query<Row>(searchQuery(summarySearch(merchantId, page), most));
  const found = foundOf(rows, { cost, most, placeOf: summaryOf });
  return { ...found, rows: found.rows.map(summaryOf) };
}

/** One walk of the primary key, backwards. */
function summarySearch(merchantId: bigint, { filter, before, limit }: SummaryListPage): Search {
  const values: unknown[] = [merchantId];
  const within = conditions(values, [
    ['day >=', filter.dayFrom],
    ['day <=', filter.dayTo],
  ]);
  if (before) {
    const [day, account, type, currency] = [before.day, before.accountId, before.type, before.currency].map(
      (value) => `$${values.push(value)}`,
    );
    within.push(
      `(day, account_id, type, currency) < (${day}, ${account}, ${type} COLLATE "C", ${currency} COLLATE "C")`,
    );
  }
  const served = `generation = (SELECT generation FROM projections WHERE name = 'daily_summaries')`;
  const walk = `SELECT * FROM daily_summaries WHERE ${['merchant_id = $1', served, ...within].join(' AND ')}`;
  const tests = conditions(values, [
    ['account_id =', filter.accountId],
    ['type =', filter.type],
    ['currency =', filter.currency],
  ]);
  const order = ['day', 'account_id', 'type', 'currency'];
  return { columns: COLUMNS, walk, as: 'd', tests, order, values, limit };
}

function summaryOf(row: Row): DailySummary {
  return {
    day: row.day,
    accountId: row.account_id,
    type: row.type,
    currency: row.currency,
    debits: { count: row.debit_count, amount: BigInt(row.debit_amount) },
    credits: { count: row.credit_count, amount: BigInt(row.credit_amount) },
  };
}

/** To be asked before the rows, so that it never says more than they hold. In the merchant's scope. */
export async function currentnessOf(
  client: TransactionClient,
  merchantId: bigint,
  consumer: string,
): Promise<Currentness> {
  const { rows } = await client.query<CurrentnessRow>({ ...CURRENTNESS, values: [merchantId, consumer] });
  const [row] = rows as [CurrentnessRow];
  return { asOfMs: row.as_of, waitingEvents: row.waiting, deadLetters: row.dead_letters };
}
