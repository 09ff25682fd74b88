import { randomUUID } from 'node:crypto';
import type { Json } from '../support/api.js';

/** A business of many payments as a processor reports it, with so many faults of each kind planted as one asks for. */

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
  readonly type: 'payment' | 'refund' | 'payout';
  readonly reference: string;
  readonly object: string;
  readonly gross: bigint;
  readonly fee: bigint;
  readonly currency: string;
  readonly atMs: number;
}

export interface Planted {
  readonly events: Json[];
  readonly rows: PlantedRow[];
  /** `<kind> <reference>` of each break that there must be. */
  readonly expected: string[];
  readonly batch: string;
  readonly matched: number;
}

/** These end where they begin only when nobody reckons in floating point. */
const AMOUNTS = [1_999n, 115n, 29n, 4_200n, 100_001n, 7n, 8_675_309n];
const FEE = 3n;

/** `faulty`: of each kind so many payments; each payment is two rows, a capture and a refund. */
export function plant(
  format: Format,
  { payments, faulty, atMs }: { payments: number; faulty: number; atMs: number },
): Planted {
  const of = { format, provider: PROVIDERS[format], atMs, batch: `b${randomUUID().slice(0, 8)}` };
  const kinds = possible(format);
  const all = Array.from({ length: payments }, (_, nth) => {
    const kind = nth < faulty * kinds.length ? kinds[nth % kinds.length] : undefined;
    return plantOne(of, nth, kind);
  });
  const rows = all.flatMap((one) => one.rows);
  const net = rows.reduce((sum, { gross, fee }) => sum + gross - fee, 0n);
  const more = { type: 'payout', reference: '', object: '', fee: 0n, currency: 'EUR', atMs } as const;
  // What is told in another currency would be a batch of its own.
  const foreign = rows
    .filter(({ currency }) => currency !== 'EUR')
    .reduce((sum, { gross, fee }) => sum + gross - fee, 0n);
  // With faults, what is paid out is a cent short, too.
  const short = faulty > 0 ? 1n : 0n;
  const payouts: PlantedRow[] = [{ ...more, id: 'payout', gross: -(net - foreign) + short }];
  if (foreign !== 0n) payouts.push({ ...more, id: 'payout of dollars', gross: -foreign, currency: 'USD' });
  const expected = [...all.flatMap((one) => one.expected), ...(faulty > 0 ? [`payout_mismatch ${of.batch}`] : [])];
  return {
    events: all.flatMap((one) => one.events),
    rows: [...rows, ...payouts],
    expected: expected.sort(),
    batch: of.batch,
    matched: rows.length + payouts.length - Number(short) - all.reduce((sum, { unmatched }) => sum + unmatched, 0),
  };
}

/** Captures of Stripe's have no name of their own: what is told of one is told of its payment. */
function possible(format: Format): readonly Fault[] {
  return format === 'stripe_payout_reconciliation' ? FAULTS.filter((kind) => kind !== 'status_mismatch') : FAULTS;
}

interface Of {
  readonly format: Format;
  readonly provider: string;
  readonly atMs: number;
  readonly batch: string;
}

function plantOne({ format, provider, atMs, batch }: Of, nth: number, kind: Fault | undefined) {
  const reference = `${batch}-p${nth}`;
  const hasNames = format !== 'stripe_payout_reconciliation';
  const amount = (AMOUNTS[nth % AMOUNTS.length] as bigint) + BigInt(nth);
  const back = amount / 2n;
  const [capture, refund] = [`${reference}-c`, `${reference}-r`];
  const occurred_at = new Date(atMs).toISOString();
  const event = (type: string, size: bigint, object_ref?: string, more: object = {}): Json => {
    const told = { provider, event_id: randomUUID(), payment_ref: reference, type, currency: 'EUR', occurred_at };
    return { ...told, amount: String(size), ...(object_ref !== undefined && { object_ref }), ...more };
  };
  const name = hasNames && kind !== 'ambiguous' ? capture : undefined;
  const events = [
    event('authorised', amount * 3n),
    event('captured', amount, name),
    ...(kind === 'ambiguous' ? [event('captured', amount)] : []),
    event('refunded', back, refund),
    ...(kind === 'status_mismatch' ? [event('refund_failed', back, refund)] : []),
    ...(kind === 'fee_mismatch' ? [event('settled', amount, undefined, { fee: String(FEE - 1n) })] : []),
  ];
  const object = hasNames && kind !== 'ambiguous' ? capture : '';
  const first: PlantedRow = {
    ...{ id: `${reference}/c`, type: 'payment', reference, object, gross: amount, fee: FEE, currency: 'EUR', atMs },
    ...(kind === 'amount_mismatch' && { gross: amount - 1n }),
    ...(kind === 'currency_mismatch' && { currency: 'USD' }),
    ...(kind === 'date_mismatch' && { atMs: atMs - 9 * 86_400_000 }),
  };
  const second: PlantedRow = {
    ...first,
    id: `${reference}/r`,
    type: 'refund',
    object: refund,
    gross: -back,
    fee: 0n,
    currency: 'EUR',
    atMs,
  };
  const known = kind === 'missing_in_ledger' ? [] : events;
  const rows = kind === 'missing_in_report' ? [second] : [first, second];
  // Told again at another second: another row of the same money.
  if (kind === 'duplicate') rows.push({ ...first, id: `${reference}/again`, atMs: atMs + 1_000 });
  return { events: known, rows, expected: breaksOf(kind, reference, hasNames), unmatched: unmatchedOf(kind) };
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
