import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import { getBalanceAt, listStatementLines, statementOfBalanceAt, statementOfLines } from '#ledger/balance-store.js';
import { listStatement, listTransactions, type TransactionFilter } from '#ledger/transaction-store.js';
import { Deadline } from '#platform/deadline.js';
import { connectionOptions } from '#platform/postgres.js';
import { type BulkHistory, fillHistory } from '../bench/bulk-history.js';
import { type Explained, explain } from '../bench/explain.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { postedId, TestLedger, transfer } from './support/ledger.js';
import { expectVerified } from './support/verified.js';

const DAY_MS = 86_400_000;
const deadline = (): Deadline => Deadline.after(30_000);

describe('the balance by effective time', () => {
  let on: TestDatabase;
  let ledger: TestLedger;
  let merchant: bigint;
  let accounts = 0;

  beforeAll(async () => {
    on = await freshDatabase();
    ledger = await TestLedger.open(on);
    merchant = await ledger.createMerchant();
  });
  afterAll(async () => {
    await expectVerified(on);
    await ledger.close();
    await on.drop();
  });

  /** How long before (or, below zero, after) it is recorded something is effective; undefined: on time. */
  const lateness = fc.oneof(
    fc.constant(undefined),
    fc.integer({ min: -300_000, max: 300_000 }),
    fc.integer({ min: 0, max: 400 * DAY_MS }),
    fc.constantFrom(0, 1, 63, 64, 4_096, Number.MAX_SAFE_INTEGER),
  );
  const posting = fc.record({
    lateness,
    amount: fc.bigInt({ min: 1n, max: 1_000n }),
    back: fc.boolean(),
    next: fc.constantFrom('nothing', 'hold', 'capture', 'capture in part', 'void', 'reverse'),
  });

  test('at any time is the sum of the entries effective by then', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(posting, { minLength: 1, maxLength: 25 }),
        fc.array(fc.integer({ min: 0 }), { minLength: 30, maxLength: 30 }),
        async (postings, picks) => {
          const a = await ledger.createAccount(merchant, { code: `a${accounts++}`, normalSide: 'debit' });
          const b = await ledger.createAccount(merchant, { code: `a${accounts++}` });
          await Promise.all(
            postings.map(async ({ lateness: lateMs, amount, back, next }) => {
              const pending = !['nothing', 'reverse'].includes(next);
              const effectiveAtMs = lateMs === undefined ? undefined : Math.max(0, Date.now() - lateMs);
              const request = transfer(...((back ? [b, a] : [a, b]) as [bigint, bigint]), amount, {
                pending,
                ...(effectiveAtMs !== undefined && { effectiveAtMs }),
              });
              const parentId = postedId(await ledger.post(merchant, request));
              if (next === 'capture') postedId(await ledger.move(merchant, { kind: 'capture', parentId, final: true }));
              if (next === 'capture in part')
                postedId(await ledger.move(merchant, { kind: 'capture', parentId, amount: 1n, final: false }));
              if (next === 'void') postedId(await ledger.move(merchant, { kind: 'void', parentId }));
              if (next === 'reverse') postedId(await ledger.move(merchant, { kind: 'reverse', parentId }));
            }),
          );
          for (const account of [a, b]) await compareWithEntries(account, picks);
        },
      ),
      { numRuns: 25 },
    );
  }, 120_000);

  async function compareWithEntries(account: bigint, picks: readonly number[]): Promise<void> {
    const lines = await listStatementLines(
      ledger.database,
      merchant,
      {
        accountId: account,
        effectiveFromMs: undefined,
        effectiveToMs: undefined,
        beforeVersion: undefined,
        limit: 1_000,
      },
      deadline(),
    );
    // The moments at which something changes and their neighbours, the ends of time, and anything in between.
    const moments = lines.flatMap((line) => [line.effectiveAtMs, snowflakeTimeMs(line.transactionId)]);
    const span = Math.max(...moments) - Math.min(...moments) + 1;
    const times = [
      0,
      1,
      Date.UTC(2200, 0, 1),
      253_402_300_799_999,
      ...moments,
      ...picks.map((pick) => (moments[pick % moments.length] as number) + (pick % 3) - 1),
      ...picks.map((pick) => Math.min(...moments) + (pick % span)),
    ];
    await Promise.all(
      [...new Set(times)].map(async (atMs) => {
        const newestVersion = lines[0]?.accountVersion ?? 0n;
        const totals = { postedDebits: 0n, postedCredits: 0n, pendingDebits: 0n, pendingCredits: 0n };
        const expected = { atMs, ...totals, version: 0n, newestVersion };
        for (const line of lines) {
          if (line.effectiveAtMs > atMs) continue;
          if (line.accountVersion > expected.version) expected.version = line.accountVersion;
          expected[line.direction === 'debit' ? 'postedDebits' : 'postedCredits'] += line.posted;
          expected[line.direction === 'debit' ? 'pendingDebits' : 'pendingCredits'] += line.pending;
        }
        expect({ atMs, ...(await getBalanceAt(ledger.database, merchant, account, atMs, deadline())) }).toMatchObject(
          expected,
        );
      }),
    );
  }

  test('of an account that never moved is zero', async () => {
    const account = await ledger.createAccount(merchant, { code: 'never' });
    expect(await getBalanceAt(ledger.database, merchant, account, Date.now(), deadline())).toMatchObject({
      version: 0n,
      postedDebits: 0n,
      postedCredits: 0n,
    });
  });
});

describe('reads of a long history', () => {
  const TRANSACTIONS = 40_000;
  const PAIRS = 8;
  let on: TestDatabase;
  let ledger: TestLedger;
  let client: pg.Client;
  let history: BulkHistory;

  beforeAll(async () => {
    on = await freshDatabase();
    history = await asAdmin(on.ownerUrl, (admin) =>
      fillHistory(admin, { pairs: PAIRS, transactions: TRANSACTIONS, late: 0.1 }),
    );
    ledger = await TestLedger.open(on);
    client = new pg.Client(connectionOptions(on.runtimeUrl, 'explain'));
    await client.connect();
  });
  afterAll(async () => {
    await client.end();
    await ledger.close();
    await on.drop();
  });

  const account = (): bigint => history.accountIds[3] as bigint;
  const middle = (): number => history.firstMs + TRANSACTIONS / 2;
  const list = (filter: TransactionFilter, beforeId?: bigint): Promise<Explained> =>
    explain(client, history.merchantId, listStatement(history.merchantId, { filter, beforeId, limit: 100 }));
  const statement = (more: Partial<Parameters<typeof statementOfLines>[1]> = {}): Promise<Explained> =>
    explain(
      client,
      history.merchantId,
      statementOfLines(history.merchantId, {
        accountId: account(),
        effectiveFromMs: undefined,
        effectiveToMs: undefined,
        beforeVersion: undefined,
        limit: 100,
        ...more,
      }),
    );
  const beforeId = (): bigint => BigInt(middle() - 1_735_689_600_000) << 22n;

  /** Walks this index without touching the heap, and nothing is sorted or scanned as a whole. */
  function expectWalk(plan: Explained, index: string, { heap = false } = {}): void {
    expect(plan.text).not.toMatch(/Seq Scan (transactions|entries|transaction_states)|Sort|Bitmap|Hash|Materialize/);
    const walked = plan.nodes.find((node) => node['Index Name'] === index);
    expect(walked, plan.text).toBeDefined();
    if (!heap)
      expect({ type: walked?.['Node Type'], fetches: walked?.['Heap Fetches'] }).toEqual({
        type: 'Index Only Scan',
        fetches: 0,
      });
  }

  test('the list of summaries is an index-only scan of the primary key, wherever the page lies', async () => {
    for (const plan of [
      await list({}),
      await list({}, beforeId()),
      await list({ createdFromMs: middle() - 5_000, createdToMs: middle() }),
    ]) {
      expectWalk(plan, 'transactions_pkey');
      expect(plan.nodes[0]?.['Actual Rows']).toBe(100);
      expect(plan.buffers).toBeLessThan(60);
    }
  });

  test('a statement is an index-only scan of the primary key of the entries, wherever the page lies', async () => {
    for (const plan of [
      await statement(),
      await statement({ beforeVersion: 2_000n }),
      await statement({ effectiveToMs: middle() + 10_000 }),
    ]) {
      expectWalk(plan, 'entries_pkey');
      expect(plan.nodes[0]?.['Actual Rows']).toBe(100);
    }
  });

  test('a statement from a day on ends where nothing can be effective any more', async () => {
    const plan = await statement({ effectiveFromMs: history.lastMs + 400_000, limit: 100 });
    expectWalk(plan, 'entries_pkey');
    expect(plan.buffers).toBeLessThan(120);
  });

  test("an account's transactions are found along its entries", async () => {
    for (const plan of [await list({ accountId: account() }), await list({ accountId: account() }, beforeId())]) {
      expectWalk(plan, 'entries_pkey');
      expectWalk(plan, 'transactions_pkey');
      expect(plan.buffers).toBeLessThan(1_500);
    }
  });

  test('a balance in the past reads a few entries and sums, not the history', async () => {
    for (let index = 0; index <= 10; index += 1) {
      const atMs = history.firstMs + Math.floor((TRANSACTIONS * index) / 10);
      const plan = await explain(client, history.merchantId, statementOfBalanceAt(history.merchantId, account(), atMs));
      expect(plan.text).not.toMatch(/Seq Scan (entries|late_sums)|Hash|Merge/);
      // 4,000 late points on this account: a plan that reads them all, or all entries, takes a thousand.
      expect(plan.buffers, plan.text).toBeLessThan(300);
    }
  });

  test('a balance in the past is at the highest version that it counts, back-dated ones included', async () => {
    for (let index = 0; index <= 10; index += 1) {
      const atMs = history.firstMs - 30 * DAY_MS + Math.floor((30 * DAY_MS * index) / 10);
      const { rows } = await client.query(
        `WITH tenant AS MATERIALIZED (SELECT set_config('counterfoil.merchant_ids', $4, false))
         SELECT coalesce(max(e.account_version), 0)::text AS version FROM tenant
           LEFT JOIN entries e ON e.merchant_id = $1 AND e.account_id = $2 AND e.effective_at <= $3`,
        [history.merchantId, account(), new Date(atMs), `{${history.merchantId}}`],
      );
      const { version } = (await getBalanceAt(ledger.database, history.merchantId, account(), atMs, deadline())) ?? {};
      expect(String(version)).toBe(rows[0].version);
    }
  });

  test('an external_ref is found by its index', async () => {
    const plan = await list({ externalRef: 'ref 20000' });
    expectWalk(plan, 'transactions_external_ref', { heap: true });
    expect(plan.buffers).toBeLessThan(30);
  });

  test('a status that can move is found by its index', async () => {
    for (const plan of [
      await list({ status: 'pending' }),
      await list({ status: 'voided' }),
      await list({ status: 'pending' }, beforeId()),
    ]) {
      expectWalk(plan, 'transaction_states_status', { heap: true });
      expect(plan.buffers).toBeLessThan(1_000);
    }
  });

  test('pages of summaries and of statement lines give each item once, newest first', async () => {
    const { merchantId } = history;
    const ids: bigint[] = [];
    for (let before: bigint | undefined; ; before = ids.at(-1)) {
      const page = await listTransactions(
        ledger.database,
        merchantId,
        { filter: { accountId: account() }, beforeId: before, limit: 999 },
        deadline(),
      );
      ids.push(...page.map(({ id }) => id));
      if (page.length < 999) break;
    }
    const versions: bigint[] = [];
    for (let before: bigint | undefined; ; before = versions.at(-1)) {
      const page = await listStatementLines(
        ledger.database,
        merchantId,
        {
          accountId: account(),
          effectiveFromMs: undefined,
          effectiveToMs: undefined,
          beforeVersion: before,
          limit: 999,
        },
        deadline(),
      );
      versions.push(...page.map(({ accountVersion }) => accountVersion));
      if (page.length < 999) break;
    }
    const expected = Array.from({ length: TRANSACTIONS / PAIRS }, (_, index) => BigInt(TRANSACTIONS / PAIRS - index));
    expect(versions).toEqual(expected);
    expect(ids).toHaveLength(expected.length);
    expect(ids.every((id, index) => index === 0 || id < (ids[index - 1] as bigint))).toBe(true);
  });
});
