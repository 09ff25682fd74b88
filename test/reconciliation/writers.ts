import type { Format, PlantedRow } from './planted.js';

/** The formats as these tests write them; the product reads them, and has no part in this. */

const COLUMNS: Record<Format, string> = {
  generic: 'reference,object_ref,type,gross,fee,net,currency,occurred_at,batch',
  adyen_settlement_detail:
    'Company Account,Merchant Account,Psp Reference,Merchant Reference,Payment Method,Creation Date,TimeZone,Type,Modification Reference,Gross Currency,Gross Debit (GC),Gross Credit (GC),Exchange Rate,Net Currency,Net Debit (NC),Net Credit (NC),Commission (NC),Markup (NC),Scheme Fees (NC),Interchange (NC),Batch Number',
  stripe_payout_reconciliation:
    'automatic_payout_id,automatic_payout_effective_at,balance_transaction_id,created_utc,available_on_utc,currency,gross,fee,net,reporting_category,source_id,description,charge_id,payment_intent_id',
};

/** Cents as a decimal, digit by digit. */
export function major(cents: bigint): string {
  const digits = String(cents < 0n ? -cents : cents).padStart(3, '0');
  return `${cents < 0n ? '-' : ''}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

export function* linesOf(format: Format, rows: Iterable<PlantedRow>, batch: string): Generator<string> {
  yield `${COLUMNS[format]}\n`;
  for (const row of rows) yield `${WRITERS[format](row, row.batch ?? batch).join(',')}\n`;
}

const WRITERS: Record<Format, (row: PlantedRow, batch: string) => readonly (string | bigint)[]> = {
  generic: ({ type, reference, object, gross, fee, currency, atMs }, batch) => [
    ...[reference, object, type, gross, fee, gross - fee, currency, new Date(atMs).toISOString(), batch],
  ],
  adyen_settlement_detail: (row, batch) => {
    const { id, reference, object, gross, fee, currency } = row;
    const net = gross - fee;
    // A second telling of the same capture is another kind of row to Adyen.
    const payment = id.endsWith('/again') ? 'SettledReversed' : 'Settled';
    const type = { payment, refund: 'Refunded', payout: 'MerchantPayout', other: 'DepositCorrection' }[row.type];
    const columns = (amount: bigint) => (amount < 0n ? [major(-amount), ''] : ['', major(amount)]);
    return [
      ...['Shop', 'ShopECOM', reference, '', 'visa', timeOf(row), 'UTC', type, object, currency, ...columns(gross)],
      ...['1', currency, ...columns(net), '', major(fee), '', '', batch],
    ];
  },
  stripe_payout_reconciliation: (row, batch) => {
    const { id, type, reference, object, gross, fee, currency } = row;
    const category = { payment: 'charge', refund: 'refund', payout: 'payout', other: 'other_adjustment' }[type];
    const amounts = [gross, fee, gross - fee].map(major);
    const source = object === '' ? `ch_${id}` : object;
    return [
      ...[batch, '', `txn_${id}_${batch}`, timeOf(row), timeOf(row), currency.toLowerCase(), ...amounts, category],
      ...[source, '', '', reference],
    ];
  },
};

const timeOf = ({ atMs }: PlantedRow): string => new Date(atMs).toISOString().slice(0, 19).replace('T', ' ');
