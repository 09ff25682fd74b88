import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { firstSnowflakeAt } from '#kernel/snowflake.js';
import { ZERO_TOTALS } from '#ledger/accounts/account.js';
import { ADJUSTMENT_UNTIL, backDatedAdjustments } from '#ledger/accounts/back-dated-adjustments.js';
import type { Transaction } from '#ledger/posting/transaction.js';
import { finish } from '#platform/turns.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { START_MS } from './support/memory-book.js';

const ACCOUNT = 1n;
const DAY = 86_400_000;

let database: TestDatabase;
let client: pg.Client;
beforeAll(async () => {
  database = await freshDatabase();
  client = new pg.Client({ connectionString: database.ownerUrl });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

interface Late {
  createdAtMs: number;
  lateMs: number;
  amount: bigint;
}

function transactionOf({ createdAtMs, lateMs, amount }: Late, index: number): Transaction {
  const entry = {
    accountId: ACCOUNT,
    accountVersion: BigInt(index + 1),
    direction: 'debit',
    currency: 'EUR',
    posted: amount,
    pending: -amount,
  } as const;
  const id = firstSnowflakeAt(createdAtMs);
  return { id, effectiveAtMs: createdAtMs + lateMs, entries: [{ ...entry, ...ZERO_TOTALS }] } as unknown as Transaction;
}

const late: fc.Arbitrary<Late> = fc.record({
  createdAtMs: fc.nat(3 * DAY).map((ms) => START_MS + ms),
  lateMs: fc.oneof(
    fc.integer({ min: -5_000, max: 5_000 }),
    fc.integer({ min: -400 * DAY, max: 400 * DAY }),
    // Before 1970, and beyond the 42 bits of milliseconds that the levels span (May 2109).
    fc.constantFrom(-START_MS - 700 * DAY, -START_MS - 200_000 * DAY, 2 ** 42 - START_MS + DAY),
  ),
  amount: fc.bigInt({ min: 1n, max: 50n }),
});

it('PostgreSQL adds the tree up to the points one by one, before 1970 and after 2109 too', async () => {
  let merchantId = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(late, { minLength: 1, maxLength: 15 }), async (lates) => {
      merchantId += 1;
      for (const { level, bucket, ...sums } of finish(backDatedAdjustments(lates.map(transactionOf)))) {
        await client.query('INSERT INTO late_sums VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)', [
          merchantId,
          ACCOUNT,
          level,
          bucket,
          sums.postedDebits,
          sums.postedCredits,
          sums.pendingDebits,
          sums.pendingCredits,
          sums.newestVersion,
        ]);
      }
      const edges = lates.flatMap(({ createdAtMs, lateMs }) => [createdAtMs, createdAtMs + lateMs]);
      for (const untilMs of edges.flatMap((ms) => [ms - 1, ms])) {
        const sum = lates.reduce((total, { createdAtMs, lateMs, amount }) => {
          const counted = BigInt(createdAtMs + lateMs <= untilMs) - BigInt(createdAtMs <= untilMs);
          return total + counted * amount;
        }, 0n);
        // What was recorded after T and dated back to it; what is above in a node that T covers has been recorded by then.
        const versions = (counts: (of: Late) => boolean): number[] =>
          lates.flatMap((of, index) => (counts(of) ? [index + 1] : []));
        const datedBack = versions((of) => of.createdAtMs > untilMs && of.createdAtMs + of.lateMs <= untilMs);
        const effective = versions((of) => of.createdAtMs + of.lateMs <= untilMs);
        const { rows } = await client.query(ADJUSTMENT_UNTIL, [merchantId, ACCOUNT, untilMs]);
        expect(rows).toEqual([
          {
            posted_debits: String(sum),
            posted_credits: '0',
            pending_debits: String(-sum),
            pending_credits: '0',
            newest_version: expect.any(String),
          },
        ]);
        expect(Number(rows[0].newest_version)).toBeGreaterThanOrEqual(Math.max(0, ...datedBack));
        expect([0, ...effective]).toContain(Number(rows[0].newest_version));
      }
    }),
    { seed: 20_261_121, numRuns: 40 },
  );
});
