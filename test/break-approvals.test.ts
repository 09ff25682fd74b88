import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { ActOnBreakCommand, ActOnBreakHandler } from '#reconciliation/breaks/act-on-break.command.js';
import { Build, Service } from './histories/servers.js';
import { type Answer, Client, type Json, OPERATOR_KEY, TestApi } from './support/api.js';
import { BreakShop, type TestOperator } from './support/breaks.js';
import { Bystander } from './support/bystander.js';
import { TestLedger } from './support/ledger.js';
import { COMMIT, cut, TcpProxy } from './support/tcp-proxy.js';
import { until } from './support/until.js';
import { expectVerified } from './support/verified.js';

const AT_ONCE = 16;

let api: TestApi;
let other: TestApi;
let bystander: Bystander;
let proxy: TcpProxy;
/** Whose writer alone goes by way of the proxy. */
let ledger: TestLedger;
let shop: BreakShop;
let maker: TestOperator;
let checker: TestOperator;
let id: string;

beforeAll(async () => {
  api = await TestApi.start();
  other = await TestApi.start({ on: api.on, environment: { API_KEY_CACHE_MS: '5000' } });
  bystander = await Bystander.open(api.on);
  proxy = await TcpProxy.open(api.on.runtimeUrl);
  ledger = await TestLedger.open(api.on, { databaseUrl: proxy.url, lanes: 1 });
});
beforeEach(async () => {
  shop = await BreakShop.open(api, bystander.client);
  [maker, checker] = [await shop.operator(), await shop.operator()];
  id = await shop.found();
  await shop.act(maker, id, 'propose', shop.posting());
});
afterEach(() => {
  for (const one of [api, other]) expect(one.errors).toEqual([]);
});
afterAll(async () => {
  await expectVerified(api.on);
  await proxy.close();
  await ledger.close();
  await bystander.close();
  await other.stop();
  await api.stop();
});

/** Through the writer whose connection can be cut. */
function approveByProxy(key: string, breakId = id) {
  const operator = { keyId: BigInt(checker.keyId as string), name: checker.name, responsible: checker.name };
  return new ActOnBreakHandler(ledger.database, ledger.directory, ledger.writer).execute(
    new ActOnBreakCommand(
      ledger.context(BigInt(shop.merchant.id)),
      operator,
      { breakId: BigInt(breakId), reconciliationId: undefined },
      { action: 'approve' },
      { key, requestSha256: Buffer.alloc(32, 1) },
    ),
  );
}

/** The break has one transaction, and says so. */
async function expectPostedOnce(): Promise<void> {
  const posted = await shop.adjustments();
  expect(posted).toHaveLength(1);
  expect(await shop.get(id)).toMatchObject({ status: 'resolved', resolution: { transaction_id: posted[0].id } });
}

const told = ({ status, body }: Answer) => [status, body.code];

/** Everybody who writes for the merchant waits until `work` has ended. */
async function whileLocked<T>(work: () => Promise<T>): Promise<T> {
  await bystander.client.query('BEGIN');
  try {
    await bystander.client.query('SELECT lock_merchants($1)', [`{${shop.merchant.id}}`]);
    return await work();
  } finally {
    await bystander.client.query('COMMIT');
  }
}

describe('an approval posts once', () => {
  test('as the answer to its COMMIT is lost', async () => {
    const key = randomUUID();
    let lost: Promise<void> | undefined;
    proxy.onNext(COMMIT, (link, deliver) => {
      lost = TcpProxy.answerLost(link, deliver);
    });
    expect(await approveByProxy(key)).toMatchObject({ replayed: false, result: { answer: { status: 'resolved' } } });
    await lost;
    expect(await approveByProxy(key)).toMatchObject({ replayed: true, result: { answer: { status: 'resolved' } } });
    await expectPostedOnce();
  });

  test('as its COMMIT does not arrive', async () => {
    proxy.onNext(COMMIT, cut);
    expect(await approveByProxy(randomUUID())).toMatchObject({ result: { answer: { status: 'resolved' } } });
    await expectPostedOnce();
  });

  test('asked for by many at once, through two processes, under keys of their own', async () => {
    const ways = [checker.client, shop.via(other, checker.secret), shop.environment.client];
    const answers = await Promise.all(
      Array.from({ length: AT_ONCE }, (_, index) => shop.act(ways[index % ways.length] as Client, id, 'approve')),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    for (const answer of answers) if (answer.status !== 200) expect(told(answer)).toEqual([409, 'invalid_transition']);
    await expectPostedOnce();
  });

  test('asked for by many at once under one key: all are told the same', async () => {
    const key = randomUUID();
    const ways = [checker.client, shop.via(other, checker.secret)];
    const answers = await Promise.all(
      Array.from({ length: AT_ONCE }, (_, index) => shop.act(ways[index % 2] as Client, id, 'approve', undefined, key)),
    );
    const done = answers.filter(({ status }) => status === 200);
    expect(new Set(done.map(({ text }) => text)).size).toBe(1);
    for (const answer of answers)
      if (answer.status !== 200) expect(told(answer)).toEqual([409, 'idempotency_in_flight']);
    await expectPostedOnce();
  });

  test('as its process is killed while it waits, and another one is asked under the same key', async () => {
    const build = new Build(undefined);
    const service = new Service('api', build, 'dist/apps/api/src/main.js', {
      PATH: process.env.PATH,
      DATABASE_URL: api.on.ownerUrl,
      DATABASE_RUNTIME_URL: api.on.runtimeUrl,
      COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY,
      PORT: '0',
      REDIS_URL: inject('redisUrl'),
    });
    try {
      await service.start();
      const key = randomUUID();
      const there = new Client(service.url as string, checker.client.headers);
      await whileLocked(async () => {
        const answer = shop.act(there, id, 'approve', undefined, key).catch(() => 'no answer');
        await bystander.untilWaiting(1);
        await service.end('SIGKILL');
        expect(await answer).toBe('no answer');
      });
      expect((await shop.act(checker, id, 'approve', undefined, key)).status).toBe(200);
      await expectPostedOnce();
    } finally {
      await service.end('SIGKILL');
      build.remove();
    }
  }, 180_000);
});

describe('while an approval waits', () => {
  /** What is answered to an approval that waited while `change` was made. */
  async function answeredAfter(change: () => Promise<unknown>): Promise<Answer> {
    let answer: Promise<Answer> | undefined;
    await whileLocked(async () => {
      answer = shop.act(shop.via(other, checker.secret), id, 'approve');
      await bystander.untilWaiting(1);
      await change();
    });
    return (await answer) as Answer;
  }

  test('its checker’s key is revoked: it is refused', async () => {
    expect(told(await answeredAfter(() => shop.revoke(checker)))).toEqual([403, 'forbidden']);
    expect([(await shop.get(id)).status, await shop.adjustments()]).toEqual(['proposed', []]);
  });

  test('the break is resolved by a row that turns up: it is refused', async () => {
    const resolution = {
      by: null,
      approved_by: null,
      transaction_id: null,
      reason: 'turned up',
      at: '2026-11-27T10:00:00.000Z',
    };
    const refused = await answeredAfter(() =>
      bystander.client.query(
        `UPDATE breaks SET status = 'auto_resolved', proposal = NULL, resolution = $3 WHERE merchant_id = $1 AND id = $2`,
        [shop.merchant.id, id, JSON.stringify(resolution)],
      ),
    );
    expect(told(refused)).toEqual([409, 'invalid_transition']);
    expect([(await shop.get(id)).status, await shop.adjustments()]).toEqual(['auto_resolved', []]);
  });

  test('another proposal takes the place of the one that was shown: it is refused', async () => {
    const refused = await answeredAfter(() =>
      bystander.client.query(
        `UPDATE breaks SET proposal = jsonb_set(proposal::jsonb, '{id}', '"7"') WHERE merchant_id = $1 AND id = $2`,
        [shop.merchant.id, id],
      ),
    );
    expect(told(refused)).toEqual([409, 'invalid_transition']);
    expect([(await shop.get(id)).status, await shop.adjustments()]).toEqual(['proposed', []]);
  });
});

test('a key is revoked after what it has approved, never in the middle of it', async () => {
  let deliver: (() => void) | undefined;
  proxy.onNext(COMMIT, (_link, go) => {
    deliver = go;
  });
  const approved = approveByProxy(randomUUID());
  await bystander.untilWritten();
  let isRevoked = false;
  const revoked = shop.revoke(checker).then(() => {
    isRevoked = true;
  });
  await until('the revocation waits', async () => {
    const { waiting } = await bystander.one<{ waiting: number }>(
      `SELECT count(*)::int AS waiting FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.datname = current_database()`,
    );
    return waiting > 0;
  });
  expect(isRevoked).toBe(false);
  deliver?.();
  expect(await approved).toMatchObject({ result: { answer: { status: 'resolved' } } });
  await revoked;
  await expectPostedOnce();
});

test('an item that is matched at the very moment of a match by hand is matched once', async () => {
  const item = 'payment/7/payment/c1';
  const matching = await shop.found({ kind: 'ambiguous', candidates: [{ item, amount: '1000' }] });
  await shop.act(maker, matching, 'propose', { action: 'match', candidates: [item], reason: 'x' });
  // Matching takes rows that open no break without the merchant's lock.
  await bystander.client.query('BEGIN');
  await bystander.client.query('INSERT INTO reconciled_items VALUES ($1, $2, $3, 99)', [
    shop.merchant.id,
    item,
    shop.reportId,
  ]);
  const answer = shop.act(checker, matching, 'approve');
  await bystander.untilWaiting(1);
  await bystander.client.query('COMMIT');
  const refused = await answer;
  expect(told(refused)).toEqual([409, 'invalid_transition']);
  expect((await shop.get(matching)).status).toBe('proposed');
  const { rows } = await bystander.client.query(
    'SELECT match_line FROM report_rows WHERE merchant_id = $1 AND rule IS NOT NULL',
    [shop.merchant.id],
  );
  expect(rows as Json[]).toEqual([]);
  // It is in no match of ours: what the bystander wrote has no row.
  await bystander.client.query('DELETE FROM reconciled_items WHERE merchant_id = $1', [shop.merchant.id]);
});

describe('a match by hand and the write-off of a break that holds its item, in one commit group', () => {
  const item = 'payment/7/payment/c2';

  /** Commits the approvals in one group, in this order. Answers what became of each: its status, or why not. */
  async function approvedTogether(...breakIds: string[]): Promise<unknown[]> {
    const answers: Promise<unknown>[] = [];
    let first: Promise<unknown> | undefined;
    await whileLocked(async () => {
      first = approveByProxy(randomUUID());
      await bystander.untilWaiting(1);
      for (const [index, breakId] of breakIds.entries()) {
        answers.push(
          approveByProxy(randomUUID(), breakId).then(({ result }) =>
            'refusal' in result ? result.refusal.code : result.answer.status,
          ),
        );
        await until('it waits for the next group', () => ledger.writer.waiting > index);
      }
    });
    await first;
    return Promise.all(answers);
  }

  async function proposed(): Promise<{ holder: string; matching: string }> {
    const holder = await shop.found({ kind: 'missing_in_report', row: false, item });
    const matching = await shop.found();
    await shop.act(maker, holder, 'propose', { action: 'write_off', reason: 'Too small.' });
    await shop.act(maker, matching, 'propose', { action: 'match', candidates: [item], reason: 'x' });
    return { holder, matching };
  }

  const ends = async (breakId: string): Promise<Json[]> =>
    (await api.logOf(shop.merchant))
      .filter(({ type, data }) => type === 'break.resolved' && data.break_id === breakId)
      .map(({ data }) => data.status);
  const groupsOf = (...breakIds: string[]) =>
    bystander.one('SELECT count(DISTINCT xmin::text)::int AS groups FROM breaks WHERE id = ANY ($1::bigint[])', [
      breakIds,
    ]);

  test('the write-off first: it stays what it was, and is told once', async () => {
    const { holder, matching } = await proposed();
    expect(await approvedTogether(holder, matching)).toEqual(['written_off', 'resolved']);
    expect(await groupsOf(holder, matching)).toEqual({ groups: 1 });
    expect(await shop.get(holder)).toMatchObject({ status: 'written_off', resolution: { reason: 'Too small.' } });
    expect([await ends(holder), await ends(matching)]).toEqual([['written_off'], ['resolved']]);
  });

  test('the match first: nothing is left to be written off', async () => {
    const { holder, matching } = await proposed();
    expect(await approvedTogether(matching, holder)).toEqual(['resolved', 'invalid_transition']);
    expect(await groupsOf(holder, matching)).toEqual({ groups: 1 });
    expect(await shop.get(holder)).toMatchObject({ status: 'auto_resolved' });
    expect([await ends(holder), await ends(matching)]).toEqual([['auto_resolved'], ['resolved']]);
  });
});
