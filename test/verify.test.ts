import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ACCOUNT_STATUS } from '#ledger/accounts/account-status.js';
import type { Adjust } from '#ledger/posting/command.js';
import { LEDGER_CHECKS } from '#ledger/verify/checks.js';
import { extended } from '#ledger/writing/group-extension.js';
import { verify } from '#platform/verify.js';
import { adjustedId, moved, submitAdjustment } from './support/adjustments.js';
import { CORRUPTIONS } from './support/corruptions.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { postedId, TestLedger, transfer } from './support/ledger.js';
import { SEED } from './support/seed.js';
import { expectVerified, offendersOf } from './support/verified.js';

/** A book with everything in it: holds, captures, releases, reversals, adjustments, late entries, floors, two merchants, a closed account. */
async function writeBook(on: TestDatabase): Promise<void> {
  const ledger = await TestLedger.open(on);
  for (const _merchant of [1, 2]) {
    const merchant = await ledger.createMerchant();
    const cash = await ledger.createAccount(merchant, { code: 'cash', normalSide: 'debit' });
    const payable = await ledger.createAccount(merchant, { code: 'payable', minAvailable: 0n });
    const late = Date.now() - 3_600_000;
    postedId(await ledger.post(merchant, transfer(cash, payable, 1_000n), 'funding'));
    postedId(await ledger.post(merchant, transfer(cash, payable, 50n, { effectiveAtMs: late }), 'late'));
    const held = postedId(
      await ledger.post(
        merchant,
        transfer(payable, cash, 300n, { pending: true, expiresAtMs: Date.now() + 3_600_000 }),
        'held',
      ),
    );
    postedId(
      await ledger.change(merchant, { kind: 'capture', parentId: held, amount: 100n, final: false }, 'captured'),
    );
    const voided = postedId(
      await ledger.post(merchant, transfer(payable, cash, 70n, { pending: true, expiresAtMs: Date.now() + 60_000 })),
    );
    postedId(await ledger.change(merchant, { kind: 'void', parentId: voided }));
    const reversed = postedId(await ledger.post(merchant, transfer(cash, payable, 20n), 'reversed'));
    postedId(await ledger.change(merchant, { kind: 'reverse', parentId: reversed, amount: 5n }));
    const fees = await ledger.createAccount(merchant, { code: 'fees' });
    const order = transfer(cash, payable, 60n, { pending: true });
    order.entries[0] = { ...order.entries[0], amount: 100n } as (typeof order.entries)[0];
    order.entries.push({ account: { id: fees }, direction: 'credit', amount: 40n, currency: 'EUR' });
    const several = postedId(await ledger.post(merchant, order, 'several'));
    const part = [
      { accountId: cash, amount: 30n },
      { accountId: fees, amount: 30n },
    ];
    const sold = postedId(
      await ledger.change(merchant, { kind: 'capture', parentId: several, entries: part, final: false }, 'sold'),
    );
    const refund = postedId(await ledger.change(merchant, { kind: 'reverse', parentId: sold }, 'refund'));
    postedId(await ledger.change(merchant, { kind: 'reverse', parentId: refund, amount: 10n }, 'bounced'));
    // It ends above its floor, and is below it on the way.
    const toAndFro = transfer(payable, cash, 2_000n);
    toAndFro.entries[1] = { ...toAndFro.entries[1], amount: 10n } as (typeof order.entries)[0];
    toAndFro.entries.push({ account: { id: payable }, direction: 'credit', amount: 1_990n, currency: 'EUR' });
    postedId(await ledger.post(merchant, toAndFro, 'to and fro'));
    const below = transfer(payable, cash, 3_000n, { ignoreFloor: true, externalRef: 'cb', metadata: '{"case":7}' });
    postedId(await ledger.post(merchant, below, 'chargeback'));
    const refused = await ledger.post(merchant, transfer(payable, cash, 1_000_000n));
    expect(refused.result).toMatchObject({ refusal: { code: 'insufficient_funds' } });
    const adjust = async (adjustment: Adjust, key: string) => {
      const context = ledger.context(merchant);
      const idempotency = { key, requestSha256: Buffer.alloc(32, 1) };
      return adjustedId(await submitAdjustment(ledger, context, adjustment, idempotency));
    };
    await adjust(moved(cash, fees, 0n, 80n, { externalRef: 'pi' }), 'authorised');
    await adjust(moved(cash, fees, 60n, -80n, { externalRef: 'pi', effectiveAtMs: late }), 'adjusted');
    await adjust(moved(payable, fees, 5_000n, 0n), 'disputed');
    const closed = await ledger.createAccount(merchant, { code: 'closed' });
    const account = { id: closed, code: 'closed', currency: 'EUR', normalSide: 'credit', minAvailable: null } as const;
    const commands = [extended(ACCOUNT_STATUS, { kind: 'close' as const, accountId: closed })];
    await ledger.writer.post(ledger.context(merchant), {
      mode: 'single',
      commands,
      accounts: new Map([[closed, account]]),
      idempotency: undefined,
    });
  }
  await ledger.close();
}

const WHOLE_EVERY = 8;

describe('verify', () => {
  let clean: TestDatabase;

  beforeAll(async () => {
    clean = await freshDatabase();
    await writeBook(clean);
  });
  afterAll(() => clean.drop());

  test('a clean database passes, as the runtime role and as the owner alike', async () => {
    expect(await expectVerified(clean)).toBe(34n);
    const [asRuntime, asOwner] = [
      await verify(clean.runtimeUrl, LEDGER_CHECKS),
      await verify(clean.ownerUrl, LEDGER_CHECKS),
    ];
    expect(asOwner).toEqual(asRuntime);
    expect(asRuntime.filter(({ counted }) => counted === 0n)).toEqual([]);
  });

  test.each(CORRUPTIONS)('$title is found and named', async ({ title, sql, check, names }) => {
    // To plan them all takes longer than the rest of the test: an eighth of the corruptions, by the seed, has all of them.
    const isWhole = CORRUPTIONS.findIndex((one) => one.title === title) % WHOLE_EVERY === SEED % WHOLE_EVERY;
    const checks = LEDGER_CHECKS.filter(({ name }) => isWhole || check.test(name));
    const corrupted = await freshDatabase(clean);
    try {
      const expectedName = await asAdmin(corrupted.ownerUrl, async (admin) => {
        const named = names === undefined ? undefined : (await admin.query(`SELECT ${names} AS id`)).rows[0].id;
        await admin.query(`SET session_replication_role = replica; ${sql}`);
        return named;
      });
      const offenders = offendersOf(await verify(corrupted.runtimeUrl, checks));
      const found = Object.entries(offenders).find(([name]) => check.test(name));
      expect(found, `checks that found something: ${JSON.stringify(offenders)}`).toBeDefined();
      if (expectedName) expect(found?.[1].join('\n')).toContain(expectedName);
    } finally {
      await corrupted.drop();
    }
  });
});
