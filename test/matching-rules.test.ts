import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BESIDE, DISPUTED, type Example, NAMED, PAYMENTS, UNNAMED } from './reconciliation/examples.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { TestMatching } from './support/matching.js';

let on: TestDatabase;
let matching: TestMatching;

beforeAll(async () => {
  on = await freshDatabase();
  matching = await TestMatching.open(on);
});
afterAll(async () => {
  await matching.close();
  await on.drop();
});

const areRight = (examples: Example[]) => {
  test.each(examples)('$title', async ({ payments = [], rows, matches, items = {}, breaks = [] }) => {
    const merchantId = await matching.ledger.createMerchant();
    for (const payment of payments) await matching.pay(merchantId, payment);
    const report = await matching.stage(merchantId, rows);
    await matching.match(report);
    expect(await matching.rowsOf(report)).toEqual(matches);
    expect(await matching.itemsOf(merchantId)).toEqual(items);
    const found = (await matching.breaksOf(merchantId)).map(({ line, kind, item }) => [
      line,
      kind,
      ...(item === null ? [] : [item]),
    ]);
    expect(found).toEqual(breaks);
  });
};

describe('rows that name their item', () => areRight(NAMED));
describe('rows and payments', () => areRight(PAYMENTS));
describe('rows that name no item', () => areRight(UNNAMED));
describe('disputes', () => areRight(DISPUTED));
describe('what is wrong beside a match', () => areRight(BESIDE));
