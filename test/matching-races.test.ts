import { afterAll, beforeAll, expect, test } from 'vitest';
import { MerchantLog } from '#outbox/log/append.js';
import { Deadline } from '#platform/deadline.js';
import type { Database } from '#platform/postgres.js';
import { closeReport } from '#reconciliation/closing/close-report.js';
import { matchNext } from '#reconciliation/matching/match-report.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { NOON_MS, type PlannedPayment, type PlannedRow, TestMatching } from './support/matching.js';

const DAY_MS = 86_400_000;
const PAYMENTS = 60;
const SLA_PAST = { periodFromMs: NOON_MS - DAY_MS, periodToMs: NOON_MS + DAY_MS };

let on: TestDatabase;
let matching: TestMatching;

beforeAll(async () => {
  on = await freshDatabase();
  // Chunks of few rows, so that a report has many transactions.
  matching = await TestMatching.open(on, { chunkRows: 7, breaksAtOnce: 2 });
});
afterAll(async () => {
  await matching.close();
  await on.drop();
});

const within = (): Deadline => Deadline.after(30_000);
const payment = (n: number): PlannedPayment => ({ ref: `P${n}`, captures: [{ ref: `c${n}`, amount: 1_000 + n }] });

/** Of each ten payments one that is told twice, one with another amount, one that is not told; and a row of nothing. */
function rowsOf(): PlannedRow[] {
  const told = Array.from({ length: PAYMENTS }, (_, n): PlannedRow[] => {
    const row = { line: 10 * n, ref: `P${n}`, object: `c${n}`, gross: 1_000 + n, identity: `r${n}` };
    if (n % 10 === 0) return [];
    if (n % 10 === 1) return [row, { ...row, line: row.line + 1, identity: `again${n}` }];
    if (n % 10 === 2) return [{ ...row, gross: 1 }];
    if (n % 10 === 3)
      return [row, { ...row, line: row.line + 1, ref: `nothing${n}`, identity: `nothing${n}`, object: `none${n}` }];
    return [row];
  });
  return told.flat();
}

const TENTH = PAYMENTS / 10;
const EXPECTED = { amount_mismatch: TENTH, duplicate: TENTH, missing_in_ledger: TENTH, missing_in_report: TENTH };

async function merchantOf(payments: number): Promise<bigint> {
  const merchantId = await matching.ledger.createMerchant();
  for (let n = 0; n < payments; n += 1) await matching.pay(merchantId, payment(n));
  return merchantId;
}

/** Whatever happened on the way: each row and item matched once, each break found and told once. */
async function expectRight(merchantId: bigint): Promise<void> {
  const breaks = await matching.breaksOf(merchantId);
  const byKind = Object.fromEntries(
    Map.groupBy(breaks, ({ kind }) => kind)
      .entries()
      .map(([kind, list]) => [kind, list.length]),
  );
  expect(byKind).toEqual(EXPECTED);
  const [counts] = await matching.read<Record<string, bigint>>(merchantId, {
    text: `SELECT (SELECT count(*) FROM report_staging WHERE merchant_id = $1) AS staged,
                  (SELECT count(*) FROM report_rows WHERE merchant_id = $1) AS rows,
                  (SELECT count(*) FROM report_rows WHERE merchant_id = $1 AND match_line IS NOT NULL) AS matched,
                  (SELECT count(*) FROM reconciled_items WHERE merchant_id = $1) AS items,
                  (SELECT count(*) FROM events WHERE merchant_id = $1 AND type = 'break.opened') AS told`,
    values: [merchantId],
  });
  const matched = BigInt(PAYMENTS - 2 * TENTH);
  const expected = { staged: 0n, rows: BigInt(rowsOf().length), matched, items: matched, told: BigInt(4 * TENTH) };
  expect(counts).toEqual(expected);
}

test('two uploads of the same rows at once, matched by two processes each: each row once, no break twice', async () => {
  const merchantId = await merchantOf(PAYMENTS);
  const reports = await Promise.all([
    matching.stage(merchantId, rowsOf(), SLA_PAST),
    matching.stage(merchantId, rowsOf(), SLA_PAST),
  ]);
  await Promise.all(
    [...reports, ...reports].map(async (report) => {
      await matching.match(report);
      await closeReport(matching.matching, report, within);
    }),
  );
  await expectRight(merchantId);
  const sums = await matching.read<{ matched: bigint; repeated: bigint }>(merchantId, {
    text: 'SELECT sum(matched)::bigint AS matched, sum(repeated)::bigint AS repeated FROM reconciliations WHERE merchant_id = $1',
    values: [merchantId],
  });
  expect(sums[0]?.repeated).toBe(BigInt(rowsOf().length));
});

/** Every transaction is cut off at its n-th statement, before and after COMMIT. */
function dying(database: Database, after: { statements: number }): Database {
  return new Proxy(database, {
    get(target, name) {
      if (name !== 'transaction') {
        const value = Reflect.get(target, name) as unknown;
        return typeof value === 'function' ? value.bind(target) : value;
      }
      const transaction: Database['transaction'] = async (scope, deadline, work) => {
        const died = (): void => {
          after.statements -= 1;
          if (after.statements < 0) throw new Error('died');
        };
        const result = await target.transaction(scope, deadline, async (client) => {
          return work({
            query: async (query) => {
              died();
              return client.query(query);
            },
          });
        });
        died();
        return result;
      };
      return transaction;
    },
  });
}

test('a death between any two statements: whoever goes on does the rest, and nothing twice', async () => {
  const merchantId = await merchantOf(PAYMENTS);
  const report = await matching.stage(merchantId, rowsOf(), SLA_PAST);
  let deaths = 0;
  // Each life is a little longer than the one before; each goes on where the last one died.
  for (let statements = 0, isDone = false; !isDone; statements += 1) {
    const mortal = { ...matching.matching, database: dying(matching.ledger.database, { statements }) };
    try {
      while ((await matchNext(mortal, report, within)) > 0);
      await closeReport(mortal, report, within);
      isDone = true;
    } catch (error) {
      if ((error as Error).message !== 'died') throw error;
      deaths += 1;
    }
  }
  expect(deaths).toBeGreaterThan(10);
  await expectRight(merchantId);
});

test('rows that open no break are matched while somebody holds the merchant’s lock', async () => {
  const merchantId = await merchantOf(1);
  const report = await matching.stage(merchantId, [{ line: 1, ref: 'P0', object: 'c0', gross: 1_000 }]);
  await matching.ledger.database.transaction({ merchantIds: [merchantId] }, within(), async (client) => {
    await MerchantLog.lock(client, merchantId);
    await matching.match(report);
  });
  expect(await matching.rowsOf(report)).toEqual({ 1: 'exact 1' });
});
