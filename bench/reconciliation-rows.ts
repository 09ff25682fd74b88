import { createReadStream } from 'node:fs';
import { Deadline } from '#platform/deadline.js';
import { Database, type TransactionClient } from '#platform/postgres.js';
import { readReport } from '#reconciliation/reading/read-report.js';
import type { ReportRow } from '#reconciliation/report-row.js';

/** Rows of one transaction, as a row at a time would be committed for far longer than it is matched. */
const AT_ONCE = 1_000;
/** Of the report: no row takes another time than the others. */
const ROWS_MAX = 10_000;

/** $1 merchant, $2 reference. */
const PAYMENT = {
  name: 'row-payment',
  text: 'SELECT id, subject, currency, parts FROM payments WHERE merchant_id = $1 AND provider_ref = $2',
};
/** $1 merchant, $2 item. */
const TAKEN = {
  name: 'row-taken',
  text: 'SELECT 1 FROM reconciled_items WHERE merchant_id = $1 AND item = $2',
};
/** $1 merchant, $2 subject, $3 object. */
const FACT = {
  name: 'row-fact',
  text: 'SELECT occurred_at FROM payment_facts WHERE merchant_id = $1 AND subject = $2 AND object_ref = $3',
};
const KEEP_ROW = {
  name: 'row-keep',
  text: `INSERT INTO report_rows (merchant_id, source, identity, reconciliation_id, line, type, reference, object_ref, gross, fee, net, currency, occurred_at,
                                  batch, match_reconciliation_id, match_line, rule)
         VALUES ($1, 'generic', $2::text::uuid, 1, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
};
const KEEP_ITEM = {
  name: 'row-keep-item',
  text: 'INSERT INTO reconciled_items (merchant_id, item, match_reconciliation_id, match_line) VALUES ($1, $2, 1, $3)',
};

/**
 * What matching in sets is held against: each row an object, looked up, decided and written by itself, by prepared statements. Of the law only
 * what these reports need: the exact match. Returns rows a second, reading included.
 */
export async function matchByRows(runtimeUrl: string, merchantId: bigint, path: string): Promise<number> {
  const database = new Database(runtimeUrl, { poolSize: 1, connectTimeoutMs: 5_000, applicationName: 'row objects' });
  const startedAt = performance.now();
  let [rows, matched] = [0, 0];
  try {
    for await (const some of rowsOf(path)) {
      matched += await database.transaction({ merchantIds: [merchantId] }, Deadline.after(60_000), async (client) => {
        let exact = 0;
        for (const row of some) if (await matchRow(client, merchantId, row)) exact += 1;
        return exact;
      });
      rows += some.length;
    }
  } finally {
    await database.close();
  }
  if (matched < rows * 0.99) throw new Error(`${matched} of ${rows} rows are matched`);
  return (rows / (performance.now() - startedAt)) * 1_000;
}

async function* rowsOf(path: string): AsyncGenerator<ReportRow[]> {
  const rows: ReportRow[] = [];
  let read = 0;
  for await (const batch of readReport('generic', createReadStream(path))) {
    for (const row of batch.rows) {
      rows.push(row);
      read += 1;
      if (rows.length === AT_ONCE) yield rows.splice(0);
      if (read === ROWS_MAX) return;
    }
  }
  yield rows;
}

async function matchRow(client: TransactionClient, merchantId: bigint, row: ReportRow): Promise<boolean> {
  const item = await itemOf(client, merchantId, row);
  const { identity, line, type, reference, objectRef, gross, fee, net, currency, occurredAtMs, batch } = row;
  const match = item === undefined ? [null, null, null] : [1, line, 'exact'];
  const told = [identity, line, type, reference, objectRef, gross, fee, net, currency, new Date(occurredAtMs), batch];
  await client.query({ ...KEEP_ROW, values: [merchantId, ...told, ...match] });
  if (item !== undefined) await client.query({ ...KEEP_ITEM, values: [merchantId, item, line] });
  return item !== undefined;
}

interface Payment {
  id: bigint;
  subject: string;
  currency: string;
  /** JSON. */
  parts: string;
}

/** The capture that the row is of: of its object, amount and currency, about its time, and of no other row. */
async function itemOf(client: TransactionClient, merchantId: bigint, row: ReportRow): Promise<string | undefined> {
  const { rows } = await client.query<Payment & Record<string, unknown>>({
    ...PAYMENT,
    values: [merchantId, row.reference],
  });
  const [payment] = rows;
  if (rows.length !== 1 || payment?.currency !== row.currency) return undefined;
  const { captures } = JSON.parse(payment.parts) as { captures: { object_ref: string; amount: string }[] };
  const isOfRow = captures.some((one) => one.object_ref === row.objectRef && BigInt(one.amount) === row.gross);
  const item = `payment/${payment.id}/payment/${row.objectRef}`;
  const taken = await client.query({ ...TAKEN, values: [merchantId, item] });
  const fact = await client.query({ ...FACT, values: [merchantId, payment.subject, row.objectRef] });
  return isOfRow && taken.rows.length === 0 && fact.rows.length > 0 ? item : undefined;
}
