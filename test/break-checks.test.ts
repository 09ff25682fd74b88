import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verify } from '#platform/verify.js';
import { RECONCILIATION_CHECKS } from '#reconciliation/checks.js';
import { TestApi } from './support/api.js';
import { BreakShop } from './support/breaks.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { expectVerified, offendersOf } from './support/verified.js';

const POSTED = /^every break that was resolved by posting/;
const BOTH = /^every match of rows and items/;
const NAMED = /^every item of a match/;
const ITEM = 'payment/7/payment/c1';

const BREAK = `(SELECT id FROM breaks WHERE resolution ->> 'transaction_id' IS NOT NULL)`;
const TRANSACTION = `(SELECT id FROM transactions WHERE type = 'reconciliation.adjustment')`;

/** What somebody with a superuser's rights did, the check that must tell it, and what it must name. */
const CORRUPTIONS = [
  {
    title: 'a break that was closed without its entry',
    sql: `UPDATE breaks SET resolution = (resolution::jsonb || '{"transaction_id": null}')::json WHERE id = ${BREAK}`,
    check: POSTED,
    names: BREAK,
  },
  {
    title: 'a break whose transaction is another one',
    sql: `UPDATE breaks SET resolution = (resolution::jsonb || '{"transaction_id": "7"}')::json WHERE id = ${BREAK}`,
    check: POSTED,
    names: BREAK,
  },
  {
    title: 'a break that was written off, and has a transaction',
    sql: `UPDATE breaks SET status = 'open', resolution = NULL WHERE id = ${BREAK}`,
    check: POSTED,
    names: TRANSACTION,
  },
  {
    title: 'a transaction that is of no break',
    sql: `UPDATE transactions SET metadata = NULL WHERE id = ${TRANSACTION}`,
    check: POSTED,
    names: BREAK,
  },
  {
    title: 'a transaction of another amount than was approved',
    sql: `UPDATE entries SET posted_amount = posted_amount + 1 WHERE transaction_id = ${TRANSACTION}`,
    check: POSTED,
    names: TRANSACTION,
  },
  { title: 'a match without its item', sql: 'DELETE FROM reconciled_items', check: BOTH, names: `'by hand'` },
  {
    title: 'an item whose row is matched no more',
    sql: 'UPDATE report_rows SET match_reconciliation_id = NULL, match_line = NULL, rule = NULL',
    check: BOTH,
    names: `'${ITEM}'`,
  },
  {
    title: 'a match that is named by a row outside of it',
    sql: `UPDATE report_rows SET match_line = -1 WHERE rule = 'by hand'; UPDATE reconciled_items SET match_line = -1`,
    check: NAMED,
    names: `'${ITEM}'`,
  },
];

describe('verify, of reconciliations', () => {
  let clean: TestDatabase;

  beforeAll(async () => {
    clean = await freshDatabase();
    const api = await TestApi.start({ on: clean });
    await asAdmin(clean.ownerUrl, async (owner) => {
      const shop = await BreakShop.open(api, owner);
      const [posted, written, matched] = [
        await shop.found(),
        await shop.found(),
        await shop.found({ candidates: [{ item: ITEM }] }),
      ];
      const checker = await shop.operator();
      await shop.act(shop.environment, posted, 'propose', shop.posting());
      await shop.act(shop.environment, written, 'propose', { action: 'write_off', reason: 'x' });
      await shop.act(shop.environment, matched, 'propose', { action: 'match', candidates: [ITEM], reason: 'x' });
      for (const id of [posted, written, matched]) expect((await shop.act(checker, id, 'approve')).status).toBe(200);
    });
    await api.stop();
  });
  afterAll(() => clean.drop());

  test('clean ones pass, and each check looks at some', async () => {
    await expectVerified(clean);
    const results = await verify(clean.runtimeUrl, RECONCILIATION_CHECKS);
    expect(results.filter(({ counted }) => counted === 0n)).toEqual([]);
  });

  test.each(CORRUPTIONS)('$title is found by $check and named', async ({ sql, check, names }) => {
    const corrupted = await freshDatabase(clean);
    try {
      const name = await asAdmin(corrupted.ownerUrl, async (admin) => {
        const { rows } = await admin.query(`SELECT (${names})::text AS name`);
        await admin.query(`SET session_replication_role = replica; ${sql}`);
        return rows[0].name as string;
      });
      const offenders = offendersOf(await verify(corrupted.runtimeUrl, RECONCILIATION_CHECKS));
      const found = Object.entries(offenders).find(([told]) => check.test(told))?.[1];
      expect(found?.join('\n'), JSON.stringify(offenders)).toContain(name);
    } finally {
      await corrupted.drop();
    }
  });
});
