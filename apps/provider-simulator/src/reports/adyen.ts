import { decimalOf } from '../../../simulators/decimal.js';
import { clockTime } from './csv.js';
import type { Format } from './format.js';
import { netOf, type Row } from './row.js';

/**
 * Adyen's settlement details report: two columns for each amount, of which one is filled; the zone beside each time; a fee in four
 * parts. https://docs.adyen.com/reporting/settlement-reconciliation/transaction-level/settlement-details-report
 */
const COLUMNS = [
  'Company Account',
  'Merchant Account',
  'Psp Reference',
  'Merchant Reference',
  'Payment Method',
  'Creation Date',
  'TimeZone',
  'Type',
  'Modification Reference',
  'Gross Currency',
  'Gross Debit (GC)',
  'Gross Credit (GC)',
  'Exchange Rate',
  'Net Currency',
  'Net Debit (NC)',
  'Net Credit (NC)',
  'Commission (NC)',
  'Markup (NC)',
  'Scheme Fees (NC)',
  'Interchange (NC)',
  'Payment Method Variant',
  'Modification Merchant Reference',
  'Batch Number',
  'Reserved4',
  'Reserved5',
  'Reserved6',
  'Reserved7',
  'Reserved8',
  'Reserved9',
  'Reserved10',
  'Booking Date',
  'Booking Date TimeZone',
  'Booking Type',
  'DCC Markup (NC)',
  'Global Card Brand',
  'Advanced (NC)',
  'Acquirer',
];

const TYPES: Record<Row['type'], string> = {
  payment: 'Settled',
  refund: 'Refunded',
  dispute: 'Chargeback',
  dispute_reversed: 'ChargebackReversed',
  fee: 'Fee',
  carried: 'Balancetransfer',
  payout: 'MerchantPayout',
};

export const ADYEN: Format = {
  columns: COLUMNS,
  batchName: (_, dayNumber) => String(dayNumber),
  cells: (row) => ({
    'Company Account': 'Simulated',
    'Merchant Account': 'SimulatedECOM',
    'Psp Reference': row.reference,
    'Creation Date': clockTime(row.atMs, 1),
    TimeZone: 'CET',
    Type: TYPES[row.type],
    'Modification Reference': textOf(row) || row.objectRef,
    'Gross Currency': row.currency,
    'Net Currency': row.currency,
    'Exchange Rate': '1',
    'Batch Number': row.batch,
    ...(row.reference !== '' && { ...sides('Gross', '(GC)', row.gross, row.currency), ...partsOf(row) }),
    ...sides('Net', '(NC)', netOf(row), row.currency),
  }),
};

function textOf({ type, batch, currency, objectRef }: Row): string {
  if (type === 'fee') return `Transaction fees of batch ${batch}`;
  if (type === 'carried') return `Balance transfer ${objectRef} ${currency} batch ${batch}`;
  return type === 'payout' ? `TX${batch}XT ${currency} batch ${batch}` : '';
}

/** The column says which way it goes. */
function sides(name: string, suffix: string, amount: bigint, currency: string): Record<string, string> {
  const [side, size] = amount < 0n ? ['Debit', -amount] : ['Credit', amount];
  return { [`${name} ${side} ${suffix}`]: decimalOf(size, currency) };
}

/** Interchange++: half goes to the issuer, a quarter to the scheme, and the rest is the processor's own. */
function partsOf({ fee, currency }: Row): Record<string, string> {
  if (fee === 0n) return {};
  const [interchange, scheme] = [fee / 2n, fee / 4n];
  return {
    'Markup (NC)': decimalOf(fee - interchange - scheme, currency),
    'Scheme Fees (NC)': decimalOf(scheme, currency),
    'Interchange (NC)': decimalOf(interchange, currency),
  };
}
