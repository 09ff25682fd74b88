import type pg from 'pg';

/** Of each invariant: what was counted, and what of it is wrong, by SQL of the judge's own. */
const BOOKS: readonly [name: string, sql: string][] = [
  [
    'I1 transactions whose entries sum to zero',
    `SELECT count(*)::int AS counted, (count(*) FILTER (WHERE posted <> 0 OR pending <> 0))::int AS wrong FROM (
       SELECT sum(direction * posted_amount) AS posted, sum(direction * pending_amount) AS pending
         FROM entries GROUP BY merchant_id, transaction_id, currency) sums`,
  ],
  [
    'I2 balances that are the sum of their entries',
    `SELECT count(*)::int AS counted, (count(*) FILTER (WHERE (b.posted_debits, b.posted_credits, b.pending_debits, b.pending_credits, b.version)
            IS DISTINCT FROM (coalesce(e.pd, 0), coalesce(e.pc, 0), coalesce(e.hd, 0), coalesce(e.hc, 0), coalesce(e.version, 0))))::int AS wrong
       FROM balances b LEFT JOIN (
         SELECT merchant_id, account_id, count(*) AS version,
                sum(posted_amount) FILTER (WHERE direction = 1) AS pd, sum(posted_amount) FILTER (WHERE direction = -1) AS pc,
                sum(pending_amount) FILTER (WHERE direction = 1) AS hd, sum(pending_amount) FILTER (WHERE direction = -1) AS hc
           FROM entries GROUP BY 1, 2) e USING (merchant_id, account_id)`,
  ],
  [
    'I2 moments of accounts with a floor, none below it',
    `SELECT count(*)::int AS counted, (count(*) FILTER (WHERE left_over < min_available))::int AS wrong FROM (
       SELECT a.min_available, sum(-e.direction * e.posted_amount - CASE WHEN e.direction = 1 THEN e.pending_amount ELSE 0 END)
                OVER (PARTITION BY e.merchant_id, e.account_id ORDER BY e.account_version) AS left_over
         FROM entries e JOIN accounts a ON a.merchant_id = e.merchant_id AND a.id = e.account_id
        WHERE a.min_available IS NOT NULL AND a.normal_side::text IN ('credit', '-1')) moments`,
  ],
  [
    'I4 transfers and holds, each the only one under its merchant and key',
    `SELECT coalesce(sum(times), 0)::int AS counted, (count(*) FILTER (WHERE times > 1))::int AS wrong FROM (
       SELECT count(*) AS times FROM transactions WHERE type IN ('transfer', 'hold') AND parent_id IS NULL GROUP BY merchant_id, external_ref) once`,
  ],
  [
    'I4 facts, each the only one under its provider and event id',
    `SELECT coalesce(sum(times), 0)::int AS counted, (count(*) FILTER (WHERE times > 1))::int AS wrong FROM (
       SELECT count(*) AS times FROM payment_facts GROUP BY merchant_id, subject, fact_id) once`,
  ],
  [
    'I4 settlements, each the only one of its merchant, day and currency',
    `SELECT coalesce(sum(times), 0)::int AS counted, (count(*) FILTER (WHERE times > 1))::int AS wrong FROM (
       SELECT count(*) AS times FROM settlements GROUP BY merchant_id, business_date, currency) once`,
  ],
  [
    'I7 entries, each of the merchant of its account and of its transaction',
    `SELECT count(*)::int AS counted, (count(*) FILTER (WHERE a.merchant_id <> e.merchant_id OR t.merchant_id <> e.merchant_id))::int AS wrong
       FROM entries e JOIN accounts a ON a.id = e.account_id JOIN transactions t ON t.id = e.transaction_id`,
  ],
];

export interface Book {
  readonly name: string;
  readonly counted: number;
  readonly wrong: number;
}

export async function readBooks(owner: pg.Client): Promise<Book[]> {
  const books: Book[] = [];
  for (const [name, sql] of BOOKS) {
    const { rows } = await owner.query<{ counted: number; wrong: number }>(sql);
    books.push({ name, counted: rows[0]?.counted ?? 0, wrong: rows[0]?.wrong ?? 0 });
  }
  return books;
}
