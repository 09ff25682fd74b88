import { randomUUID } from 'node:crypto';

/** A business of many payments as a processor reports it, with so many faults of each kind planted as one asks for. Made as it is read. */

export const FORMATS = ['generic', 'adyen_settlement_detail', 'stripe_payout_reconciliation'] as const;

export type Format = (typeof FORMATS)[number];

const PROVIDERS = { generic: 'acme', adyen_settlement_detail: 'adyen', stripe_payout_reconciliation: 'stripe' };
/** What a payment may have been spoilt by; the row of it that breaks has this kind. */
export const FAULTS = [
  'missing_in_ledger',
  'missing_in_report',
  'amount_mismatch',
  'currency_mismatch',
  'fee_mismatch',
  'date_mismatch',
  'duplicate',
  'status_mismatch',
  'ambiguous',
] as const;

export type Fault = (typeof FAULTS)[number];

/** A row in no format yet: amounts in cents. */
export interface PlantedRow {
  readonly id: string;
  readonly type: 'payment' | 'refund' | 'payout' | 'other';
  readonly reference: string;
  readonly object: string;
  readonly gross: bigint;
  readonly fee: bigint;
  readonly currency: string;
  readonly atMs: number;
  /** Where it is not the report's own. */
  readonly batch?: string;
}

export interface PlantedFact {
  readonly type: 'captured' | 'refunded' | 'refund_failed' | 'settled';
  readonly amount: bigint;
  readonly objectRef?: string | undefined;
  readonly fee?: bigint;
}

export interface PlantedPayment {
  readonly provider: string;
  readonly reference: string;
  /** What the ledger is told of it; nothing: it knows no such payment. */
  readonly facts: readonly PlantedFact[];
  readonly rows: readonly PlantedRow[];
  /** `<kind> <reference>` of each break that there must be. */
  readonly expected: readonly string[];
  readonly unmatched: number;
}

export interface Planted {
  readonly batch: string;
  readonly atMs: number;
  payments(): Iterable<PlantedPayment>;
  rows(): Iterable<PlantedRow>;
  readonly count: number;
  readonly expected: string[];
  readonly matched: number;
}

/** These end where they begin only when nobody reckons in floating point. */
export const AMOUNTS = [1_999n, 115n, 29n, 4_200n, 100_001n, 7n, 8_675_309n];
const FEE = 3n;

/** `faulty`: of each kind so many payments; each payment is two rows, a capture and a refund. */
export function plant(
  format: Format,
  { payments, faulty, atMs }: { payments: number; faulty: number; atMs: number },
): Planted {
  const of = { format, provider: PROVIDERS[format], atMs, batch: `b${randomUUID().slice(0, 8)}` };
  function* all(): Generator<PlantedPayment> {
    for (let nth = 0; nth < payments; nth += 1) {
      yield plantOne(of, nth, nth < faulty * FAULTS.length ? FAULTS[nth % FAULTS.length] : undefined);
    }
  }
  const [expected, nets]: [string[], Map<string, bigint>] = [[], new Map([['EUR', 0n]])];
  let [count, unmatched] = [0, 0];
  for (const payment of all()) {
    expected.push(...payment.expected);
    count += payment.rows.length;
    unmatched += payment.unmatched;
    for (const { currency, gross, fee } of payment.rows) nets.set(currency, (nets.get(currency) ?? 0n) + gross - fee);
  }
  // With faults, what is paid out is a cent short, too.
  const short = faulty > 0 ? 1n : 0n;
  const more = { type: 'payout', reference: '', object: '', fee: 0n, atMs } as const;
  // What is told in another currency is a batch of its own.
  const payouts = [...nets].map(([currency, net]): PlantedRow => {
    return { ...more, id: `payout of ${currency}`, gross: -net + (currency === 'EUR' ? short : 0n), currency };
  });
  if (faulty > 0) expected.push(`payout_mismatch ${of.batch}`);
  count += payouts.length;
  return {
    ...{ batch: of.batch, atMs, payments: all, count, expected: expected.sort() },
    matched: count - unmatched - Number(short),
    *rows() {
      for (const payment of all()) yield* payment.rows;
      yield* payouts;
    },
  };
}

interface Of {
  readonly format: Format;
  readonly provider: string;
  readonly atMs: number;
  readonly batch: string;
}

function plantOne({ format, provider, atMs, batch }: Of, nth: number, kind: Fault | undefined): PlantedPayment {
  const reference = `${batch}-p${nth}`;
  // Captures of Stripe's have no name of their own: what is told of one is told of its payment.
  const hasNames = format !== 'stripe_payout_reconciliation';
  const amount = (AMOUNTS[nth % AMOUNTS.length] as bigint) + BigInt(nth);
  const back = amount / 2n;
  const refund = `${reference}-r`;
  const capture = hasNames && kind !== 'ambiguous' ? `${reference}-c` : undefined;
  const facts: PlantedFact[] = [
    { type: 'captured', amount, objectRef: capture },
    ...(kind === 'ambiguous' ? [{ type: 'captured', amount } as const] : []),
    { type: 'refunded', amount: back, objectRef: refund },
    ...(kind === 'status_mismatch' ? [{ type: 'refund_failed', amount: back, objectRef: refund } as const] : []),
    ...(kind === 'fee_mismatch' ? [{ type: 'settled', amount, fee: FEE - 1n } as const] : []),
  ];
  const row = { reference, fee: FEE, currency: 'EUR', atMs };
  const first: PlantedRow = {
    ...{ ...row, id: `${reference}/c`, type: 'payment', object: capture ?? '', gross: amount },
    ...(kind === 'amount_mismatch' && { gross: amount - 1n }),
    ...(kind === 'currency_mismatch' && { currency: 'USD' }),
    ...(kind === 'date_mismatch' && { atMs: atMs - 9 * 86_400_000 }),
  };
  const second: PlantedRow = { ...row, id: `${reference}/r`, type: 'refund', object: refund, gross: -back, fee: 0n };
  const rows = kind === 'missing_in_report' ? [second] : [first, second];
  // Told again at another second: another row of the same money.
  if (kind === 'duplicate') rows.push({ ...first, id: `${reference}/again`, atMs: atMs + 1_000 });
  const known = kind === 'missing_in_ledger' ? [] : facts;
  return {
    provider,
    reference,
    facts: known,
    rows,
    expected: breaksOf(kind, reference, hasNames),
    unmatched: unmatchedOf(kind),
  };
}

function breaksOf(kind: Fault | undefined, reference: string, hasNames: boolean): string[] {
  if (kind === undefined) return [];
  // A row of another currency that does not say which capture it is takes none, so that this is told by nobody.
  if (kind === 'currency_mismatch' && !hasNames) return [`${kind} ${reference}`, `missing_in_report ${reference}`];
  // Neither row of a payment that nobody knows has anything to stand against.
  return Array.from({ length: kind === 'missing_in_ledger' ? 2 : 1 }, () => `${kind} ${reference}`);
}

function unmatchedOf(kind: Fault | undefined): number {
  if (kind === undefined || ['missing_in_report', 'fee_mismatch', 'date_mismatch'].includes(kind)) return 0;
  return kind === 'missing_in_ledger' ? 2 : 1;
}
