import { Deadline } from '#platform/deadline.js';
import type { Database, TransactionClient } from '#platform/postgres.js';

const STATEMENT_MS = 10_000;
const MERCHANTS_AT_ONCE = 500;

/** A consumer that is at work is not forgotten: its next commit would be refused, and its effects remain. */
export class ForgetRefused extends Error {
  override name = 'ForgetRefused';
}

export interface KnownConsumer {
  consumer: string;
  /** When events were last handed to it. */
  handedAtMs: number;
  /** Dead letters about which nothing has been decided or carried out, and streams that wait. */
  openLetters: number;
  parkedStreams: number;
}

const KNOWN = `
SELECT k.consumer, k.handed_at,
       (SELECT count(*)::int FROM dead_letters d WHERE d.consumer = k.consumer AND d.status IN ('parked', 'redriving', 'discarding')) AS letters,
       (SELECT count(*)::int FROM parked_streams s WHERE s.consumer = k.consumer) AS streams
  FROM (SELECT consumer, max(handed_at) AS handed_at
          FROM (SELECT consumer, handed_at FROM relay_cursors
                UNION ALL SELECT consumer, to_timestamp(0) FROM consumer_positions) c GROUP BY consumer) k
 ORDER BY k.consumer`;
const AT_WORK = `
SELECT FROM consumer_positions WHERE consumer = $1 AND claimed_until > now()
UNION ALL SELECT FROM merchant_positions WHERE consumer = $1 AND claimed_until > now() LIMIT 1`;
const FORGET_POSITIONS = `
DELETE FROM consumer_positions WHERE consumer = $1
   AND partition IN (SELECT partition FROM consumer_positions WHERE consumer = $1 ORDER BY partition FOR UPDATE)`;
/** $1 consumer, $2 limit. In the scope `relay`. */
const CONCERNED = `
SELECT merchant_id FROM parked_streams WHERE consumer = $1
UNION SELECT merchant_id FROM merchant_positions WHERE consumer = $1
UNION SELECT merchant_id FROM dead_letters WHERE consumer = $1 AND status IN ('parked', 'redriving', 'discarding') LIMIT $2`;
/** $1 consumer, $2 who, $3 why. In the merchants' scope. */
const DISCARD = `
UPDATE dead_letters SET status = 'discarded', decided_by = $2, decided_at = now(), reason = $3
 WHERE consumer = $1 AND status IN ('parked', 'redriving', 'discarding')`;
const RECORD = 'INSERT INTO forgotten_consumers (consumer, forgotten_by, reason) VALUES ($1, $2, $3)';

/** Every consumer that holds up the log's retention, known to this build or not. */
export async function knownConsumers(database: Database): Promise<KnownConsumer[]> {
  const rows = await database.read<{ consumer: string; handed_at: number; letters: number; streams: number }>(
    'relay',
    deadline(),
    { text: KNOWN },
  );
  return rows.map(({ consumer, handed_at, letters, streams }) => ({
    consumer,
    handedAtMs: handed_at,
    openLetters: letters,
    parkedStreams: streams,
  }));
}

/**
 * Takes from the log's books a consumer that no build has any more: cursors, positions and waiting streams go, open dead letters end as
 * discarded by `by`. Its effects stay where they are; should it come back, it begins anew. May be killed at any moment and
 * called again: the cursors, by which it is known, go last and with the record. Throws ForgetRefused.
 */
export async function forgetConsumer(
  database: Database,
  { consumer, by, reason }: { consumer: string; by: string; reason: string },
): Promise<void> {
  await relaying(database, async (client) => {
    if (((await client.query({ text: AT_WORK, values: [consumer] })).rowCount ?? 0) > 0) {
      throw new ForgetRefused(`${consumer} is at work`);
    }
    await client.query({ text: FORGET_POSITIONS, values: [consumer] });
  });
  for (let merchantIds = await concerned(database, consumer); merchantIds.length > 0; ) {
    await database.transaction({ merchantIds }, deadline(), async (client) => {
      await client.query({ text: DISCARD, values: [consumer, by, reason] });
      await client.query({ text: 'DELETE FROM merchant_positions WHERE consumer = $1', values: [consumer] });
      await client.query({ text: 'DELETE FROM parked_streams WHERE consumer = $1', values: [consumer] });
    });
    merchantIds = await concerned(database, consumer);
  }
  await relaying(database, async (client) => {
    await client.query({ text: 'DELETE FROM relay_cursors WHERE consumer = $1', values: [consumer] });
    await client.query({ text: RECORD, values: [consumer, by, reason] });
  });
}

async function concerned(database: Database, consumer: string): Promise<bigint[]> {
  const query = { text: CONCERNED, values: [consumer, MERCHANTS_AT_ONCE] };
  const rows = await database.read<{ merchant_id: bigint }>('relay', deadline(), query);
  return rows.map((row) => row.merchant_id);
}

function relaying<T>(database: Database, work: (client: TransactionClient) => Promise<T>): Promise<T> {
  return database.transaction('relay', deadline(), work);
}

function deadline(): Deadline {
  return Deadline.after(STATEMENT_MS);
}
