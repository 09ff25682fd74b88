import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { firstSnowflakeAt, snowflakeTimeMs } from '#kernel/snowflake.js';
import type { Side } from '#ledger/accounts/account.js';
import { getBalanceAt, statementOfBalanceAt } from '#ledger/accounts/balance-store.js';
import type { PostingReply } from '#ledger/posting/posting.js';
import { listStatementLines, type StatementPage, statementSearch } from '#ledger/reading/statement-store.js';
import { listTransactions, type TransactionFilter, transactionSearch } from '#ledger/reading/transaction-list.js';
import { Cost } from '#platform/cost.js';
import { Deadline } from '#platform/deadline.js';
import { connectionOptions } from '#platform/postgres.js';
import { type Search, searchQuery } from '#platform/search.js';
import { type BulkHistory, fillHistory } from '../bench/bulk-history.js';
import { type Explained, explain } from '../bench/explain.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { postedId, TestLedger, transfer } from './support/ledger.js';
import { expectVerified } from './support/verified.js';

const DAY_MS = 86_400_000;
/** As LIST_SCAN_ROWS is by default. */
const SCAN_ROWS = 10_000;
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
    /** How long after its parent the client says that the move happened; undefined: it does not say. */
    nextAfterMs: fc.option(fc.constantFrom(0, 1, 64, 60_000), { nil: undefined }),
  });

  test('at any time is the sum of what clients said had happened by then', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(posting, { minLength: 1, maxLength: 25 }),
        fc.array(fc.integer({ min: 0 }), { minLength: 30, maxLength: 30 }),
        async (postings, picks) => {
          const a = await ledger.createAccount(merchant, { code: `a${accounts++}`, normalSide: 'debit' });
          const b = await ledger.createAccount(merchant, { code: `a${accounts++}` });
          const effects = await Promise.all(
            postings.map(({ back, ...what }) => carryOut(back ? [b, a] : [a, b], what)),
          );
          for (const account of [a, b]) await compareWithEffects(account, effects.flat(), picks);
        },
      ),
      { numRuns: 25, seed: 20_261_127 },
    );
  }, 120_000);

  /** One side of a transfer or of what moved it: from `atMs` on the account has this much more, posted and held. */
  interface Effect {
    id: bigint;
    account: bigint;
    direction: Side;
    atMs: number;
    posted: bigint;
    pending: bigint;
  }

  /**
   * Posts, then moves it on. What the balance must show comes from what was asked and from the clock when it was asked; only
   * the millisecond of recording is read off the id, and held between the two readings of the clock.
   */
  async function carryOut(
    [from, to]: [bigint, bigint],
    {
      lateness: lateMs,
      amount,
      next,
      nextAfterMs,
    }: { lateness: number | undefined; amount: bigint; next: string; nextAfterMs: number | undefined },
  ): Promise<Effect[]> {
    const both = (id: bigint, atMs: number, posted: bigint, pending: bigint, swapped = false): Effect[] => [
      { id, account: from, direction: swapped ? 'credit' : 'debit', atMs, posted, pending },
      { id, account: to, direction: swapped ? 'debit' : 'credit', atMs, posted, pending },
    ];
    const holds = !['nothing', 'reverse'].includes(next);
    const askedMs = lateMs === undefined ? undefined : Math.max(0, Date.now() - lateMs);
    const request = transfer(from, to, amount, {
      pending: holds,
      ...(askedMs !== undefined && { effectiveAtMs: askedMs }),
    });
    const recorded = await recordedBetween(() => ledger.post(merchant, request));
    const parentMs = askedMs ?? recorded.atMs;
    const effects = both(recorded.id, parentMs, holds ? 0n : amount, holds ? amount : 0n);
    if (next === 'nothing' || next === 'hold') return effects;
    const askedNextMs = nextAfterMs === undefined ? undefined : parentMs + nextAfterMs;
    const facts = { parentId: recorded.id, ...(askedNextMs !== undefined && { effectiveAtMs: askedNextMs }) };
    const moves = {
      capture: { kind: 'capture', final: true, ...facts },
      'capture in part': { kind: 'capture', amount: 1n, final: false, ...facts },
      void: { kind: 'void', ...facts },
      reverse: { kind: 'reverse', ...facts },
    } as const;
    const moved = await recordedBetween(() => ledger.change(merchant, moves[next as keyof typeof moves]));
    const nextMs = askedNextMs ?? Math.max(moved.atMs, parentMs);
    if (next === 'capture') return [...effects, ...both(moved.id, nextMs, amount, -amount)];
    if (next === 'capture in part') return [...effects, ...both(moved.id, nextMs, 1n, -1n)];
    if (next === 'void') return [...effects, ...both(moved.id, nextMs, 0n, -amount)];
    return [...effects, ...both(moved.id, nextMs, amount, 0n, true)];
  }

  async function recordedBetween(ask: () => Promise<PostingReply>): Promise<{ id: bigint; atMs: number }> {
    const beforeMs = Date.now();
    const id = postedId(await ask());
    const atMs = snowflakeTimeMs(id);
    expect(atMs).toBeGreaterThanOrEqual(beforeMs);
    expect(atMs).toBeLessThanOrEqual(Date.now());
    return { id, atMs };
  }

  async function compareWithEffects(account: bigint, all: readonly Effect[], picks: readonly number[]): Promise<void> {
    // Ids ascend along an account's versions, and each effect is one.
    const effects = all.filter((effect) => effect.account === account).sort((a, b) => (a.id < b.id ? -1 : 1));
    // The moments at which something changes and their neighbours, the ends of time, and anything in between.
    const moments = effects.map(({ atMs }) => atMs);
    const span = Math.max(...moments) - Math.min(...moments) + 1;
    const times = [
      0,
      1,
      Date.UTC(2200, 0, 1),
      253_402_300_799_999,
      Date.now(),
      ...moments.flatMap((moment) => [moment - 1, moment]),
      ...picks.map((pick) => (moments[pick % moments.length] as number) + (pick % 3) - 1),
      ...picks.map((pick) => Math.min(...moments) + (pick % span)),
    ].filter((ms) => ms >= 0);
    await Promise.all(
      [...new Set(times)].map(async (atMs) => {
        const totals = { postedDebits: 0n, postedCredits: 0n, pendingDebits: 0n, pendingCredits: 0n };
        const expected = { atMs, ...totals, version: 0n, newestVersion: BigInt(effects.length) };
        for (const [index, effect] of effects.entries()) {
          if (effect.atMs > atMs) continue;
          expected.version = BigInt(index + 1);
          expected[effect.direction === 'debit' ? 'postedDebits' : 'postedCredits'] += effect.posted;
          expected[effect.direction === 'debit' ? 'pendingDebits' : 'pendingCredits'] += effect.pending;
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
    explainSearch(transactionSearch(history.merchantId, { filter, beforeId, limit: 100 }));
  const statementOf = (more: Partial<StatementPage> = {}): Search => {
    const all = {
      accountId: account(),
      effectiveFromMs: undefined,
      effectiveToMs: undefined,
      beforeVersion: undefined,
    };
    return statementSearch(history.merchantId, { ...all, limit: 100, ...more });
  };
  const statement = (more?: Partial<StatementPage>): Promise<Explained> => explainSearch(statementOf(more));
  const explainSearch = (search: Search, most = SCAN_ROWS): Promise<Explained> =>
    explain(client, history.merchantId, searchQuery(search, most), { walks: search.tests.length > 0 });
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

  test('what is tested is tested along an index in the order of the list, so many rows and no more', async () => {
    const page = { beforeId: undefined, limit: 100 };
    const type = 'no type of any transaction';
    const search = (filter: TransactionFilter) => transactionSearch(history.merchantId, { ...page, filter });
    const searches = [
      [search({ type }), 'transactions_pkey', false],
      [search({ status: 'posted', type, createdToMs: middle() }), 'transactions_pkey', false],
      [search({ accountId: account(), type }), 'entries_pkey', false],
      [search({ status: 'pending', type }), 'transaction_states_status', true],
      [statementOf({ effectiveToMs: history.firstMs - 60 * DAY_MS }), 'entries_pkey', false],
    ] as const;
    for (const [one, index, heap] of searches) {
      const plan = await explainSearch(one, 500);
      expectWalk(plan, index, { heap });
      const walked = plan.nodes.find((node) => node['Index Name'] === index);
      expect([plan.nodes[0]?.['Actual Rows'], walked?.['Actual Rows']]).toEqual([1, 500]);
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

  test('what moved a transaction is found by its index', async () => {
    const parentId = firstSnowflakeAt(middle());
    const reversed = await ledger.change(history.merchantId, { kind: 'reverse', parentId });
    const plan = await list({ parentId });
    expectWalk(plan, 'transactions_parent', { heap: true });
    expect(plan.nodes[0]?.['Actual Rows']).toBe(1);
    expect(plan.buffers).toBeLessThan(30);
    const filter = { parentId };
    const found = await listTransactions(
      ledger.database,
      { merchantId: history.merchantId, deadline: deadline(), cost: new Cost() },
      { filter, beforeId: undefined, limit: 100 },
    );
    expect(found.rows.map(({ id }) => id)).toEqual([postedId(reversed)]);
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
      const { rows: page } = await listTransactions(
        ledger.database,
        { merchantId, deadline: deadline(), cost: new Cost() },
        { filter: { accountId: account() }, beforeId: before, limit: 999 },
      );
      ids.push(...page.map(({ id }) => id));
      if (page.length < 999) break;
    }
    const versions: bigint[] = [];
    for (let before: bigint | undefined; ; before = versions.at(-1)) {
      const { rows: page } = await listStatementLines(
        ledger.database,
        { merchantId, deadline: deadline(), cost: new Cost() },
        {
          accountId: account(),
          effectiveFromMs: undefined,
          effectiveToMs: undefined,
          beforeVersion: before,
          limit: 999,
        },
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
