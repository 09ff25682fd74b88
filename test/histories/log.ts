import type pg from 'pg';

/** What the consumer is called that writes down what it is given. */
export const RECORDER = 'recorder';

/** $1 the recorder. Each event of the log once, in nobody's place, and in the log's order for each merchant. */
const APPLIED = `
WITH applied AS (
  SELECT merchant_id, xid, seq, count(*) AS times FROM records WHERE consumer = $1 GROUP BY merchant_id, xid, seq
), ordered AS (
  SELECT (xid, seq) <= (lag(xid) OVER w, lag(seq) OVER w) AS is_late FROM records WHERE consumer = $1
  WINDOW w AS (PARTITION BY merchant_id ORDER BY number)
)
SELECT (SELECT count(*) FROM events)::int AS events,
       (SELECT count(*) FROM events e WHERE NOT EXISTS (
          SELECT FROM applied a WHERE (a.merchant_id, a.xid, a.seq) = (e.merchant_id, e.xid, e.seq)))::int AS lost,
       (SELECT count(*) FROM applied WHERE times > 1)::int AS repeated,
       (SELECT count(*) FROM applied a WHERE NOT EXISTS (
          SELECT FROM events e WHERE (a.merchant_id, a.xid, a.seq) = (e.merchant_id, e.xid, e.seq)))::int AS invented,
       (SELECT count(*) FROM ordered WHERE is_late)::int AS "out of order"`;

/** $1 the recorder. Versions of each account as the consumer met them: one after the other, from the first. */
const ACCOUNT_ORDER = `
SELECT count(*)::int AS "out of order on their account" FROM (
  SELECT (entry ->> 'account_version')::bigint AS version,
         row_number() OVER (PARTITION BY entry ->> 'account_id' ORDER BY r.number, (entry ->> 'account_version')::bigint) AS expected
    FROM records r JOIN events e ON (e.merchant_id, e.xid, e.seq) = (r.merchant_id, r.xid, r.seq)
   CROSS JOIN LATERAL json_array_elements(e.data -> 'entries') AS entry
   WHERE r.consumer = $1) told
 WHERE version <> expected`;

/** From the entries, not from the events. */
const SUMMARIES = `
WITH folded AS (
  SELECT e.merchant_id, (e.effective_at AT TIME ZONE m.time_zone)::date AS day, e.account_id, e.type, e.currency,
         count(*) FILTER (WHERE e.direction = 1) AS debit_count, coalesce(sum(e.posted_amount) FILTER (WHERE e.direction = 1), 0) AS debit_amount,
         count(*) FILTER (WHERE e.direction = -1) AS credit_count, coalesce(sum(e.posted_amount) FILTER (WHERE e.direction = -1), 0) AS credit_amount
    FROM entries e JOIN merchants m ON m.id = e.merchant_id
   WHERE e.posted_amount > 0 GROUP BY 1, 2, 3, 4, 5
)
SELECT count(*) FILTER (WHERE f.day IS NULL OR s.day IS NULL
                           OR (f.debit_count, f.debit_amount, f.credit_count, f.credit_amount)
                              <> (s.debit_count, s.debit_amount, s.credit_count, s.credit_amount))::int AS "summaries that are wrong"
  FROM folded f FULL JOIN daily_summaries s USING (merchant_id, day, account_id, type, currency)`;

const LETTERS = `
SELECT consumer, xid, seq, tries, error FROM dead_letters ORDER BY created_at LIMIT 5`;

/** Events that a consumer has not applied yet; a merchant that goes apart counts as one. */
const BEHIND = `
SELECT coalesce(sum(n), 0)::int + (SELECT count(*) FROM merchant_positions)::int AS behind FROM consumer_positions p CROSS JOIN LATERAL (
  SELECT count(*) AS n FROM events e WHERE e.partition = p.partition AND (e.xid, e.seq) > (p.xid, p.seq)) waiting`;

/** Events that consumers have not applied; of all consumers together. */
export async function behind(owner: pg.Client): Promise<number> {
  const { rows } = await owner.query<{ behind: number }>(BEHIND);
  return rows[0]?.behind ?? 0;
}

export interface Judgement {
  readonly events: number;
  /** What is wrong; empty when nothing is. */
  readonly offences: readonly string[];
}

/** I6 and order, by SQL of its own. */
export async function judgeLog(owner: pg.Client): Promise<Judgement> {
  const counts: Record<string, number> = {};
  for (const [text, values] of [
    [APPLIED, [RECORDER]],
    [ACCOUNT_ORDER, [RECORDER]],
    [SUMMARIES, []],
  ] as const) {
    const { rows } = await owner.query<Record<string, number>>(text, [...values]);
    Object.assign(counts, rows[0]);
  }
  const { events = 0, ...wrong } = counts;
  const letters = (await owner.query(LETTERS)).rows.map((letter) => `a dead letter: ${JSON.stringify(letter)}`);
  const offences = Object.entries(wrong).flatMap(([what, count]) => (count > 0 ? [`events, ${what}: ${count}`] : []));
  return { events, offences: [...offences, ...letters] };
}
