import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { NewAccount } from '#ledger/accounts/account-store.js';
import { systemAccounts } from '#ledger/accounts/system-accounts.js';
import { Deadline } from '#platform/deadline.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { postedId, TestLedger, transfer } from './support/ledger.js';

/** Past the ledger, which decides the same: in SQL, as the role that the service runs under. */
describe('PostgreSQL refuses the runtime role to close', () => {
  let on: TestDatabase;
  let ledger: TestLedger;
  let merchant: bigint;

  beforeAll(async () => {
    on = await freshDatabase();
    ledger = await TestLedger.open(on);
    merchant = await ledger.createMerchant();
  });
  afterAll(async () => {
    await ledger.close();
    await on.drop();
  });

  const open = (account: Partial<NewAccount> & { code: string }): Promise<bigint> =>
    ledger.createAccount(merchant, account);
  const close = (accountId: bigint): Promise<unknown> =>
    ledger.database.transaction({ merchantIds: [merchant] }, Deadline.after(5_000), (client) =>
      client.query({ text: `UPDATE balances SET closed = true WHERE account_id = $1`, values: [accountId] }),
    );

  test.each([
    ['money', {}],
    ['pending money', { pending: true }],
  ])('an account with %s on it', async (what, kind) => {
    const [from, to] = [await open({ code: `from:${what}`, normalSide: 'debit' }), await open({ code: `to:${what}` })];
    postedId(await ledger.post(merchant, transfer(from, to, 100n, kind)));
    for (const account of [from, to]) {
      await expect(close(account)).rejects.toMatchObject({ code: '23514', constraint: 'balances_closed_empty' });
    }
  });

  test.each(systemAccounts(['EUR'], () => 0n))('$code, but no account like it', async ({ code, normalSide: side }) => {
    const other = side === 'debit' ? 'credit' : 'debit';
    await close(await open({ code: code.replace('EUR', 'USD'), currency: 'EUR', normalSide: side }));
    await close(await open({ code: code.replace('EUR', 'JPY'), currency: 'JPY', normalSide: other }));
    await close(await open({ code: `${code}:2`, normalSide: side }));
    const system = await open({ code, normalSide: side });
    await expect(close(system)).rejects.toMatchObject({ code: '23514', constraint: 'balances_of_the_system_open' });
  });
});
