import { afterAll, beforeAll, expect, test } from 'vitest';
import { Bystander } from './support/bystander.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { TestSettlement } from './support/settlement.js';
import { until } from './support/until.js';

const DAY_MS = 86_400_000;
const YESTERDAY = new Date(Date.now() - DAY_MS).toISOString().slice(0, 10);
const NOON_MS = Date.parse(`${YESTERDAY}T12:00:00Z`);
const CHUNK = 5;

let on: TestDatabase;
let bystander: Bystander;
let settlement: TestSettlement;

beforeAll(async () => {
  on = await freshDatabase();
  [bystander, settlement] = await Promise.all([Bystander.open(on), TestSettlement.open(on, { chunkEntries: CHUNK })]);
});
afterAll(async () => {
  await Promise.all([settlement.close(), bystander.close()]);
  await on.drop();
});

/** Of whom so much has happened yesterday. */
async function merchantWith(happened: number): Promise<bigint> {
  const merchantId = await settlement.createMerchant({ createdAtMs: NOON_MS - DAY_MS });
  const payment = { kind: 'payment' as const, amount: 100n, atMs: NOON_MS };
  const happenings = Array.from({ length: happened }, (_, index) => ({ ...payment, subject: BigInt(index + 1) }));
  await settlement.happen(merchantId, ...happenings);
  return merchantId;
}

const isSettled = async (merchantId: bigint): Promise<boolean> => {
  const text = `SELECT FROM settlements WHERE merchant_id = $1 AND business_date = $2`;
  return (await bystander.client.query(text, [merchantId, YESTERDAY])).rowCount === 1;
};

test('a merchant’s day is closed while another one of its range has more to be drafted', async () => {
  const [large, ...small] = [await merchantWith(4 * CHUNK), await merchantWith(1), await merchantWith(2)];
  // Whoever drafts more than the first part of the large one waits here.
  await bystander.client.query(`
    CREATE FUNCTION wait_for_small() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF NEW.merchant_id = ${large} AND (SELECT count(*) FROM settlement_lines WHERE merchant_id = ${large}) >= ${CHUNK} THEN
        PERFORM pg_advisory_xact_lock_shared(7, 8);
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER wait_for_small BEFORE INSERT ON settlement_lines FOR EACH ROW EXECUTE FUNCTION wait_for_small();
    SELECT pg_advisory_lock(7, 8)`);
  const settled = settlement.settle([large as bigint, ...small], YESTERDAY);
  for (const merchantId of small) await until('it is settled', () => isSettled(merchantId));
  expect(await isSettled(large as bigint)).toBe(false);
  await bystander.client.query('SELECT pg_advisory_unlock(7, 8)');
  expect((await settled).map(({ outcome }) => outcome)).toEqual(['settled', 'settled', 'settled']);
});

test('a merchant’s missed days are made up for while another one of its range still drafts the first of its own', async () => {
  const days = [3, 2, 1];
  const merchantOf = async (happened: readonly number[]): Promise<bigint> => {
    const merchantId = await settlement.createMerchant({ createdAtMs: NOON_MS - 4 * DAY_MS });
    for (const [index, count] of happened.entries()) {
      const atMs = NOON_MS - ((days[index] as number) - 1) * DAY_MS;
      const payments = Array.from({ length: count }, (_, place) => ({
        kind: 'payment' as const,
        amount: 100n,
        atMs,
        subject: BigInt(100 * index + place + 1),
      }));
      await settlement.happen(merchantId, ...payments);
    }
    return merchantId;
  };
  const parts = 12;
  const [large, small] = [await merchantOf([parts * CHUNK, 1, 1]), await merchantOf([1, 1, 1])];
  // What of the large one has been drafted when each day of the small one is closed.
  await bystander.client.query(`
    CREATE TABLE drafted (business_date date, lines int);
    CREATE FUNCTION note_drafted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
      IF NEW.merchant_id = ${small} THEN
        INSERT INTO drafted SELECT NEW.business_date, count(*) FROM settlement_lines WHERE merchant_id = ${large};
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER note_drafted AFTER INSERT ON settlements FOR EACH ROW EXECUTE FUNCTION note_drafted()`);
  const settled = await settlement.settle([large, small], YESTERDAY);
  expect(settled.map(({ outcome }) => outcome)).toEqual(['settled', 'settled']);
  const { rows } = await bystander.client.query<{ lines: number }>('SELECT lines FROM drafted ORDER BY business_date');
  expect(rows).toHaveLength(days.length);
  expect(rows.at(-1)?.lines).toBeLessThan(parts * CHUNK);
});
