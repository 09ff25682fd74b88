import { afterAll, beforeAll, expect, test } from 'vitest';
import { readLedger } from './histories/ledger.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { TestLedger, transfer } from './support/ledger.js';

const LOOKS = 20;

let on: TestDatabase;
let ledger: TestLedger;

beforeAll(async () => {
  on = await freshDatabase();
  ledger = await TestLedger.open(on);
});
afterAll(async () => {
  await ledger.close();
  await on.drop();
});

test('what a run is judged by is of one moment, while the service writes', async () => {
  const merchant = await ledger.createMerchant();
  const from = await ledger.createAccount(merchant, { code: 'from' });
  const to = await ledger.createAccount(merchant, { code: 'to' });
  let isOver = false;
  const write = async (): Promise<void> => {
    while (!isOver) await ledger.post(merchant, transfer(from, to, 1n));
  };
  const writing = Promise.all([write(), write()]);
  try {
    for (let look = 0; look < LOOKS; look += 1) {
      const { entries, balances } = await readLedger(on.ownerUrl);
      const counts = balances.map(({ account }) => entries.filter((entry) => entry.account === account).length);
      expect(counts).toEqual(balances.map(({ version }) => version));
    }
  } finally {
    isOver = true;
    await writing;
  }
});
