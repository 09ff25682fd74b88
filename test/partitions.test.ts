import { afterAll, beforeAll, expect, test } from 'vitest';
import { PARTITIONS } from '#outbox/log/position.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';

let on: TestDatabase;
beforeAll(async () => {
  on = await freshDatabase();
});
afterAll(() => on.drop());

const MERCHANTS = `SELECT (random() * 9223372036854775807)::bigint AS id FROM generate_series(1, 5000)`;
const FILL: Record<string, string> = {
  events: `INSERT INTO events (merchant_id, type, version, occurred_at, data) SELECT id, 't', 1, now(), '{}' FROM (${MERCHANTS}) m`,
  merchant_positions: `INSERT INTO merchant_positions (merchant_id, consumer, xid, seq) SELECT id, 'c', '1', 1 FROM (${MERCHANTS}) m`,
  parked_streams: `INSERT INTO parked_streams (merchant_id, consumer, xid, seq) SELECT id, 'c', '1', 1 FROM (${MERCHANTS}) m`,
};

test('a merchant’s partition is the same wherever it is asked for, and one of as many as the relay knows', async () => {
  await asAdmin(on.ownerUrl, async (owner) => {
    const generated = `SELECT attrelid::regclass::text AS name FROM pg_attribute WHERE attname = 'partition' AND attgenerated = 's' ORDER BY 1`;
    const tables = (await owner.query(generated)).rows.map(({ name }) => name);
    expect(tables).toEqual(Object.keys(FILL));
    for (const table of Object.keys(FILL)) {
      await owner.query(FILL[table] as string);
      const { rows } = await owner.query(
        `SELECT count(*) FILTER (WHERE partition <> partition_of(merchant_id))::int AS differ, min(partition), max(partition),
                count(DISTINCT partition)::int AS partitions FROM ${table}`,
      );
      expect(rows).toEqual([{ differ: 0, min: 0, max: PARTITIONS - 1, partitions: PARTITIONS }]);
    }
  });
});
