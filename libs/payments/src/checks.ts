import { isDeepStrictEqual } from 'node:util';
import { ownedTransactionsCheck } from '#ledger/verify/owned-transactions.js';
import type { Check } from '#platform/verify.js';
import { PAYMENT_ACCOUNTS } from './accounts.js';
import { ITEM_CHECKS } from './item-checks.js';
import { KnownPayment } from './known-payment.js';
import { FACT_JSON, type FactRow, PAYMENT_JSON, type PaymentParts, type PaymentRow } from './payment-rows.js';
import type { Position } from './position.js';
import { shownOf } from './shown.js';
import { TIMER_CHECKS } from './timers/checks.js';

const PAYMENTS = 'SELECT count(*) FROM payments WHERE merchant_id = $1';
const FACTS = 'SELECT count(*) FROM payment_facts WHERE merchant_id = $1';

/** What each payment's transactions come to on each account; debits count up. */
const MOVED = `
SELECT t.payment_id, a.code, sum(e.direction * e.posted_amount) AS posted, sum(e.direction * e.pending_amount) AS pending
  FROM (SELECT id AS payment_id, unnest(transactions) AS transaction_id FROM payments WHERE merchant_id = $1) t
  JOIN entries e ON e.merchant_id = $1 AND e.transaction_id = t.transaction_id
  JOIN accounts a ON a.merchant_id = $1 AND a.id = e.account_id
 GROUP BY t.payment_id, a.code`;

/** The transactions that payments name. */
/** Each payment with its facts and what it has on its accounts. */
const WHOLE = `
SELECT ${PAYMENT_JSON} AS payment, f.facts, m.moved
  FROM payments p
  LEFT JOIN (SELECT f.subject, json_agg(${FACT_JSON}) AS facts FROM payment_facts f WHERE f.merchant_id = $1 GROUP BY f.subject) f
    ON f.subject = p.subject
  LEFT JOIN (SELECT payment_id, json_agg(json_build_array(code, posted::text, pending::text)) AS moved FROM (${MOVED}) m GROUP BY payment_id) m
    ON m.payment_id = p.id
 WHERE p.merchant_id = $1`;

/** `overcaptured` depends on a setting, which may have been another one. */
const OPTIONS = { overcapturePercent: 0 };

/** What a payment is not, of what its facts make of it. */
function disagreement(row: Record<string, unknown>): string | undefined {
  const payment = JSON.parse(row.payment as string) as PaymentRow;
  const facts = JSON.parse((row.facts as string | null) ?? '[]') as FactRow[];
  const moved = JSON.parse((row.moved as string | null) ?? '[]') as [code: string, posted: string, pending: string][];
  const known = KnownPayment.of(payment, facts);
  const standing = known.position(OPTIONS);
  const wrong = standing.exists
    ? [...wrongShown(payment, standing, known), ...wrongOutcomes(facts, standing), ...wrongAccounts(moved, standing)]
    : ['is there without a fact that founds it'];
  return wrong.length === 0 ? undefined : `payment ${payment.id}: ${wrong.join('; ')}`;
}

function wrongShown(payment: PaymentRow, standing: Position, known: KnownPayment): string[] {
  const { parts, ...plain } = shownOf(standing, known.facts);
  const wrong = Object.entries(plain).flatMap(([name, value]) => {
    const shown = payment[name as keyof typeof plain];
    return shown === value ? [] : [`${name} is ${shown}, its facts say ${value}`];
  });
  const lists = Object.keys(parts).filter((list) => {
    const [shown, said] = [payment.parts, parts].map((of) => comparable(of, list as keyof PaymentParts));
    return !isDeepStrictEqual(shown, said);
  });
  return [...wrong, ...lists.map((list) => `${list} are not those of its facts`)];
}

function comparable(parts: PaymentParts, list: keyof PaymentParts): unknown {
  return list === 'findings' ? parts.findings.filter(({ kind }) => kind !== 'overcaptured') : parts[list];
}

function wrongOutcomes(facts: readonly FactRow[], { parked, rejected }: Position): string[] {
  const [waiting, placeless] = [new Set(parked), new Set(rejected)];
  return facts.flatMap(({ fact_id, outcome, contradicts }) => {
    const said = contradicts || placeless.has(fact_id) ? 'rejected' : waiting.has(fact_id) ? 'parked' : 'applied';
    if (outcome === 'discarded' || said === outcome || (said === 'applied' && outcome === 'stale')) return [];
    return [`its fact ${fact_id} is ${outcome} and should be ${said}`];
  });
}

function wrongAccounts(moved: readonly [string, string, string][], { accounts, currency }: Position): string[] {
  const standing = new Map(moved.map(([code, posted, pending]) => [code, `${posted} posted, ${pending} pending`]));
  const expected = PAYMENT_ACCOUNTS.map((name): [string, string] => {
    const { posted, pending } = accounts[name];
    return [`${name}:${currency}`, `${posted} posted, ${pending} pending`];
  });
  const nothing = '0 posted, 0 pending';
  const codes = new Set([...standing.keys(), ...expected.map(([code]) => code)]);
  const said = new Map(expected);
  return [...codes].flatMap((code) => {
    const [has, should] = [standing.get(code) ?? nothing, said.get(code) ?? nothing];
    return has === should ? [] : [`its transactions come to ${has} on ${code}, its facts to ${should}`];
  });
}

export const PAYMENT_CHECKS: readonly Check[] = [
  ...TIMER_CHECKS,
  ...ITEM_CHECKS,
  {
    name: 'every payment is what its facts say, and has as much on its accounts',
    count: PAYMENTS,
    examine: { rows: WHOLE, offender: disagreement },
  },
  {
    // By itself, of what is shown: what `position` says is not asked.
    name: 'what payments show adds up, also with what their transactions come to',
    count: PAYMENTS,
    find: `
WITH moved AS MATERIALIZED (
  SELECT payment_id, sum(pending) FILTER (WHERE code LIKE 'provider_receivable:%') AS held,
         -sum(posted) FILTER (WHERE code LIKE 'merchant_payable:%') AS payable,
         sum(posted) FILTER (WHERE code LIKE 'cash:%' OR code LIKE 'provider_fees:%') AS settled
    FROM (${MOVED}) m GROUP BY payment_id
), shown AS (
  SELECT p.*, (SELECT coalesce(sum((d ->> 'fee')::numeric), 0) FROM json_array_elements(p.parts -> 'disputes') d) AS dispute_fees,
         (SELECT coalesce(sum((c ->> 'amount')::numeric) FILTER (WHERE c ->> 'status' NOT IN ('failed', 'reversed')), 0)
            FROM json_array_elements(p.parts -> 'captures') c) AS captures,
         (SELECT coalesce(sum((r ->> 'amount')::numeric) FILTER (WHERE r ->> 'status' NOT IN ('failed', 'reversed')), 0)
            FROM json_array_elements(p.parts -> 'refunds') r) AS refunds
    FROM payments p WHERE p.merchant_id = $1
)
SELECT format('payment %s: %s captured, %s refunded, %s disputed, %s held, %s settled', s.id, s.amount_captured, s.amount_refunded,
              s.amount_disputed, s.amount_capturable, s.amount_settled)
  FROM shown s LEFT JOIN moved m ON m.payment_id = s.id
 WHERE s.amount_captured <> s.captures OR s.amount_refunded <> s.refunds OR s.amount_refunded > s.amount_captured
    OR s.amount_capturable <> coalesce(m.held, 0) OR s.amount_settled <> coalesce(m.settled, 0)
    OR s.amount_captured - s.amount_refunded - s.amount_disputed - s.dispute_fees <> coalesce(m.payable, 0) LIMIT $2`,
  },
  ownedTransactionsCheck('payment'),
  {
    name: 'facts without a payment wait, and those that were applied have their transaction',
    count: FACTS,
    find: `
SELECT format('fact %s of %s: %s', f.fact_id, f.subject, f.outcome)
  FROM payment_facts f LEFT JOIN payments p ON p.merchant_id = $1 AND p.subject = f.subject
 WHERE f.merchant_id = $1
   AND (p.id IS NULL AND f.outcome NOT IN ('parked', 'rejected', 'discarded')
        OR f.transaction_id IS NOT NULL AND (p.id IS NULL OR f.transaction_id <> ALL (p.transactions))) LIMIT $2`,
  },
];
