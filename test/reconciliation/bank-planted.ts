import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { firstSnowflakeAt } from '#kernel/snowflake.js';
import { AMOUNTS, type PlantedRow } from './planted.js';

/** An account that payouts leave, come back to, and that processors' batches arrive on, with so many faults of each kind as one asks for. */

type Way = 'payout' | 'return' | 'batch';

const WAYS: readonly Way[] = ['payout', 'return', 'batch'];
const KINDS = [
  'missing_in_ledger',
  'missing_in_report',
  'currency_mismatch',
  'date_mismatch',
  'duplicate',
  'payout_mismatch',
] as const;

type Kind = (typeof KINDS)[number] | 'status_mismatch' | 'ambiguous';

/** What may be wrong with each: what fails or did not come back is ours, and only credits name batches. */
const FAULTS: readonly (readonly [kind: Kind, way: Way])[] = [
  ...KINDS.flatMap((kind) => WAYS.map((way) => [kind, way] as const)),
  ['status_mismatch', 'payout'],
  ['status_mismatch', 'return'],
  ['ambiguous', 'batch'],
];

export interface Entry {
  readonly id: string;
  readonly reference: string;
  readonly text?: string;
  /** Below zero: it leaves the account. */
  readonly amount: bigint;
  readonly currency: string;
  readonly isReturn: boolean;
  readonly atMs: number;
}

export interface PlantedPayout {
  readonly id: string;
  readonly amount: bigint;
  readonly status: 'paid' | 'returned' | 'failed';
}

interface Unit {
  readonly payouts: readonly PlantedPayout[];
  /** Of a processor's report that comes before. */
  readonly batches: readonly PlantedRow[];
  readonly entries: readonly Entry[];
  readonly expected: readonly string[];
  readonly unmatched: number;
}

export interface PlantedBank {
  readonly atMs: number;
  payouts(): Iterable<PlantedPayout>;
  batches(): Iterable<PlantedRow>;
  entries(): Iterable<Entry>;
  /** A statement that does not add up. */
  readonly lacking: string | undefined;
  readonly count: number;
  readonly expected: string[];
  readonly matched: number;
}

interface Of {
  readonly name: string;
  readonly firstId: bigint;
  readonly atMs: number;
}

/** `units`: payouts, returns and batches in all; each is a row or two. `faulty`: so many of each kind and way. */
export function plantBank({ units, faulty, atMs }: { units: number; faulty: number; atMs: number }): PlantedBank {
  const of = { name: `k${randomUUID().slice(0, 8)}`, firstId: firstSnowflakeAt(atMs - 3_600_000), atMs };
  function* all(): Generator<Unit> {
    for (let nth = 0; nth < units; nth += 1) {
      const usual: Way = nth % 50 === 9 ? 'batch' : nth % 10 === 8 ? 'return' : 'payout';
      const [kind, way = usual] = (nth < faulty * FAULTS.length ? FAULTS[nth % FAULTS.length] : undefined) ?? [];
      yield way === 'batch' ? batchUnit(of, nth, kind) : payoutUnit(of, nth, kind, way);
    }
  }
  const expected: string[] = [];
  let [count, unmatched] = [0, 0];
  for (const unit of all()) {
    expected.push(...unit.expected);
    count += unit.entries.length;
    unmatched += unit.unmatched;
  }
  const lacking = faulty > 0 ? `${of.name}-lacking` : undefined;
  if (lacking !== undefined) expected.push(`payout_mismatch ${lacking}`);
  return {
    ...{ atMs, lacking, count, expected: expected.sort(), matched: count - unmatched },
    *payouts() {
      for (const unit of all()) yield* unit.payouts;
    },
    *batches() {
      for (const unit of all()) yield* unit.batches;
    },
    *entries() {
      for (const unit of all()) yield* unit.entries;
    },
  };
}

const amountOf = (nth: number): bigint => (AMOUNTS[nth % AMOUNTS.length] as bigint) + BigInt(nth);

function payoutUnit({ name, firstId, atMs }: Of, nth: number, kind: Kind | undefined, way: 'payout' | 'return'): Unit {
  const isKnown = kind !== 'missing_in_ledger';
  const id = String(firstId + BigInt(nth));
  const reference = isKnown ? id : `${name}-${nth}`;
  const amount = amountOf(nth);
  const [asTold, asContradicted] = way === 'payout' ? (['paid', 'failed'] as const) : (['returned', 'paid'] as const);
  const status = kind === 'status_mismatch' ? asContradicted : asTold;
  const more = { id: `${name}/${nth}`, reference, currency: 'EUR', atMs };
  const told = { ...more, amount: way === 'payout' ? -amount : amount, isReturn: way === 'return' };
  // What comes back had left.
  const left = { ...more, id: `${more.id}/left`, amount: -amount, isReturn: false };
  return {
    payouts: isKnown ? [{ id, amount, status }] : [],
    batches: [],
    entries: [...(way === 'return' && isKnown ? [left] : []), ...spoilt(told, kind)],
    ...endOf(kind, reference),
  };
}

function batchUnit({ name, atMs }: Of, nth: number, kind: Kind | undefined): Unit {
  const batch = `${name}-${nth}`;
  const other = `${batch}-too`;
  const amount = amountOf(nth);
  const reference = `e-${batch}`;
  const text = kind === 'ambiguous' ? `Batch ${batch}, or ${other}` : `Batch ${batch}`;
  const entry = { id: `${name}/${nth}`, reference, text, amount, currency: 'EUR', isReturn: false, atMs };
  const rowsOf = (of: string): PlantedRow[] => {
    const row = { reference: '', object: '', fee: 0n, currency: 'EUR', atMs, batch: of };
    return [
      { ...row, id: `${of}/net`, type: 'other', gross: amount },
      { ...row, id: `${of}/payout`, type: 'payout', gross: -amount },
    ];
  };
  return {
    payouts: [],
    batches: kind === 'missing_in_ledger' ? [] : [...rowsOf(batch), ...(kind === 'ambiguous' ? rowsOf(other) : [])],
    entries: spoilt(entry, kind),
    // What nobody told has the name that the ledger knows it by.
    ...endOf(kind, kind === 'missing_in_report' ? batch : reference),
  };
}

function spoilt(entry: Entry, kind: Kind | undefined): Entry[] {
  const { id, amount, atMs } = entry;
  if (kind === 'missing_in_report') return [];
  if (kind === 'duplicate') return [entry, { ...entry, id: `${id}/again` }];
  return [
    {
      ...entry,
      ...(kind === 'currency_mismatch' && { currency: 'USD' }),
      ...(kind === 'date_mismatch' && { atMs: atMs + 9 * 86_400_000 }),
      ...(kind === 'payout_mismatch' && { amount: amount + 1n }),
    },
  ];
}

function endOf(kind: Kind | undefined, reference: string): Pick<Unit, 'expected' | 'unmatched'> {
  if (kind === undefined) return { expected: [], unmatched: 0 };
  return {
    expected: [`${kind} ${reference}`],
    unmatched: kind === 'missing_in_report' || kind === 'date_mismatch' ? 0 : 1,
  };
}

const PAYOUTS_AT_ONCE = 10_000;

/** $1 merchant, $2 payouts, $3 when they were paid, $4 when they came back. Without their entries. */
const FILL = `
INSERT INTO payouts (merchant_id, id, created_at, amount, currency, fee, destination, status, transactions, timeline)
SELECT $1, id, snowflake_time(id), amount, 'EUR', 0, 'd', status, '{}', CASE status
         WHEN 'failed' THEN '[]' WHEN 'paid' THEN json_build_array(json_build_object('status', 'paid', 'at', $3::text))
         ELSE json_build_array(json_build_object('status', 'paid', 'at', $3::text), json_build_object('status', 'returned', 'at', $4::text)) END
  FROM json_to_recordset($2::json) AS t (id bigint, amount bigint, status text)`;

export async function fillPayouts(owner: pg.Client, merchantId: string, planted: PlantedBank): Promise<void> {
  const [paidAt, returnedAt] = [0, 3_600_000].map((ms) => new Date(planted.atMs + ms).toISOString());
  let page: object[] = [];
  const write = () => owner.query(FILL, [merchantId, JSON.stringify(page), paidAt, returnedAt]);
  for (const { amount, ...more } of planted.payouts()) {
    page.push({ ...more, amount: String(amount) });
    if (page.length < PAYOUTS_AT_ONCE) continue;
    await write();
    page = [];
  }
  await write();
  await owner.query('ANALYZE payouts');
}
