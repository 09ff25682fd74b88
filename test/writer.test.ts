import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { getBalance } from '#ledger/balance-store.js';
import { Deadline } from '#platform/deadline.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { TestLedger, transfer } from './support/ledger.js';

describe('the group-commit writer', () => {
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

  test('a posting moves both balances and raises both versions by one', async () => {
    const from = await ledger.createAccount(merchant, { code: 'from' });
    const to = await ledger.createAccount(merchant, { code: 'to' });
    const { result, replayed } = await ledger.post(merchant, transfer(from, to, 500n));
    expect(replayed).toBe(false);
    expect(result).toMatchObject({ posting: { status: 'posted', transaction: { amount: 500n, currency: 'EUR' } } });
    const balance = await getBalance(ledger.database, merchant, to, Deadline.after(5_000));
    expect(balance).toMatchObject({ postedCredits: 500n, postedDebits: 0n, version: 1n });
  });

  test('64 callers on one account with a floor: exactly as many succeed as the money allows', async () => {
    const funded = await ledger.createAccount(merchant, { code: 'funded', minAvailable: 0n });
    const source = await ledger.createAccount(merchant, { code: 'source' });
    const sink = await ledger.createAccount(merchant, { code: 'sink' });
    await ledger.post(merchant, transfer(source, funded, 40n));
    const replies = await Promise.all(
      Array.from({ length: 64 }, () => ledger.post(merchant, transfer(funded, sink, 1n))),
    );
    expect(replies.filter(({ result }) => 'posting' in result)).toHaveLength(40);
    const refusals = replies.flatMap(({ result }) => ('refusal' in result ? [result.refusal.code] : []));
    expect(new Set(refusals)).toEqual(new Set(['insufficient_funds']));
  });

  test('a second post with the same key returns the first transaction', async () => {
    const a = await ledger.createAccount(merchant, { code: 'a' });
    const b = await ledger.createAccount(merchant, { code: 'b' });
    const first = await ledger.post(merchant, transfer(a, b, 7n), 'once');
    const second = await ledger.post(merchant, transfer(a, b, 7n), 'once');
    expect(second.replayed).toBe(true);
    expect(second.result).toEqual(first.result);
  });
});
