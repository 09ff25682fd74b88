import type { CommandBus } from '@nestjs/cqrs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ChangeAccountStatusCommand, ChangeAccountStatusHandler } from '#ledger/accounts/account-status.command.js';
import { insertAccounts, type NewAccount } from '#ledger/accounts/account-store.js';
import { SystemAccounts } from '#ledger/accounts/find-system-accounts.js';
import { systemAccounts } from '#ledger/accounts/system-accounts.js';
import { completeSystemAccounts, type Mender } from '#ledger/duties/system-accounts.js';
import { LEDGER_CHECKS } from '#ledger/verify/checks.js';
import { MerchantLog } from '#outbox/log/append.js';
import { Deadline } from '#platform/deadline.js';
import type { Logger } from '#platform/logging.js';
import { verify } from '#platform/verify.js';
import { Bystander } from './support/bystander.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { postedId, TestLedger, transfer } from './support/ledger.js';
import { until } from './support/until.js';
import { expectVerified, offendersOf } from './support/verified.js';
import { startWorker } from './support/worker.js';

const CURRENCIES = ['EUR', 'JPY'];
const FEES = CURRENCIES.map((currency) => `provider_fees:${currency}`);

interface Told {
  level: string;
  about: unknown;
}

describe('system accounts of merchants that were opened before their name was one', () => {
  let on: TestDatabase;
  let bystander: Bystander;
  let one: TestLedger;
  let other: TestLedger;

  beforeAll(async () => {
    on = await freshDatabase();
    [bystander, one, other] = await Promise.all([Bystander.open(on), TestLedger.open(on), TestLedger.open(on)]);
  });
  afterAll(async () => {
    await Promise.all([one.close(), other.close(), bystander.close()]);
    await on.drop();
  });

  /** As a process of the version before opens one, with accounts of its own beside. */
  async function openMerchant(ledger: TestLedger, own: readonly Omit<NewAccount, 'id'>[] = []): Promise<bigint> {
    const id = ledger.ids.next();
    const accounts = systemAccounts(CURRENCIES, () => ledger.ids.next()).filter(({ code }) => !FEES.includes(code));
    const opened = own.map((account) => ({ ...account, id: ledger.ids.next() }));
    await ledger.database.transaction({ merchantIds: [id] }, Deadline.after(20_000), async (client) => {
      const log = await MerchantLog.lock(client, id);
      await client.query({
        text: `INSERT INTO merchants (id, name, time_zone, settlement_cutoff, currencies, created_at)
               VALUES ($1, 'Old', 'UTC', '00:00', $2, snowflake_time($1))`,
        values: [id, CURRENCIES],
      });
      await insertAccounts(client, log, [...accounts, ...opened]);
    });
    return id;
  }

  function menderOn({ database, ids, writer, directory }: TestLedger, told: Told[] = []): Mender {
    const handler = new ChangeAccountStatusHandler(writer, directory);
    const commands = { execute: (command: ChangeAccountStatusCommand) => handler.execute(command) };
    const log = (level: string) => (about: unknown) => void told.push({ level, about });
    const logger = { warn: log('warn'), error: log('error') } as unknown as Logger;
    return { database, ids, commands: commands as unknown as CommandBus, logger };
  }

  const feesOf = async (merchantId: bigint): Promise<{ code: string; side: number; closed: boolean }[]> => {
    const { rows } = await bystander.client.query(
      `SELECT a.code, a.normal_side AS side, b.closed FROM accounts a
         JOIN balances b ON b.merchant_id = a.merchant_id AND b.account_id = a.id
        WHERE a.merchant_id = $1 AND a.code LIKE 'provider_fees:%' ORDER BY 1`,
      [merchantId],
    );
    return rows;
  };
  const COMPLETE = FEES.map((code) => ({ code, side: 1, closed: false }));
  const own = (more: Partial<NewAccount> = {}): Omit<NewAccount, 'id'> => ({
    code: 'provider_fees:EUR',
    name: 'Ours',
    currency: 'EUR',
    normalSide: 'debit',
    minAvailable: null,
    ...more,
  });
  const idOf = async (merchantId: bigint, code: string): Promise<bigint> => {
    const text = 'SELECT id FROM accounts WHERE merchant_id = $1 AND code = $2';
    return BigInt((await bystander.one<{ id: bigint }>(text, [merchantId, code])).id);
  };
  const flawsFound = async (): Promise<string[]> => {
    const offenders = offendersOf(await verify(on.runtimeUrl, LEDGER_CHECKS));
    return Object.values(offenders).flat();
  };

  test('are opened once each while two processes do so, others post, and more such merchants are opened', async () => {
    const merchants = await Promise.all(Array.from({ length: 20 }, () => openMerchant(one)));
    let over = false;
    let posted = 0;
    const [first] = merchants as [bigint];
    const request = transfer(await idOf(first, 'cash:EUR'), await idOf(first, 'suspense:EUR'), 1n);
    const posting = [one, other, one, other].map(async (ledger) => {
      for (; !over; posted += 1) postedId(await ledger.post(first, request));
    });
    const opening = (async () => {
      for (let count = 0; !over || count < 5; count += 1) merchants.push(await openMerchant(other));
    })();
    await until('postings and merchants are under way', () => posted > 20 && merchants.length > 20);
    await Promise.all([completeSystemAccounts(menderOn(one)), completeSystemAccounts(menderOn(other))]);
    over = true;
    await Promise.all([...posting, opening]);
    await completeSystemAccounts(menderOn(one));
    for (const merchant of merchants) expect(await feesOf(merchant)).toEqual(COMPLETE);
    expect(await completeSystemAccounts(menderOn(one))).toBe(0);
    // One event each, ids of this deployment, balances.
    await expectVerified(on);
  });

  test('that lack one are named by verify until a worker has begun', async () => {
    const merchant = await openMerchant(one);
    expect(await flawsFound()).toEqual(FEES.map((code) => expect.stringContaining(`${code}, account : missing`)));
    const stop = await startWorker(on);
    try {
      await until('they are there', async () => (await feesOf(merchant)).length === FEES.length);
    } finally {
      await stop();
    }
    await expectVerified(on);
  });

  test('are the merchant’s own where those fit, open again if they were closed', async () => {
    const [kept, closed] = [await openMerchant(one, [own()]), await openMerchant(one, [own({ minAvailable: 0n })])];
    const [mine, shut] = [await idOf(kept, 'provider_fees:EUR'), await idOf(closed, 'provider_fees:EUR')];
    const changing = new ChangeAccountStatusHandler(one.writer, one.directory);
    // What keeps it open is of this version.
    await bystander.client.query('ALTER TABLE balances DISABLE TRIGGER balances_closed_checked');
    await one.database.transaction({ merchantIds: [closed] }, Deadline.after(5_000), async (client) => {
      const log = await MerchantLog.lock(client, closed);
      await client.query({ text: 'UPDATE balances SET closed = true WHERE account_id = $1', values: [shut] });
      const data = { account_id: String(shut) };
      await log.append({ type: 'account.closed', data, occurredAtMs: Date.now(), traceContext: undefined });
    });
    await bystander.client.query('ALTER TABLE balances ENABLE TRIGGER balances_closed_checked');
    await completeSystemAccounts(menderOn(one));
    expect([await feesOf(kept), await feesOf(closed)]).toEqual([COMPLETE, COMPLETE]);
    expect([await idOf(kept, 'provider_fees:EUR'), await idOf(closed, 'provider_fees:EUR')]).toEqual([mine, shut]);
    const close = new ChangeAccountStatusCommand(one.context(kept), mine, 'close', undefined);
    await expect(changing.execute(close)).rejects.toMatchObject({ code: 'invalid_transition' });
    await expectVerified(on);
  });

  test.each([
    ['on the other side', own({ normalSide: 'credit' })],
    ['in another currency', own({ currency: 'JPY' })],
  ])(
    '%s stay the merchant’s own: told by the worker and by verify, refused to whoever needs them',
    async (_title, account) => {
      const merchant = await openMerchant(one, [account]);
      const before = await feesOf(merchant);
      const told: Told[] = [];
      await completeSystemAccounts(menderOn(one, told));
      expect(await feesOf(merchant)).toEqual([...before, COMPLETE[1]]);
      expect(told).toEqual([{ level: 'error', about: { merchantId: String(merchant), code: 'provider_fees:EUR' } }]);
      expect(await flawsFound()).toEqual([expect.stringMatching(/provider_fees:EUR.*the merchant’s own/)]);
      const finding = new SystemAccounts(one.database, one.ids, one.directory);
      await expect(finding.find(one.context(merchant), 'EUR', ['cash', 'provider_fees'])).rejects.toMatchObject({
        code: 'invalid_transition',
        message: "Account provider_fees:EUR is the merchant's own.",
      });
      expect(await finding.find(one.context(merchant), 'JPY', ['provider_fees'])).toMatchObject([
        { code: 'provider_fees:JPY' },
      ]);
      await bystander.client.query(
        `UPDATE accounts SET code = 'renamed:' || code WHERE merchant_id = $1 AND name = 'Ours'`,
        [merchant],
      );
      await completeSystemAccounts(menderOn(one));
    },
  );

  test('of one that fails wait for the next round, and the others’ do not', async () => {
    const [broken, next] = [await openMerchant(one), await openMerchant(one)];
    await bystander.client.query(`
      CREATE FUNCTION refuse_account() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'poison'; END $$;
      CREATE TRIGGER refuse_account BEFORE INSERT ON accounts FOR EACH ROW WHEN (NEW.merchant_id = ${broken}) EXECUTE FUNCTION refuse_account()`);
    const told: Told[] = [];
    expect(await completeSystemAccounts(menderOn(one, told))).toBe(1);
    expect([await feesOf(broken), await feesOf(next)]).toEqual([[], COMPLETE]);
    expect(told).toMatchObject([{ level: 'warn', about: { merchantId: String(broken) } }]);
    await bystander.client.query('DROP TRIGGER refuse_account ON accounts; DROP FUNCTION refuse_account');
    expect(await completeSystemAccounts(menderOn(one))).toBe(1);
    expect(await feesOf(broken)).toEqual(COMPLETE);
  });

  test('are opened for whoever needs them first, once for many at the same time, and for no currency that is not the merchant’s', async () => {
    const merchant = await openMerchant(one);
    const finding = [one, other].map((ledger) => new SystemAccounts(ledger.database, ledger.ids, ledger.directory));
    const names = ['provider_fees', 'cash'] as const;
    const found = await Promise.all(
      Array.from({ length: 10 }, (_, i) => finding[i % 2]?.find(one.context(merchant), 'EUR', names)),
    );
    const id = await idOf(merchant, 'provider_fees:EUR');
    for (const accounts of found) expect(accounts?.map(({ code }) => code)).toEqual(names.map((name) => `${name}:EUR`));
    expect(new Set(found.map((accounts) => accounts?.[0]?.id))).toEqual(new Set([id]));
    expect(await finding[0]?.find(one.context(merchant), 'USD', ['cash'])).toBeUndefined();
    await expectVerified(on);
  });

  /** An id is issued once, whosever account it is. */
  afterEach(async () => {
    const { rows } = await bystander.client.query('SELECT FROM accounts GROUP BY id HAVING count(*) > 1');
    expect(rows).toEqual([]);
  });
});
