import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RECORDS } from './outbox/recorder.js';
import { TestOutbox } from './outbox/test-outbox.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { TestLedger, transfer } from './support/ledger.js';
import { until } from './support/until.js';

let on: TestDatabase;
let ledger: TestLedger;
let admin: pg.Client;

beforeAll(async () => {
  on = await freshDatabase();
  await asAdmin(on.ownerUrl, (client) => client.query(RECORDS));
  ledger = await TestLedger.open(on);
  admin = new pg.Client({ connectionString: on.ownerUrl });
  await admin.connect();
});
afterAll(async () => {
  await ledger.close();
  await admin.end();
  await on.drop();
});

interface Shop {
  merchant: bigint;
  accounts: [bigint, bigint];
}

async function shop(): Promise<Shop> {
  const merchant = await ledger.createMerchant();
  const accounts: [bigint, bigint] = [
    await ledger.createAccount(merchant, { code: 'a', minAvailable: null }),
    await ledger.createAccount(merchant, { code: 'b' }),
  ];
  return { merchant, accounts };
}

const post = ({ merchant, accounts }: Shop, externalRef?: string) =>
  ledger.post(merchant, transfer(...accounts, 1n, externalRef === undefined ? {} : { externalRef }));

/** The log of these merchants, and what a consumer has recorded of it, each as `xid-seq` in order. */
async function compare(consumer: string, merchants: readonly bigint[]) {
  const of = async (table: string, order: string, more = '') =>
    (
      await admin.query<{ at: string }>(
        `SELECT merchant_id || ' ' || xid || '-' || seq AS at FROM ${table} WHERE merchant_id = ANY ($1) ${more} ORDER BY merchant_id, ${order}`,
        [merchants],
      )
    ).rows.map(({ at }) => at);
  return {
    log: await of('events', 'xid, seq'),
    recorded: await of('records', 'number', `AND consumer = '${consumer}'`),
  };
}

async function untilRecorded(consumer: string, merchants: readonly bigint[]): Promise<void> {
  await until(`${consumer} has recorded the log`, async () => {
    const { log, recorded } = await compare(consumer, merchants);
    return recorded.length >= log.length;
  });
  const { log, recorded } = await compare(consumer, merchants);
  expect(recorded).toEqual(log);
}

describe('the log reaches its consumers', () => {
  test('whole, once and in order, from many writers at once', async () => {
    const outbox = await TestOutbox.start(on, ledger);
    const shops = await Promise.all(Array.from({ length: 8 }, shop));
    await Promise.all(shops.flatMap((one) => Array.from({ length: 40 }, () => post(one))));
    const merchants = shops.map(({ merchant }) => merchant);
    await untilRecorded('by_stream', merchants);
    await untilRecorded('by_event', merchants);
    await outbox.stop();
  });
});
