import { int8Array } from '#platform/binary-array.js';
import type { TransactionClient } from '#platform/postgres.js';

const AMOUNTS = ['gross', 'refunds', 'disputes', 'other', 'adjustments', 'fees', 'net'] as const;

/** Of settlements of one day: how many, and what they come to. */
export type Totals = Record<'settlements' | (typeof AMOUNTS)[number], string>;
/** By currency. */
export type TotalsByCurrency = Record<string, Totals>;

/** $1 merchants, in the scope of these, $2 day. */
const SUM = `
SELECT currency, count(*)::text AS settlements, ${AMOUNTS.map((name) => `sum(${name})::text AS ${name}`).join(', ')}
  FROM settlements WHERE merchant_id = ANY ($1::bigint[]) AND business_date = $2::date GROUP BY currency`;

/** In the caller's transaction, in the scope of the merchants. */
export async function totalsOf(
  client: TransactionClient,
  merchantIds: readonly bigint[],
  businessDate: string,
): Promise<TotalsByCurrency> {
  const values = [int8Array(merchantIds), businessDate];
  const { rows } = await client.query<Totals & { currency: string }>({ text: SUM, values });
  return Object.fromEntries(rows.map(({ currency, ...totals }) => [currency, totals]));
}

export function addTotals(one: TotalsByCurrency, other: TotalsByCurrency): TotalsByCurrency {
  const sums: TotalsByCurrency = { ...one };
  for (const [currency, totals] of Object.entries(other)) {
    const before = sums[currency];
    sums[currency] = before ? sumOf(before, totals) : totals;
  }
  return sums;
}

function sumOf(one: Totals, other: Totals): Totals {
  const sum = (name: keyof Totals) => String(BigInt(one[name]) + BigInt(other[name]));
  const names = Object.keys(one) as (keyof Totals)[];
  return Object.fromEntries(names.map((name) => [name, sum(name)])) as Totals;
}
