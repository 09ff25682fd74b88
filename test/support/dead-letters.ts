import type pg from 'pg';

/** A dead letter of a transaction's event, as a consumer leaves one; answers its id. */
export async function plantDeadLetter(owner: pg.Client, transactionId: string): Promise<string> {
  await owner.query(
    `INSERT INTO dead_letters (merchant_id, id, consumer, xid, seq, event_type, event_version, parks, tries, error, created_at)
     SELECT merchant_id, $1, 'planted', xid, seq, type, version, 'event', 3, 'Error: planted', snowflake_time($1)
       FROM events WHERE data ->> 'transaction_id' = $1::bigint::text`,
    [transactionId],
  );
  return transactionId;
}
