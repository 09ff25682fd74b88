import { MOVING_FACTS, onlyMovements } from '#payments/payment-items.js';
import type { Deadline } from '#platform/deadline.js';
import type { MatchedReport, Matching } from '../matching/match-report.js';
import { FIND_ITEMS, OF_PROVIDER } from '../matching/payments.js';
import { expectedJson } from '../matching/sides.js';
import { byKeys } from '../matching/turn.js';
import type { FoundBreak } from './open-found.js';

/** What of a period nobody has told: missing, or expected until its time is up. */
export interface Absent {
  readonly missing: readonly FoundBreak[];
  readonly expected: number;
  /** When the first of these is missing. */
  readonly nextMs: number | undefined;
}

/** Facts that are looked at by one statement: it reads, and nobody waits for it. */
const FACTS_AT_ONCE = 20_000;

const IN_PERIOD = `merchant_id = $1 AND occurred_at >= $2 AND occurred_at < $3 AND type IN ${MOVING_FACTS}`;

/** $1 merchant, $2 from, $3 until, $4 so many facts: the end of a window of about these, which is after its beginning. */
const WINDOW_END = `
SELECT occurred_at AS until FROM payment_facts
 WHERE ${IN_PERIOD.replace('>=', '>')} ORDER BY occurred_at OFFSET $4::int LIMIT 1`;

/** $1 merchant, $4 provider, $5 source. What payments of `subjects` consist of (`items`, with their payments in `found`), whatever is told of it. */
export const ITEMS_OF_SUBJECTS = `
found AS MATERIALIZED (
  SELECT p.id, p.subject, p.provider_ref, p.currency, p.parts FROM payments p
   WHERE p.merchant_id + 0 = $1 AND p.subject = ANY (ARRAY(SELECT subject FROM subjects)) AND ${OF_PROVIDER.replace('$3', '$4')}
), placed AS (
  SELECT NULL::uuid AS identity, NULL::bigint AS break_id WHERE false
), wanted AS MATERIALIZED (
  SELECT f.id, k.kind FROM found f CROSS JOIN (VALUES ('payment'), ('refund'), ('dispute'), ('dispute_reversed')) k (kind)
),${FIND_ITEMS.replaceAll('$2', '$5')}`;

const IS_MATCHED = (kind: string, objectRef: string): string => `EXISTS (
  SELECT FROM reconciled_items r WHERE r.merchant_id + 0 = $1 AND r.item = 'payment/' || p.id || '/' || ${kind} || '/' || ${objectRef} OFFSET 0)`;

/**
 * Payments of which something happened in the window, without those of which all is matched: most are, and are seen to be so for a fifth of what
 * looking at items costs.
 */
const SUBJECTS = `
moved AS MATERIALIZED (
  SELECT DISTINCT subject FROM payment_facts WHERE ${IN_PERIOD}
), subjects AS MATERIALIZED (
  SELECT p.subject FROM payments p
   WHERE p.merchant_id + 0 = $1 AND p.subject = ANY (ARRAY(SELECT subject FROM moved)) AND ${onlyMovements('p.parts', IS_MATCHED)} IS NOT TRUE
)`;

/**
 * $1 merchant, $2 from, $3 until, $4 provider, $5 source, $6 days of the SLA. Items of the window that are in no match and no break, be it
 * one that people have ended, and that no open break names as what it may be about.
 */
const ABSENT = `
WITH ${SUBJECTS},${ITEMS_OF_SUBJECTS}, absent AS MATERIALIZED (
  SELECT i.*, f.currency, i.at + $6::int * interval '1 day' AS due_at
    FROM items i JOIN found f ON f.id = i.payment_id
   WHERE i.state = 'due' AND NOT i.is_taken AND i.at >= $2 AND i.at < $3
), unexplained AS MATERIALIZED (
  SELECT a.* FROM absent a
    LEFT JOIN (SELECT DISTINCT item FROM breaks WHERE merchant_id = $1 AND item = ANY (ARRAY(SELECT item FROM absent)) AND status <> 'auto_resolved') b
      ON b.item = a.item
    LEFT JOIN (SELECT DISTINCT c.candidate ->> 'item' AS item
                 FROM (SELECT DISTINCT provider_ref FROM absent) a
                CROSS JOIN LATERAL (SELECT candidates FROM breaks
                                     WHERE merchant_id = $1 AND reference = a.provider_ref AND resolution IS NULL AND kind = 'ambiguous' OFFSET 0) b
                CROSS JOIN LATERAL json_array_elements(b.candidates) c (candidate)) c ON c.item = a.item
   WHERE b.item IS NULL AND c.item IS NULL
)
SELECT count(*) FILTER (WHERE due_at > now())::int AS expected, min(due_at) FILTER (WHERE due_at > now()) AS next,
       json_agg(json_build_object(
         'fingerprint', 'missing_in_report/' || item, 'kind', 'missing_in_report', 'reference', provider_ref, 'object_ref', object_ref, 'item', item,
         'expected', ${expectedJson({ amount: 'amount', fee: 'NULL', currency: 'currency', at: 'at' })}, 'actual', NULL,
         'difference', (-amount)::text, 'currency', currency, 'detail', 'No report has told this.') ORDER BY at, item)
         FILTER (WHERE due_at <= now()) AS missing
  FROM unexplained`;

export interface Period {
  readonly fromMs: number;
  /** Not included. */
  readonly toMs: number;
}

export interface Looked {
  expected: number;
  next: number | null;
  missing: string | null;
}

/** Window by window: what a processor's report of the period should have told. */
export async function* absentPayments(
  { database }: Matching,
  { merchantId, source, provider, slaDays }: MatchedReport,
  period: Period,
  deadline: () => Deadline,
): AsyncGenerator<Absent> {
  const scope = { merchantIds: [merchantId] };
  const toMs = period.toMs;
  for (let fromMs = period.fromMs; fromMs < toMs; ) {
    const [end] = await database.read<{ until: number }>(scope, deadline(), {
      text: WINDOW_END,
      values: [merchantId, new Date(fromMs), new Date(toMs), FACTS_AT_ONCE],
    });
    const untilMs = end?.until ?? toMs;
    const values = [merchantId, new Date(fromMs), new Date(untilMs), provider ?? null, source, slaDays];
    yield await database.transaction(scope, deadline(), async (client) =>
      absentOf(await byKeys<Looked>(client, { text: ABSENT, values })),
    );
    fromMs = untilMs;
  }
}

export function absentOf({ expected, next, missing }: Looked): Absent {
  return { expected, nextMs: next ?? undefined, missing: JSON.parse(missing ?? '[]') as FoundBreak[] };
}
