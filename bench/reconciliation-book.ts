import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import pg from 'pg';
import { EPOCH_MS, firstSnowflakeAt } from '#kernel/snowflake.js';

/** Payments of a merchant as its provider has told them, and a report that tells each capture. */
export const REPORT_HEAD = 'reference,object_ref,type,gross,fee,net,currency,occurred_at,batch\n';
const AT_MS = Date.parse('2026-03-02T12:00:00Z');
const LINES_AT_ONCE = 10_000;
/** Of every so many rows one is of a payment that nobody knows. */
export const BREAK_EVERY = 1_000;

/** $1 merchant, $2 first id, $3 so many. Each is captured once; those that the report alone has are left out. */
const FILL = `
WITH n AS MATERIALIZED (
  SELECT n, $2::bigint + n AS id, 'acme/pay-' || n AS subject FROM generate_series(0, $3::int - 1) n WHERE n % ${BREAK_EVERY} <> 0
), written AS (
  INSERT INTO payments (merchant_id, id, subject, created_at, provider, provider_ref, status, currency, amount, amount_authorised,
                        amount_capturable, amount_captured, amount_refunded, amount_disputed, amount_settled, parts, transactions)
  SELECT $1, id, subject, snowflake_time(id), 'acme', 'pay-' || n, 'captured', 'EUR', 1000 + n, 1000 + n, 0, 1000 + n, 0, 0, 0,
         json_build_object('captures', json_build_array(json_build_object('object_ref', 'cap-' || n, 'amount', (1000 + n)::text, 'status', 'succeeded')),
                           'refunds', json '[]', 'disputes', json '[]', 'settlements', json '[]', 'findings', json '[]'), '{}'
    FROM n
)
INSERT INTO payment_facts (merchant_id, subject, fact_id, id, received_at, occurred_at, source, event_id, type, amount, object_ref, more, outcome)
SELECT $1, subject, 'captured', id, snowflake_time(id), $4, 'provider', 'captured-' || n, 'captured', 1000 + n, 'cap-' || n,
       '{"amount_kind":"delta"}', 'applied'
  FROM n`;

export async function fillPayments(owner: pg.Client, merchantId: string, rows: number): Promise<void> {
  const first = firstSnowflakeAt(Math.max(EPOCH_MS, Date.now() - 86_400_000));
  await owner.query(FILL, [merchantId, String(first), rows, new Date(AT_MS)]);
  await owner.query('VACUUM ANALYZE payments, payment_facts');
}

export async function writeReport(path: string, rows: number): Promise<void> {
  const file = createWriteStream(path, { mode: 0o644 });
  file.write(REPORT_HEAD);
  const at = new Date(AT_MS).toISOString();
  for (let from = 0; from < rows; from += LINES_AT_ONCE) {
    const lines = Array.from({ length: Math.min(LINES_AT_ONCE, rows - from) }, (_, index) => {
      const n = from + index;
      return `pay-${n},cap-${n},payment,${1_000 + n},7,${993 + n},EUR,${at},\n`;
    });
    if (!file.write(lines.join(''))) await once(file, 'drain');
  }
  file.end();
  await once(file, 'finish');
}

/** Seconds of a plain COPY of the same file into a table of its columns, by the server itself. */
export async function copyFile(owner: pg.Client, path: string): Promise<number> {
  await owner.query(`CREATE TABLE copied (reference text, object_ref text, type text, gross bigint, fee bigint, net bigint, currency text,
                                          occurred_at timestamptz, batch text)`);
  const startedAt = performance.now();
  await owner.query(`COPY copied FROM '${path}' WITH (FORMAT csv, HEADER)`);
  const seconds = (performance.now() - startedAt) / 1_000;
  await owner.query('DROP TABLE copied');
  return seconds;
}
