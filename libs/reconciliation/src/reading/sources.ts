import { adyenDigits, stripeDigits } from '#payments/providers/minor-units.js';
import { ROW_TYPES, type RowType } from '../report-row.js';
import { type DigitsOf, majorUnits, minorUnits } from './amount.js';

/** An amount in one column, signed, or in two of which one is filled: the sign comes from the column. */
export type AmountColumns = { readonly signed: string } | { readonly debit: string; readonly credit: string };

/** How a processor's CSV says what a row is: columns by their names. */
export interface CsvProfile {
  readonly format: 'csv';
  /** Whose payments it tells of; undefined: anybody's. */
  readonly provider: 'adyen' | 'stripe' | undefined;
  /** Where a row says whose it is, of the provider's accounts; undefined: nowhere. */
  readonly account?: string;
  readonly type: string;
  readonly types: Readonly<Record<string, RowType>>;
  /** What a type is that stands not in `types`; undefined: the row is bad. */
  readonly otherTypes: RowType | undefined;
  /** The first one that is filled. */
  readonly reference: readonly string[];
  readonly objectRef: { readonly column: string; readonly of: readonly RowType[] };
  readonly gross: AmountColumns;
  readonly net: AmountColumns;
  /** Their sum is the fee. */
  readonly fees: readonly string[];
  /** Those that are filled must agree. */
  readonly currencies: readonly string[];
  readonly digits: DigitsOf;
  /** `zone`: a column, or an abbreviation; undefined: each time says its own. */
  readonly time: { readonly column: string; readonly zone?: { readonly column: string } | string };
  readonly batch: string;
  /** What the source tells its rows apart by; of `computed`, in our words, as different files may write it differently. */
  readonly identity: { readonly columns: readonly string[]; readonly computed: readonly ('gross' | 'occurredAtMs')[] };
  /** What need not be there at all. */
  readonly optional: readonly string[];
}

export interface Camt053Profile {
  readonly format: 'camt053';
  readonly provider: undefined;
}

export type Profile = CsvProfile | Camt053Profile;

const OBJECTS: readonly RowType[] = ['payment', 'refund', 'dispute', 'dispute_reversed'];

/** Minor units and our own words: for any processor whose report somebody rewrites. */
const GENERIC: CsvProfile = {
  format: 'csv',
  provider: undefined,
  type: 'type',
  types: Object.fromEntries(ROW_TYPES.map((type) => [type, type])),
  otherTypes: undefined,
  reference: ['reference'],
  objectRef: { column: 'object_ref', of: ROW_TYPES },
  gross: { signed: 'gross' },
  net: { signed: 'net' },
  fees: ['fee'],
  currencies: ['currency'],
  digits: minorUnits(),
  time: { column: 'occurred_at' },
  batch: 'batch',
  identity: {
    columns: ['reference', 'object_ref', 'type', 'currency', 'batch'],
    computed: ['gross', 'occurredAtMs'],
  },
  optional: [],
};

/**
 * https://docs.adyen.com/reporting/settlement-reconciliation/transaction-level/settlement-details-report. The payment is named by its
 * Psp Reference, its capture, refund or dispute by the Modification Reference: as Adyen's webhooks name them.
 */
const ADYEN: CsvProfile = {
  format: 'csv',
  provider: 'adyen',
  account: 'Merchant Account',
  type: 'Type',
  types: {
    Settled: 'payment',
    SettledReversed: 'payment',
    Refunded: 'refund',
    RefundedReversed: 'refund',
    Chargeback: 'dispute',
    SecondChargeback: 'dispute',
    ChargebackReversed: 'dispute_reversed',
    Fee: 'fee',
    MiscCosts: 'fee',
    PaymentCost: 'fee',
    InvoiceDeduction: 'fee',
    MerchantPayout: 'payout',
    // What another batch has left or lacks makes this one's payout larger or smaller, and reaches no bank by itself.
    Balancetransfer: 'other',
  },
  // DepositCorrection, ManualCorrected, BankInstructionReturned and whatever else changes what a batch comes to.
  otherTypes: 'other',
  reference: ['Psp Reference'],
  objectRef: { column: 'Modification Reference', of: OBJECTS },
  gross: { debit: 'Gross Debit (GC)', credit: 'Gross Credit (GC)' },
  net: { debit: 'Net Debit (NC)', credit: 'Net Credit (NC)' },
  fees: ['Commission (NC)', 'Markup (NC)', 'Scheme Fees (NC)', 'Interchange (NC)'],
  currencies: ['Gross Currency', 'Net Currency'],
  digits: majorUnits(adyenDigits),
  time: { column: 'Creation Date', zone: { column: 'TimeZone' } },
  batch: 'Batch Number',
  identity: {
    columns: ['Merchant Account', 'Psp Reference', 'Modification Reference', 'Type', 'Batch Number'],
    computed: ['gross'],
  },
  optional: ['Commission (NC)', 'Markup (NC)', 'Scheme Fees (NC)', 'Interchange (NC)'],
};

/**
 * https://docs.stripe.com/reports/report-types/payout-reconciliation, itemized. Our payments of Stripe's are PaymentIntents, or charges
 * without one; a refund or dispute is the object that the row's source is. Captures have no name in Stripe's events: nor here.
 */
const STRIPE: CsvProfile = {
  format: 'csv',
  provider: 'stripe',
  type: 'reporting_category',
  types: {
    charge: 'payment',
    payment: 'payment',
    charge_failure: 'payment',
    // What a capture leaves of the authorised amount: both rows together are what was captured.
    partial_capture_reversal: 'payment',
    refund: 'refund',
    refund_failure: 'refund',
    dispute: 'dispute',
    dispute_reversal: 'dispute_reversed',
    fee: 'fee',
    network_cost: 'fee',
    tax: 'fee',
    payout: 'payout',
    payout_reversal: 'payout',
  },
  otherTypes: 'other',
  reference: ['payment_intent_id', 'charge_id'],
  objectRef: { column: 'source_id', of: ['refund', 'dispute', 'dispute_reversed'] },
  gross: { signed: 'gross' },
  net: { signed: 'net' },
  fees: ['fee'],
  currencies: ['currency'],
  digits: majorUnits(stripeDigits),
  time: { column: 'created_utc', zone: 'UTC' },
  batch: 'automatic_payout_id',
  identity: { columns: ['balance_transaction_id'], computed: [] },
  optional: ['charge_id'],
};

/** What a report can be of: how each is read. */
export const SOURCES = {
  generic: GENERIC,
  adyen_settlement_detail: ADYEN,
  stripe_payout_reconciliation: STRIPE,
  camt053: { format: 'camt053', provider: undefined },
} as const satisfies Readonly<Record<string, Profile>>;

export type Source = keyof typeof SOURCES;

/** Every column that a profile speaks of. */
export function columnsOf(profile: CsvProfile): { needed: string[]; optional: string[] } {
  const { type, reference, objectRef, gross, net, fees, currencies, time, batch, identity } = profile;
  const zone = typeof time.zone === 'object' ? [time.zone.column] : [];
  const of = (amount: AmountColumns) => ('signed' in amount ? [amount.signed] : [amount.debit, amount.credit]);
  const all = new Set([
    ...[type, ...reference, objectRef.column, ...of(gross), ...of(net), ...fees],
    ...[...currencies, time.column, ...zone, batch, ...identity.columns],
  ]);
  return {
    needed: [...all].filter((name) => !profile.optional.includes(name)),
    optional: [...profile.optional],
  };
}
