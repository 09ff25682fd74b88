import type pg from 'pg';
import { EPOCH_MS, firstSnowflakeAt } from '#kernel/snowflake.js';

const ACCOUNTS = 50;
/** Events of one transaction: a commit group's. */
const GROUP = 50;
const GROUPS_A_CALL = 200;

/** $1 ids of merchants, in four time zones. */
const MERCHANTS = `
INSERT INTO merchants (id, name, time_zone, settlement_cutoff, currencies, created_at)
SELECT id, 'Bulk', (ARRAY['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu'])[1 + place % 4], '00:00', '{EUR}', snowflake_time(id)
  FROM unnest($1::bigint[]) WITH ORDINALITY AS m (id, place)`;

/**
 * One transaction after the other, each of one group's events: postings of two entries, told as the writer tells them. Every
 * tenth group is rolled back.
 */
const APPEND = `
CREATE FUNCTION pg_temp.bulk_group(merchants bigint[], first bigint, size int) RETURNS void LANGUAGE sql AS $body$
INSERT INTO events (merchant_id, xid, type, version, occurred_at, data)
SELECT m, (SELECT log_xid()), 'transaction.posted', 1, now(),
       json_build_object('transaction_id', id::text, 'kind', 'posted', 'type', 'payment', 'amount', amount::text, 'currency', 'EUR',
         'parent_id', NULL, 'external_ref', NULL,
         'effective_at', to_char(snowflake_time(id) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
         'entries', json_build_array(
           json_build_object('account_id', (m + 1 + account)::text, 'account_version', n::text, 'direction', 'debit', 'currency', 'EUR',
             'posted', amount::text, 'pending', '0'),
           json_build_object('account_id', (m + 1 + (account + 1) % ${ACCOUNTS})::text, 'account_version', n::text, 'direction', 'credit', 'currency', 'EUR',
             'posted', amount::text, 'pending', '0')))
  FROM (SELECT n, merchants[1 + n % cardinality(merchants)] AS m, ((extract(epoch FROM now()) * 1000)::bigint - ${EPOCH_MS} << 22) + n % 4194304 AS id,
               1 + (n * 7919) % 10000 AS amount, n / cardinality(merchants) % ${ACCOUNTS} AS account
          FROM generate_series(first, first + size - 1) AS n) n
$body$`;
const GROUPS = `
DO $body$ DECLARE
  merchants bigint[] := current_setting('bulk.merchants')::bigint[];
  first bigint := current_setting('bulk.first')::bigint;
BEGIN
  FOR number IN 0 .. current_setting('bulk.groups')::int - 1 LOOP
    IF number % 10 = 9 THEN
      PERFORM pg_temp.bulk_group(merchants, first, ${GROUP});
      ROLLBACK;
    END IF;
    PERFORM pg_temp.bulk_group(merchants, first, ${GROUP});
    first := first + ${GROUP};
    COMMIT;
  END LOOP;
END $body$`;

/**
 * Appends postings to the log of a database of one's own, as a superuser: events alone, in real transactions, a tenth more
 * of which are rolled back. Returns how many events there are.
 */
export async function appendEvents(superuser: pg.Client, events: number, merchants: number): Promise<number> {
  const ids = Array.from(
    { length: merchants },
    (_, index) => firstSnowflakeAt(Date.now() - 60_000) + BigInt(index) * 4_096n,
  );
  await superuser.query(MERCHANTS, [ids]);
  await superuser.query('SET synchronous_commit = off');
  await superuser.query(APPEND);
  await superuser.query(`SELECT set_config('bulk.merchants', $1, false)`, [`{${ids.join(',')}}`]);
  const groups = Math.ceil(events / GROUP);
  for (let done = 0; done < groups; done += GROUPS_A_CALL) {
    const now = Math.min(GROUPS_A_CALL, groups - done);
    await superuser.query(`SELECT set_config('bulk.first', $1, false), set_config('bulk.groups', $2, false)`, [
      String(done * GROUP),
      String(now),
    ]);
    await superuser.query(GROUPS);
  }
  await superuser.query('RESET synchronous_commit');
  return groups * GROUP;
}
