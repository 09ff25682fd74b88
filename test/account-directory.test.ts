import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { AccountDirectory } from '#ledger/accounts/account-directory.js';
import { Deadline } from '#platform/deadline.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { TestLedger } from './support/ledger.js';

let on: TestDatabase;
let ledger: TestLedger;
let merchantId: bigint;
beforeAll(async () => {
  on = await freshDatabase();
  ledger = await TestLedger.open(on);
  merchantId = await ledger.createMerchant();
});
afterEach(() => {
  vi.restoreAllMocks();
});
afterAll(async () => {
  await ledger.close();
  await on.drop();
});

const soon = (): Deadline => Deadline.after(20_000);

test('1,000 requests for an account that the process does not know yet ask the database once', async () => {
  const id = await ledger.createAccount(merchantId, { code: 'hot' });
  const directory = new AccountDirectory(ledger.database);
  const asked = vi.spyOn(ledger.database, 'read');
  const found = await Promise.all(Array.from({ length: 1_000 }, () => directory.find(merchantId, [{ id }], soon())));
  expect(new Set(found.map(([account]) => account?.code))).toEqual(new Set(['hot']));
  expect(asked).toHaveBeenCalledTimes(1);
  expect(await directory.find(merchantId, [{ code: 'hot' }, { id }], soon())).toHaveLength(2);
  expect(asked).toHaveBeenCalledTimes(1);
});

test('who joined a look from before the account was opened looks again', async () => {
  const directory = new AccountDirectory(ledger.database);
  const database = ledger.database;
  const seen = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<void>();
  const read = database.read.bind(database);
  vi.spyOn(database, 'read').mockImplementationOnce((async (...args: Parameters<typeof read>) => {
    const rows = await read(...args);
    seen.resolve();
    await opened.promise;
    return rows;
  }) as never);
  const early = directory.find(merchantId, [{ code: 'late' }], soon());
  await seen.promise;
  await ledger.createAccount(merchantId, { code: 'late' });
  const late = directory.find(merchantId, [{ code: 'late' }], soon());
  opened.resolve();
  expect(await early).toEqual([undefined]);
  expect(await late).toMatchObject([{ code: 'late' }]);
});
