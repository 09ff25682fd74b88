import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Account } from '#ledger/accounts/account.js';
import type { Outcome, Submission } from '#ledger/writing/group-extension.js';
import { type Extended, extended } from '#ledger/writing/group-extension.js';
import { ALLOWANCE, ALLOWANCES, createAllowances, type Spending } from './support/allowances.js';
import { Bystander } from './support/bystander.js';
import { freshDatabase, type TestDatabase } from './support/database.js';
import { postedId, TestLedger, transfer } from './support/ledger.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';

describe('an extension of commit groups', () => {
  let on: TestDatabase;
  let bystander: Bystander;
  let ledger: TestLedger;
  let merchant: bigint;
  const accounts = new Map<bigint, Account>();
  let from: bigint;
  let to: bigint;

  beforeAll(async () => {
    on = await freshDatabase();
    await createAllowances(on);
    [bystander, ledger] = await Promise.all([Bystander.open(on), TestLedger.open(on, { lanes: 1, attempts: 2 })]);
    merchant = await ledger.createMerchant();
    for (const code of ['from', 'to']) {
      const id = await ledger.createAccount(merchant, { code });
      accounts.set(id, { id, code, currency: 'EUR', normalSide: 'credit', minAvailable: null });
    }
    [from, to] = [...accounts.keys()] as [bigint, bigint];
  });
  afterAll(async () => {
    await Promise.all([ledger.close(), bystander.close()]);
    await on.drop();
  });
  afterEach(() => expectVerified(on));

  const spend = (name: string, amount: bigint, more: Partial<Spending> = {}): Extended =>
    extended(ALLOWANCES, { name, amount, from, to, ...more });

  const submit = async (
    commands: Submission['commands'],
    key: string | 'none' = randomUUID(),
    mode: Submission['mode'] = 'single',
  ) => {
    const idempotency = key === 'none' ? undefined : { key, requestSha256: Buffer.alloc(32, 1) };
    const request = { mode, commands, accounts, idempotency };
    return (await ledger.writer.post(ledger.context(merchant), request)).outcome;
  };

  /** Commits all of them in one group, in this order. */
  async function together<T>(...submits: (() => Promise<T>)[]): Promise<PromiseSettledResult<T>[]> {
    await bystander.lockBalance(from);
    const first = ledger.post(merchant, transfer(from, to, 1n));
    await bystander.untilWaiting();
    const all: Promise<T>[] = [];
    for (const one of submits) {
      const { waiting } = ledger.writer;
      all.push(one());
      await until('it waits in the lane', () => ledger.writer.waiting > waiting);
    }
    const settled = Promise.allSettled(all);
    await bystander.release();
    await first;
    return settled;
  }

  /** What a name left behind: rows, transactions that they name, groups that wrote them. */
  const spendingsOf = (name: string) =>
    bystander.one<{ spent: string[]; posted: number; groups: number }>(
      `SELECT coalesce(array_agg(s.spent::text ORDER BY s.spent), '{}') AS spent, count(t.id)::int AS posted,
              count(DISTINCT s.xmin::text)::int AS groups
         FROM spendings s LEFT JOIN transactions t ON t.merchant_id = s.merchant_id AND t.id = s.transaction_id AND t.xmin::text = s.xmin::text
        WHERE s.name = $1`,
      [name],
    );

  const counts = () =>
    bystander.one<{ transactions: number; keys: number; events: number }>(
      `SELECT (SELECT count(*)::int FROM transactions) AS transactions, (SELECT count(*)::int FROM idempotency_keys) AS keys,
              (SELECT count(*)::int FROM events) AS events`,
    );

  const answerOf = (outcome: Outcome | undefined): unknown => {
    if (outcome?.kind !== 'decided') return outcome;
    return outcome.decisions.map((decision) =>
      decision.accepted ? 'response' in decision && JSON.parse(decision.response) : decision.code,
    );
  };
  const valuesOf = (settled: PromiseSettledResult<Outcome>[]): unknown[] =>
    settled.map((one) => (one.status === 'fulfilled' ? answerOf(one.value) : String(one.reason)));

  test('its row, its event, the posting and the key commit together, and the key repeats its answer', async () => {
    const before = await counts();
    const outcome = await submit([spend('one', 60n)], 'one');
    expect(answerOf(outcome)).toEqual([{ spent: '60' }]);
    expect(await spendingsOf('one')).toEqual({ spent: ['60'], posted: 1, groups: 1 });
    const { transactions, keys, events } = await counts();
    expect([transactions - before.transactions, keys - before.keys, events - before.events]).toEqual([1, 1, 2]);
    const again = await submit([spend('one', 60n)], 'one');
    expect(again).toEqual({ kind: 'replayed', status: 201, transactionId: null, response: '{"spent":"60"}' });
    expect((await spendingsOf('one')).spent).toEqual(['60']);
  });

  test('what it looks up behind the lock is what the last group wrote; a refusal writes nothing and is kept with its key', async () => {
    await submit([spend('limited', 60n)]);
    const before = await counts();
    expect(answerOf(await submit([spend('limited', 41n)], 'too much'))).toEqual(['condition_failed']);
    expect(await submit([spend('limited', 41n)], 'too much')).toMatchObject({ kind: 'replayed', status: 409 });
    expect(answerOf(await submit([spend('limited', 40n)]))).toEqual([{ spent: '100' }]);
    expect((await spendingsOf('limited')).spent).toEqual(['60', '100']);
    expect((await counts()).transactions - before.transactions).toBe(1);
  });

  test('later submissions of a group see what earlier ones decided, and what a refusal or a throw undid they do not see', async () => {
    const settled = await together(
      () => submit([spend('shared', 50n)]),
      () => submit([spend('shared', 30n, { fault: 'throws' })]),
      () => submit([spend('shared', 51n)]),
      () => submit([spend('shared', 20n), spend('shared', 99n)], 'all or nothing', 'atomic'),
      () => submit([spend('shared', 20n), spend('shared', 99n), spend('shared', 30n)], 'each', 'independent'),
      () => submit([spend('shared', 1n)]),
    );
    expect(valuesOf(settled)).toEqual([
      [{ spent: '50' }],
      'Error: an extension that throws',
      ['condition_failed'],
      ['condition_failed'],
      [{ spent: '70' }, 'condition_failed', { spent: '100' }],
      ['condition_failed'],
    ]);
    expect(await spendingsOf('shared')).toEqual({ spent: ['50', '70', '100'], posted: 3, groups: 1 });
  });

  test('a posting that the ledger refuses refuses its command', async () => {
    const before = await counts();
    expect(answerOf(await submit([spend('crooked', 5n, { fault: 'unposted' })], 'crooked'))).toEqual([
      'unbalanced_entries',
    ]);
    expect(await counts()).toEqual({ ...before, keys: before.keys + 1 });
  });

  test('its timers commit with it, of each the last word; what was refused set none', async () => {
    const timers = async () =>
      (
        await bystander.client.query(
          `SELECT kind, subject_id::bigint AS subject, extract(epoch FROM due_at)::int AS due_s FROM due_rows ORDER BY kind`,
        )
      ).rows;
    const timer = (kind: string, due_s: number) => ({ kind, subject: String(from), due_s });
    const lasting = { only: 'row' as const };
    await submit([spend('never', 101n, { ...lasting, dueAtMs: 1_000 })]);
    expect(await timers()).toEqual([]);
    await together(
      () => submit([spend('early', 1n, { ...lasting, dueAtMs: 1_000 })]),
      () => submit([spend('late', 1n, { ...lasting, dueAtMs: 2_000 })]),
      () => submit([spend('early', 1n, { ...lasting, dueAtMs: 3_000 })]),
      () => submit([spend('over', 1n, { ...lasting, dueAtMs: 4_000 })]),
      () => submit([spend('over', 1n, { ...lasting, dueAtMs: null })]),
    );
    expect(await timers()).toEqual([timer('early', 3), timer('late', 2)]);
    await submit([spend('early', 1n, { ...lasting, dueAtMs: null })]);
    expect(await timers()).toEqual([timer('late', 2)]);
  });

  test('extensions of one group each know what they looked up themselves', async () => {
    const others: typeof ALLOWANCES = { ...ALLOWANCES, name: 'other allowances' };
    const spendOther = (amount: bigint) => extended(others, { name: 'theirs', amount, from, to });
    await submit([spend('ours', 60n)]);
    await submit([spendOther(70n)]);
    const settled = await together(
      () => submit([spend('ours', 41n)]),
      () => submit([spendOther(31n)]),
      () => submit([spend('ours', 40n)]),
      () => submit([spendOther(30n)]),
    );
    expect(valuesOf(settled)).toEqual([
      ['condition_failed'],
      ['condition_failed'],
      [{ spent: '100' }],
      [{ spent: '100' }],
    ]);
  });

  test('rows need neither a posting nor a key', async () => {
    const before = await counts();
    expect(answerOf(await submit([spend('parked', 5n, { only: 'row' })], 'none'))).toEqual([{ spent: '5' }]);
    expect(await spendingsOf('parked')).toEqual({ spent: ['5'], posted: 0, groups: 1 });
    expect((await counts()).transactions).toBe(before.transactions);
  });

  test.each([
    ['whose statement a check refuses', 'poison', /spendings_fault_check/],
    ['whose row is there already', 'taken', /database did not commit in time/],
    ['whose answer is no JSON', 'unanswered', /invalid input syntax for type json/],
    ['that throws', 'throws', /an extension that throws/],
  ] as const)('a submission %s fails alone', async (_title, fault, message) => {
    await submit([spend(`of ${fault}`, 7n)]);
    const [before, offender, after] = await together(
      () => submit([spend(`before ${fault}`, 10n)]),
      () => submit([spend(`of ${fault}`, 7n, { fault })], `key of ${fault}`),
      () => submit([spend(`after ${fault}`, 10n)]),
    );
    expect([before?.status, after?.status]).toEqual(['fulfilled', 'fulfilled']);
    expect(offender).toMatchObject({ status: 'rejected', reason: { message: expect.stringMatching(message) } });
    expect(await spendingsOf(`before ${fault}`)).toMatchObject({ spent: ['10'], posted: 1 });
    expect(await spendingsOf(`after ${fault}`)).toMatchObject({ spent: ['10'], posted: 1 });
    expect(await spendingsOf(`of ${fault}`)).toMatchObject({ spent: ['7'], posted: 1 });
    expect((await bystander.effectsOf(`key of ${fault}`)).keys).toBe(0);
  });

  test('a connection that is lost between the posting and COMMIT leaves neither, and the next try leaves both once', async () => {
    const before = await counts();
    await expect(submit([spend('lost', 5n, { fault: 'cut' })])).rejects.toMatchObject({ code: 'database_unavailable' });
    expect(await counts()).toEqual(before);
    expect((await spendingsOf('lost')).spent).toEqual([]);
    expect(answerOf(await submit([spend('found', 5n, { fault: 'cut once' })]))).toEqual([{ spent: '5' }]);
    expect(await spendingsOf('found')).toEqual({ spent: ['5'], posted: 1, groups: 1 });
    expect((await counts()).transactions - before.transactions).toBe(1);
  });

  test('a group sends one more statement in each trip where a command concerns it, and none where none does', async () => {
    await submit([spend('counted', 1n)]);
    const query = vi.spyOn(pg.Client.prototype, 'query');
    const sent = (): string[] =>
      query.mock.calls.splice(0).flatMap(([config]) => {
        const { text = String(config) } = config as { text?: string };
        return [text === ALLOWANCES.lookUp?.text ? 'look up' : text === ALLOWANCES.write?.text ? 'write' : 'other'];
      });
    try {
      postedId(await ledger.post(merchant, transfer(from, to, 1n)));
      const plain = sent();
      await together(...[1n, 2n, 3n].map((amount) => () => submit([spend('counted', amount)])));
      const extending = sent();
      await submit([spend('counted', ALLOWANCE)]);
      const refusing = sent();
      expect(plain.filter((name) => name !== 'other')).toEqual([]);
      expect(extending.filter((name) => name !== 'other')).toEqual(['look up', 'write']);
      expect(refusing.filter((name) => name !== 'other')).toEqual(['look up']);
    } finally {
      query.mockRestore();
    }
  });
});
