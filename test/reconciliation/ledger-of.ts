import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { firstSnowflakeAt } from '#kernel/snowflake.js';
import type { Json, Merchant } from '../support/api.js';
import type { Planted, PlantedPayment } from './planted.js';

/** How the ledger comes to know what is planted: told by its provider, or written as it would be, where that would take too long. */

/** Events that a provider may send at once. */
const EVENTS_AT_ONCE = 1_000;
const PAYMENTS_AT_ONCE = 5_000;

export async function tellPlanted({ client }: Merchant, planted: Planted): Promise<void> {
  const events = [...planted.payments()].flatMap((payment) => eventsOf(payment, planted.atMs));
  for (let from = 0; from < events.length; from += EVENTS_AT_ONCE) {
    const { body, text } = await client.post('/v1/provider_events/batch', {
      body: { events: events.slice(from, from + EVENTS_AT_ONCE) },
    });
    const outcomes = new Set(body.results?.map(({ outcome }: Json) => outcome));
    if (outcomes.size !== 1 || !outcomes.has('applied')) throw new Error(text.slice(0, 500));
  }
}

function eventsOf({ provider, reference, facts }: PlantedPayment, atMs: number): Json[] {
  const [first] = facts;
  if (first === undefined) return [];
  const occurred_at = new Date(atMs).toISOString();
  return [{ type: 'authorised', amount: first.amount * 3n }, ...facts].map(
    ({ amount, objectRef, fee, ...fact }: Json) => ({
      ...{ ...fact, provider, event_id: randomUUID(), payment_ref: reference, currency: 'EUR', occurred_at },
      ...{ amount: String(amount), object_ref: objectRef, fee: fee === undefined ? undefined : String(fee) },
    }),
  );
}

/** $1 merchant, $2 first id, $3 payments, $4 when it happened. */
const FILL = `
WITH told AS MATERIALIZED (
  SELECT t.*, $2::bigint + t.n AS id, t.provider || '/' || t.ref AS subject
    FROM json_to_recordset($3::json) AS t (n bigint, provider text, ref text, captured bigint, refunded bigint, settled bigint, parts json, facts json)
), written AS (
  INSERT INTO payments (merchant_id, id, subject, created_at, provider, provider_ref, status, currency, amount, amount_authorised,
                        amount_capturable, amount_captured, amount_refunded, amount_disputed, amount_settled, parts, transactions)
  SELECT $1, id, subject, snowflake_time(id), provider, ref, 'captured', 'EUR', captured, captured, 0, captured, refunded, 0, settled, parts, '{}'
    FROM told
)
INSERT INTO payment_facts (merchant_id, subject, fact_id, id, received_at, occurred_at, source, event_id, type, amount, object_ref, more, outcome)
SELECT $1, t.subject, f.nth::text, t.id, snowflake_time(t.id), $4, 'provider', t.ref || '/' || f.nth, f.fact ->> 'type', (f.fact ->> 'amount')::bigint,
       f.fact ->> 'object_ref', json_strip_nulls(json_build_object('amount_kind', 'delta', 'fee', f.fact ->> 'fee')), 'applied'
  FROM told t CROSS JOIN LATERAL json_array_elements(t.facts) WITH ORDINALITY AS f (fact, nth)`;

/** As the ledger would have them, without their entries. */
export async function fillPlanted(owner: pg.Client, merchantId: string, planted: Planted): Promise<void> {
  let id = firstSnowflakeAt(Date.now() - 86_400_000);
  const write = async (some: readonly object[]) => {
    await owner.query(FILL, [merchantId, String(id), JSON.stringify(some), new Date(planted.atMs)]);
    id += BigInt(some.length);
  };
  let page: object[] = [];
  for (const payment of planted.payments()) {
    if (payment.facts.length > 0) page.push(filledOf(payment, page.length));
    if (page.length < PAYMENTS_AT_ONCE) continue;
    await write(page);
    page = [];
  }
  await write(page);
  await owner.query('ANALYZE payments, payment_facts');
}

function filledOf({ provider, reference, facts }: PlantedPayment, n: number): object {
  const of = (type: string) => facts.filter((fact) => fact.type === type);
  const total = (type: string) => String(of(type).reduce((sum, { amount }) => sum + amount, 0n));
  const failed = new Set(of('refund_failed').map(({ objectRef }) => objectRef));
  const movements = (type: string) =>
    of(type).map(({ amount, objectRef = null }) => {
      const status = objectRef !== null && failed.has(objectRef) ? 'failed' : 'succeeded';
      return { object_ref: objectRef, amount: String(amount), status };
    });
  const settlements = of('settled').map(({ amount, fee }) => ({
    object_ref: null,
    amount: String(amount),
    fee: String(fee),
  }));
  const parts = {
    captures: movements('captured'),
    refunds: movements('refunded'),
    disputes: [],
    settlements,
    findings: [],
  };
  return {
    ...{
      n,
      provider,
      ref: reference,
      captured: total('captured'),
      refunded: total('refunded'),
      settled: total('settled'),
      parts,
    },
    facts: facts.map(({ type, amount, objectRef, fee }) => ({
      type,
      amount: String(amount),
      object_ref: objectRef,
      fee: fee && String(fee),
    })),
  };
}
