import { decimalOf } from '../../../simulators/decimal.js';
import { clockTime } from './csv.js';
import type { Format } from './format.js';
import { netOf, type Row } from './row.js';

/**
 * Stripe's payout reconciliation report, itemized: each row under the name of its balance transaction.
 * https://docs.stripe.com/reports/report-types/payout-reconciliation
 */
const COLUMNS = [
  'automatic_payout_id',
  'automatic_payout_effective_at',
  'balance_transaction_id',
  'created_utc',
  'created',
  'available_on_utc',
  'available_on',
  'currency',
  'gross',
  'fee',
  'net',
  'reporting_category',
  'source_id',
  'description',
  'customer_facing_amount',
  'customer_facing_currency',
  'automatic_payout_effective_at_utc',
  'customer_id',
  'customer_email',
  'charge_id',
  'payment_intent_id',
  'charge_created_utc',
  'invoice_id',
  'payment_method_type',
  'card_brand',
  'card_funding',
  'card_country',
  'statement_descriptor',
  'dispute_reason',
];

const CATEGORIES: Record<Row['type'], string> = {
  payment: 'charge',
  refund: 'refund',
  dispute: 'dispute',
  dispute_reversed: 'dispute_reversal',
  fee: 'fee',
  carried: 'other_adjustment',
  payout: 'payout',
};

export const STRIPE: Format = {
  columns: COLUMNS,
  batchName: (day) => `po_${day.replaceAll('-', '')}`,
  cells: (row) => ({
    automatic_payout_id: row.batch,
    balance_transaction_id: transactionOf(row),
    created_utc: clockTime(row.atMs),
    created: clockTime(row.atMs),
    available_on_utc: clockTime(row.atMs),
    currency: row.currency.toLowerCase(),
    gross: decimalOf(row.gross, row.currency),
    fee: decimalOf(row.fee, row.currency),
    net: decimalOf(netOf(row), row.currency),
    reporting_category: CATEGORIES[row.type],
    source_id: row.objectRef || row.batch,
    description: row.reference === '' ? `${CATEGORIES[row.type]}, ${row.batch}` : `Order ${row.reference}`,
    payment_intent_id: row.reference,
    ...(row.reference !== '' && { charge_id: `ch_${row.reference}` }),
  }),
};

function transactionOf({ type, reference, objectRef, batch, currency }: Row): string {
  const of = reference === '' ? `${batch}_${currency}${objectRef}` : `${reference}_${objectRef}`;
  return `txn_${CATEGORIES[type]}_${of}`;
}
