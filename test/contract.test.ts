import { CommandBus } from '@nestjs/cqrs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { CURRENCIES } from '#kernel/money.js';
import { holdExpiry } from '#ledger/duties/expiry.js';
import { Database } from '#platform/postgres.js';
import { CONTROLLERS } from '../apps/api/src/app.module.js';
import { routesOf } from '../apps/api/src/openapi.js';
import { type Json, type Merchant, TestApi, transfer, until } from './support/api.js';
import { Contract } from './support/contract.js';

let api: TestApi;
let contract: Contract;
let shop: Merchant;

beforeAll(async () => {
  // Balances are expected from the cache, and a busy machine is not the subject here.
  api = await TestApi.start({ environment: { BALANCE_REDIS_TIMEOUT_MS: '5000' } });
  contract = await Contract.hold(api);
  shop = await api.merchant('EUR', 'USD', 'JPY', 'KWD');
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(() => api.stop());

describe('merchants and keys', () => {
  test('a new merchant comes with eight system accounts a currency and a key that works', async () => {
    const body = { name: 'Nord', time_zone: 'Europe/Berlin', settlement_cutoff: '23:00', currencies: ['EUR', 'JPY'] };
    const created = await api.operator.post('/v1/merchants', { body });
    expect(created.status).toBe(201);
    expect(created.body).toMatchObject(body);
    const names = [
      'provider_receivable',
      'merchant_payable',
      'fee_revenue',
      'payout_clearing',
      'dispute_reserve',
      'cash',
      'suspense',
      'provider_fees',
    ];
    const codes = created.body.accounts.map((account: Json) => account.code);
    expect(codes.sort()).toEqual(names.flatMap((name) => [`${name}:EUR`, `${name}:JPY`]).sort());
    const sides = created.body.accounts.map((account: Json) => [account.code.split(':')[0], account.normal_side]);
    for (const [name, side] of sides)
      expect(side).toBe(['provider_receivable', 'cash', 'provider_fees'].includes(name) ? 'debit' : 'credit');
    const own = api.withKey(created.body.api_key.secret);
    expect((await own.get('/v1/accounts?limit=1000')).body.data).toHaveLength(16);
    const { body: shown } = await api.operator.get(`/v1/merchants/${created.body.id}`);
    expect(shown).toMatchObject({ ...body, id: created.body.id, created_at: created.body.created_at });
    expect((await api.operator.get('/v1/merchants')).body.data[0]).toEqual(shown);
    const change = { name: 'Nord AG', time_zone: 'Europe/Vienna' };
    const changed = await api.operator.request('PATCH', `/v1/merchants/${created.body.id}`, { body: change });
    expect(changed.body).toMatchObject({
      ...shown,
      name: change.name,
      time_zones: [{}, { time_zone: 'Europe/Vienna' }],
    });
  });

  test('keys are issued with their secret once, listed without it, and refused when revoked', async () => {
    const other = await api.merchant();
    const issued = await api.operator.post(`/v1/merchants/${other.id}/api_keys`);
    expect(issued.status).toBe(201);
    expect((await api.withKey(issued.body.secret).get('/v1/accounts')).status).toBe(200);
    const listed = await api.operator.get(`/v1/merchants/${other.id}/api_keys`);
    expect(listed.body.data.map((key: Json) => key.id)).toEqual([issued.body.id, other.apiKey.id]);
    expect(listed.text).not.toContain(issued.body.secret);
    const path = `/v1/merchants/${other.id}/api_keys/${issued.body.id}`;
    for (const _twice of [1, 2]) expect((await api.operator.request('DELETE', path)).status).toBe(204);
    expect((await api.withKey(issued.body.secret).get('/v1/accounts')).status).toBe(401);
    const { body: after } = await api.operator.get(`/v1/merchants/${other.id}/api_keys`);
    expect(after.data[0].revoked_at).not.toBeNull();
  });

  test('limits are everybody’s, a merchant’s own, and everybody’s again', async () => {
    const path = `/v1/merchants/${shop.id}/limits`;
    const own = { units_per_second: 60_000, burst_units: 120_000, units_in_flight: 20_000, weight: 2 };
    const before = (await api.operator.get(path)).body;
    expect((await api.operator.request('PUT', path, { body: own })).body).toMatchObject({ ...own, source: 'own' });
    expect((await api.operator.request('DELETE', path)).status).toBe(204);
    expect((await api.operator.get(path)).body).toEqual(before);
  });

  test('health is told without a key', async () => {
    expect((await api.client().get('/healthz')).body).toEqual({ status: 'ok' });
    const { data } = (await api.client().get('/v1/currencies')).body;
    const exponents = { EUR: 2, JPY: 0, KWD: 3, MGA: 2 };
    for (const [code, exponent] of Object.entries(exponents))
      expect(data).toContainEqual({ code, exponent, name: expect.stringMatching(/^[A-Z][a-z]+ [A-Z]?[a-z]+$|^Euro$/) });
    expect(data.map(({ code }: Json) => code)).toEqual(CURRENCIES);
    expect((await api.client().get('/v1/currencies?limit=1')).body.errors[0].path).toBe('limit');
    expect((await api.client().get('/readyz')).body.status).toBe('ready');
    expect((await api.client().get('/docs')).status).toBe(200);
  });
});

describe('accounts', () => {
  test('an account shows what it was opened with', async () => {
    const body = {
      code: 'shown:USD',
      name: 'Shown',
      currency: 'USD',
      normal_side: 'debit',
      min_available: -250,
      metadata: { tier: 'gold', level: 3, vip: true },
    };
    const opened = await shop.client.post('/v1/accounts', { body });
    expect(opened.status).toBe(201);
    expect(opened.body).toMatchObject({ ...body, min_available: '-250', status: 'open', merchant_id: shop.id });
    expect((await shop.client.get(`/v1/accounts/${opened.body.id}`)).body).toEqual(opened.body);
    const again = await shop.client.post('/v1/accounts', { body });
    expect(again.body).toMatchObject({ code: 'validation_failed', errors: [{ path: 'code' }] });
  });

  test('only an empty account closes, and then nothing posts to it', async () => {
    const { payer, wallet, walletId } = await shop.pair('closing');
    const { id } = await shop.posted(transfer(payer, wallet, '5'));
    expect((await shop.client.post(`/v1/accounts/${walletId}/close`)).body.code).toBe('invalid_transition');
    await shop.move(id, 'reverse');
    const closed = await shop.client.post(`/v1/accounts/${walletId}/close`);
    expect([closed.status, closed.body.status]).toEqual([200, 'closed']);
    expect((await shop.post(transfer(payer, wallet, '5'))).body.code).toBe('account_closed');
    expect((await shop.client.post(`/v1/accounts/${walletId}/close`)).body.code).toBe('invalid_transition');
    const reopened = await shop.client.post(`/v1/accounts/${walletId}/reopen`);
    expect([reopened.status, reopened.body]).toEqual([200, { ...closed.body, status: 'open' }]);
    await shop.posted(transfer(payer, wallet, '5'));
  });

  test('a balance takes every consistency, and min_version asks for a version that is there', async () => {
    const { payer, wallet, walletId } = await shop.pair('reading');
    await shop.posted(transfer(payer, wallet, '7'));
    const sources = { cached: 'cache', strong: 'database', bounded: 'cache', 'bounded&': 'process' };
    for (const [consistency, source] of Object.entries(sources)) {
      const balance = await shop.balanceOf(walletId, `?min_version=1&consistency=${consistency}`.replace(/&$/, ''));
      expect(balance).toMatchObject({
        version: '1',
        available: '7',
        source,
        posted: { credits: '7', debits: '0', amount: '7' },
      });
    }
    const tooNew = await shop.client.get(`/v1/accounts/${walletId}/balance?min_version=2`);
    expect([tooNew.status, tooNew.body.errors[0].path]).toEqual([422, 'min_version']);
  });

  test('a back-dated posting changes the balance of the past, and not before it', async () => {
    const { payer, wallet, walletId } = await shop.pair('dated');
    await shop.posted(transfer(payer, wallet, '100', { effective_at: '2026-01-10T00:00:00Z' }));
    await shop.posted(transfer(payer, wallet, '20', { effective_at: '2026-01-05T12:00:00+02:00' }));
    await shop.posted(transfer(payer, wallet, '3'));
    const at = async (time: string): Promise<string> =>
      (await shop.balanceOf(walletId, `?at=${encodeURIComponent(time)}`)).posted.amount;
    expect(await at('2026-01-05T09:59:59.999Z')).toBe('0');
    expect(await at('2026-01-05T10:00:00Z')).toBe('20');
    expect(await at('2026-01-09T23:59:59Z')).toBe('20');
    expect(await at('2026-01-10T00:00:00+00:00')).toBe('120');
    expect((await shop.balanceOf(walletId)).posted.amount).toBe('123');
    const lines = await shop.client.get(
      `/v1/accounts/${walletId}/entries?effective_from=2026-01-05T10:00:00Z&effective_to=2026-01-10T00:00:00Z`,
    );
    expect(lines.body.data.map((line: Json) => line.amount)).toEqual(['20']);
  });

  test('a statement tells each line with the balance after it, newest first', async () => {
    const { payer, wallet, walletId } = await shop.pair('statement');
    await shop.posted(transfer(payer, wallet, '50'));
    const hold = await shop.posted(transfer(wallet, payer, '20', { status: 'pending', type: 'order' }));
    await shop.move(hold.id, 'post', { amount: '15' });
    const { body } = await shop.client.get(`/v1/accounts/${walletId}/entries`);
    const lines = body.data.map((line: Json) => [
      line.effect,
      line.amount,
      line.account_version,
      line.posted_after,
      line.type,
    ]);
    expect(lines).toEqual([
      ['capture', '15', '3', '35', 'order'],
      ['hold', '20', '2', '50', 'order'],
      ['post', '50', '1', '50', 'transfer'],
    ]);
  });
});

describe('transactions', () => {
  test('a posting answers with its entries and the balances as of itself', async () => {
    const { payer, wallet, payerId, walletId } = await shop.pair('posting');
    const more = {
      description: 'Lunch',
      external_ref: 'ref-1',
      metadata: { table: 4 },
      effective_at: '2026-02-03T04:05:06.789+01:00',
    };
    const answer = await shop.post(transfer(payer, wallet, 1250, more));
    expect(answer.status).toBe(201);
    expect(answer.headers.get('idempotent-replayed')).toBeNull();
    expect(answer.body).toMatchObject({
      ...more,
      effective_at: '2026-02-03T03:05:06.789Z',
      status: 'posted',
      parent_id: null,
      expires_at: null,
    });
    expect(answer.body.entries).toEqual([
      {
        account_id: payerId,
        account_code: payer,
        direction: 'debit',
        amount: '1250',
        currency: 'EUR',
        account_version: '1',
      },
      {
        account_id: walletId,
        account_code: wallet,
        direction: 'credit',
        amount: '1250',
        currency: 'EUR',
        account_version: '1',
      },
    ]);
    const none = { debits: '0', credits: '0', amount: '0' };
    expect(answer.body.balances).toEqual([
      {
        account_id: payerId,
        version: '1',
        posted: { debits: '1250', credits: '0', amount: '-1250' },
        pending: none,
        available: '-1250',
      },
      {
        account_id: walletId,
        version: '1',
        posted: { debits: '0', credits: '1250', amount: '1250' },
        pending: none,
        available: '1250',
      },
    ]);
    expect((await shop.client.get(`/v1/transactions/${answer.body.id}`)).body).toEqual(answer.body);
  });

  test('several entries on one account each raise its version by one', async () => {
    const { payer, wallet, walletId } = await shop.pair('several');
    const entry = (account_code: string, direction: string, amount: string) => ({
      account_code,
      direction,
      amount,
      currency: 'EUR',
    });
    const entries = [entry(wallet, 'credit', '30'), entry(payer, 'debit', '25'), entry(wallet, 'debit', '5')];
    const { entries: posted, balances } = await shop.posted({ type: 'split', entries });
    expect(posted.map((line: Json) => line.account_version)).toEqual(['1', '1', '2']);
    const { posted: totals, version } = balances.find((balance: Json) => balance.account_id === walletId);
    expect([totals.amount, version, balances.length]).toEqual(['25', '2', 2]);
  });

  test('a transaction in several currencies balances in each', async () => {
    for (const currency of ['EUR', 'USD']) await shop.open(`fx:${currency}`, { currency });
    const entry = (account_code: string, direction: string, amount: string, currency: string) => ({
      account_code,
      direction,
      amount,
      currency,
    });
    const entries = [
      entry('cash:EUR', 'debit', '100', 'EUR'),
      entry('fx:EUR', 'credit', '100', 'EUR'),
      entry('fx:USD', 'debit', '110', 'USD'),
      entry('cash:USD', 'credit', '110', 'USD'),
    ];
    expect((await shop.posted({ type: 'fx', entries })).entries).toHaveLength(4);
    entries[3] = entry('cash:USD', 'credit', '109', 'USD');
    expect((await shop.post({ type: 'fx', entries })).body).toMatchObject({
      code: 'unbalanced_entries',
      detail: expect.stringContaining('USD'),
    });
  });

  test.each([
    ['JPY', '1'],
    ['KWD', '1234'],
  ])('%s is counted in its own minor units', async (currency, amount) => {
    const posted = await shop.posted(transfer(`cash:${currency}`, `suspense:${currency}`, amount, { currency }));
    expect(posted.entries.map((entry: Json) => [entry.amount, entry.currency])).toEqual([
      [amount, currency],
      [amount, currency],
    ]);
  });

  test('a dry run answers 200 with what would be, and writes nothing', async () => {
    const { payer, wallet, walletId } = await shop.pair('dry');
    const dry = await shop.client.post('/v1/transactions', { body: transfer(payer, wallet, '9', { dry_run: true }) });
    expect([dry.status, dry.body.balances[1].posted.amount]).toEqual([200, '9']);
    expect(await shop.balanceOf(walletId)).toMatchObject({ version: '0', available: '0' });
    expect((await shop.client.get(`/v1/transactions/${dry.body.id}`)).status).toBe(404);
    const refused = await shop.client.post('/v1/transactions', {
      body: transfer(wallet, payer, '9', { dry_run: true }),
    });
    expect(refused.body.code).toBe('insufficient_funds');
  });

  test('conditions hold the balance and the version that the client has seen', async () => {
    const { payer, wallet } = await shop.pair('conditions');
    await shop.posted(transfer(payer, wallet, '10'));
    const under = (conditions: object) => {
      const body = transfer(wallet, payer, '4');
      body.entries[0].conditions = conditions;
      return shop.post(body);
    };
    expect((await under({ version: '0' })).body).toMatchObject({
      code: 'condition_failed',
      errors: [{ path: 'entries.0.conditions.version' }],
    });
    expect((await under({ min_available: '7' })).body.code).toBe('condition_failed');
    expect((await under({ version: 1, min_available: '6' })).status).toBe(201);
  });

  test('a hold lowers what is available, and is posted in parts up to its total', async () => {
    const { payer, wallet, walletId } = await shop.pair('parts');
    await shop.posted(transfer(payer, wallet, '100'));
    const hold = await shop.posted(transfer(wallet, payer, '60', { status: 'pending' }));
    expect(hold.status).toBe('pending');
    expect(await shop.balanceOf(walletId)).toMatchObject({ posted: { amount: '100' }, available: '40' });
    const first = await shop.move(hold.id, 'post', { amount: '25', final: false });
    expect(first.status).toBe(201);
    expect(first.body).toMatchObject({
      parent_id: hold.id,
      status: 'posted',
      entries: [{ amount: '25' }, { amount: '25' }],
    });
    expect((await shop.client.get(`/v1/transactions/${hold.id}`)).body.status).toBe('partially_posted');
    expect((await shop.move(hold.id, 'post', { amount: '36', final: false })).body.code).toBe(
      'amount_exceeds_remaining',
    );
    expect((await shop.move(hold.id, 'post')).body.entries[0].amount).toBe('35');
    expect((await shop.client.get(`/v1/transactions/${hold.id}`)).body.status).toBe('posted');
    expect(await shop.balanceOf(walletId)).toMatchObject({
      posted: { amount: '40' },
      pending: { debits: '0' },
      available: '40',
    });
    expect((await shop.move(hold.id, 'void')).body.code).toBe('not_pending');
  });

  test('a transaction and a statement tell what is available apart from what is posted, on both sides', async () => {
    await shop.open('shown:cash', { normal_side: 'debit' });
    const walletId = await shop.open('shown:wallet');
    await shop.posted(transfer('shown:cash', 'shown:wallet', '100'));
    const told = async (body: Json) => {
      const lines = await Promise.all(
        ['shown:cash', 'shown:wallet'].map(async (code) => {
          const { data } = (await shop.client.get(`/v1/accounts/${shop.accounts[code]}/entries?limit=1`)).body;
          return [data[0].posted_after, data[0].pending_after, data[0].available_after];
        }),
      );
      // The statement is in the order of the accounts, the balances in that of the entries.
      const balances = ['shown:cash', 'shown:wallet'].map((code) => {
        const { posted, pending, available } = body.balances.find((b: Json) => b.account_id === shop.accounts[code]);
        return [posted.amount, pending.amount, available];
      });
      expect(lines).toEqual(balances);
      return balances;
    };
    // What may come in is not there yet; what may go out is there no more.
    const incoming = await shop.posted(transfer('shown:cash', 'shown:wallet', '7', { status: 'pending' }));
    expect(await told(incoming)).toEqual([
      ['100', '7', '100'],
      ['100', '7', '100'],
    ]);
    const outgoing = await shop.posted(transfer('shown:wallet', 'shown:cash', '60', { status: 'pending' }));
    expect(await told(outgoing)).toEqual([
      ['100', '-53', '40'],
      ['100', '-53', '40'],
    ]);
    expect(await shop.balanceOf(walletId)).toMatchObject({ posted: { amount: '100' }, available: '40' });
    expect(await told((await shop.move(outgoing.id, 'post', { amount: '25', final: false })).body)).toEqual([
      ['75', '-28', '40'],
      ['75', '-28', '40'],
    ]);
  });

  test('a void gives back what a hold still held', async () => {
    const { payer, wallet, walletId } = await shop.pair('void');
    await shop.posted(transfer(payer, wallet, '10'));
    const hold = await shop.posted(transfer(wallet, payer, '10', { status: 'pending' }));
    const voided = await shop.move(hold.id, 'void');
    expect([voided.status, voided.body.type, voided.body.parent_id]).toEqual([201, 'void', hold.id]);
    expect((await shop.client.get(`/v1/transactions/${hold.id}`)).body.status).toBe('voided');
    expect((await shop.balanceOf(walletId)).available).toBe('10');
    expect((await shop.move(hold.id, 'post')).body.code).toBe('not_pending');
  });

  test('a hold whose time has passed can no longer be posted, and the worker releases it', async () => {
    const { payer, wallet, walletId } = await shop.pair('expiry');
    await shop.posted(transfer(payer, wallet, '10'));
    const soon = new Date(Date.now() + 300).toISOString();
    const hold = await shop.posted(transfer(wallet, payer, '10', { status: 'pending', expires_at: soon }));
    expect(hold.expires_at).toBe(soon);
    await until(() => Date.now() > Date.parse(soon) + 1);
    expect((await shop.move(hold.id, 'post')).body.code).toBe('not_pending');
    const expire = () => holdExpiry(api.app.get(Database), api.app.get(CommandBus)).round();
    expect(await expire()).toBe(1);
    expect(await expire()).toBe(0);
    expect((await shop.client.get(`/v1/transactions/${hold.id}`)).body.status).toBe('expired');
    expect((await shop.balanceOf(walletId)).available).toBe('10');
  });

  test('a posting is reversed in parts, never more than once in total', async () => {
    const { payer, wallet, walletId } = await shop.pair('reversal');
    const posted = await shop.posted(transfer(payer, wallet, '10'));
    const part = await shop.move(posted.id, 'reverse', { amount: '4' });
    expect([part.status, part.body.type, part.body.parent_id]).toEqual([201, 'reversal', posted.id]);
    expect(part.body.entries.map((entry: Json) => entry.direction)).toEqual(['credit', 'debit']);
    expect((await shop.move(posted.id, 'reverse', { amount: '7' })).body.code).toBe('amount_exceeds_remaining');
    expect((await shop.move(posted.id, 'reverse')).body.entries[0].amount).toBe('6');
    expect((await shop.move(posted.id, 'reverse')).body.code).toBe('already_reversed');
    expect((await shop.balanceOf(walletId)).posted.amount).toBe('0');
  });
});

test('the log tells what has happened, and how to go on', async () => {
  const read = (query: string) => shop.client.get(`/v1/events?limit=5${query}`);
  // Another database's open transaction may hold the log back for a while.
  await until(async () => (await read('')).body.data.length === 5);
  const { body } = await read('');
  expect(body.data[0]).toMatchObject({ type: 'account.created', version: 1, data: { normal_side: 'debit' } });
  const next = (await read(`&after=${body.next_cursor}`)).body;
  expect(next.data).not.toEqual(body.data);
});

test('every route of the router is documented and has been answered with success above', async () => {
  for (const list of ['transactions', 'daily_summaries', 'events']) await shop.client.get(`/v1/${list}`);
  const routed = routesOf(CONTROLLERS).map(({ method, path }) => `${method.toUpperCase()} ${path}`);
  expect([...contract.routes].sort()).toEqual([...routed].sort());
  // The others are held to the same in batches.test.ts, webhook-routes.test.ts, dead-letter-routes.test.ts, payments.test.ts,
  // provider-secrets.test.ts, jobs.test.ts, settlement-runs.test.ts, fee-plans.test.ts, payouts.test.ts, bank-callbacks.test.ts, report-uploads.test.ts,
  // operator-keys.test.ts, breaks.test.ts, report-export.test.ts and usage.test.ts.
  const here = routed.filter(
    (route) =>
      !/\/(batch|webhook_|dead_letters|payments|provider|jobs|settlement|fee_plan|payout|bank|operator_keys|breaks|reconciliations|usage)/.test(
        route,
      ),
  );
  const unanswered = here.filter((route) => ![...(contract.seen.get(route) ?? [])].some((status) => status < 300));
  expect(unanswered).toEqual([]);
  // Nothing is folded here; daily-summaries.test.ts holds full pages to the contract.
  expect([...contract.emptyLists]).toEqual(['GET /v1/daily_summaries']);
});
