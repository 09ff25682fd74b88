import { merchantDay } from '#ledger/reading/merchant-day.js';
import type { Consumer, LoggedEvent } from '#outbox/consumers/consumer.js';
import { readEvent } from '#outbox/log/catalogue.js';
import { int8Array, textArray, timestamptzArray } from '#platform/binary-array.js';
import type { TransactionClient } from '#platform/postgres.js';

/**
 * $1 generation, null: the one that is served; then arrays, one element an entry: $2 merchants, $3 accounts, $4 types,
 * $5 currencies, $6 when effective, $7 debits, $8 credits (one of the two is 0). Sorted, so that two transactions which
 * meet on rows never wait for each other in a circle.
 */
const ADD = {
  name: 'add-to-daily-summaries',
  text: `
INSERT INTO daily_summaries AS d (merchant_id, generation, day, account_id, type, currency,
                                  debit_count, debit_amount, credit_count, credit_amount)
SELECT e.merchant_id, coalesce($1::int, (SELECT generation FROM projections WHERE name = 'daily_summaries')),
       ${merchantDay('m', 'e.at')} AS day, e.account_id, e.type, e.currency,
       count(*) FILTER (WHERE e.debit > 0), sum(e.debit), count(*) FILTER (WHERE e.credit > 0), sum(e.credit)
  FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::timestamptz[], $7::bigint[], $8::bigint[])
       AS e (merchant_id, account_id, type, currency, at, debit, credit)
  JOIN merchants m ON m.id = e.merchant_id
 GROUP BY e.merchant_id, day, e.account_id, e.type, e.currency
 ORDER BY e.merchant_id, day, e.account_id, e.type, e.currency
ON CONFLICT (merchant_id, generation, day, account_id, type, currency) DO UPDATE
   SET debit_count = d.debit_count + excluded.debit_count, debit_amount = d.debit_amount + excluded.debit_amount,
       credit_count = d.credit_count + excluded.credit_count, credit_amount = d.credit_amount + excluded.credit_amount`,
};

interface Addition {
  merchantId: bigint;
  accountId: bigint;
  type: string;
  currency: string;
  atMs: number;
  debit: bigint;
  credit: bigint;
}

/**
 * The read model `daily_summaries`: what took effect on an account on a day, by type and currency. Holds are not in it. The day is that
 * of `effective_at` where the merchant then is, so that what comes in late changes days of the past.
 */
export class DailySummaries implements Consumer {
  readonly name: string;
  // Sums do not mind in which order they grow.
  readonly failureScope = 'event';
  readonly #generation: number | undefined;

  /** `generation`: one that is being built, under a name of its own; without, the one that is served. */
  constructor(generation?: number) {
    this.name = generation === undefined ? 'daily_summaries' : `daily_summaries_${generation}`;
    this.#generation = generation;
  }

  async apply(client: TransactionClient, events: readonly LoggedEvent[]): Promise<void> {
    const additions = events.flatMap(additionsOf);
    if (additions.length === 0) return;
    const values = [
      this.#generation ?? null,
      int8Array(additions.map(({ merchantId }) => merchantId)),
      int8Array(additions.map(({ accountId }) => accountId)),
      textArray(additions.map(({ type }) => type)),
      textArray(additions.map(({ currency }) => currency)),
      timestamptzArray(additions.map(({ atMs }) => atMs)),
      int8Array(additions.map(({ debit }) => debit)),
      int8Array(additions.map(({ credit }) => credit)),
    ];
    await client.query({ ...ADD, values });
  }
}

function additionsOf(logged: LoggedEvent): Addition[] {
  const event = readEvent(logged);
  if (!('entries' in event.data)) return [];
  const { entries, type, effective_at: effectiveAt } = event.data;
  return entries
    .filter(({ posted }) => posted !== '0')
    .map(({ account_id, currency, direction, posted }) => ({
      merchantId: event.merchantId,
      accountId: BigInt(account_id),
      type,
      currency,
      atMs: Date.parse(effectiveAt),
      debit: direction === 'debit' ? BigInt(posted) : 0n,
      credit: direction === 'credit' ? BigInt(posted) : 0n,
    }));
}
