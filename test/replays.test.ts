import pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Answer, type Merchant, TestApi, transfer, until, whileLocked } from './support/api.js';
import { Contract } from './support/contract.js';

let api: TestApi;
let shop: Merchant;
let wallet: string;

beforeAll(async () => {
  api = await TestApi.start();
  await Contract.hold(api);
  shop = await api.merchant();
  wallet = await shop.open('wallet', { min_available: '0' });
  await shop.open('payer');
  await shop.posted(transfer('payer', 'wallet', '1000'));
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(() => api.stop());

/** The same request again: same status, same bytes, marked as a replay, and not a row more. */
async function expectReplay(ask: () => Promise<Answer>, status: number): Promise<Answer> {
  const first = await ask();
  expect(first.status).toBe(status);
  expect(first.headers.get('idempotent-replayed')).toBeNull();
  const before = await api.countRows();
  const again = await ask();
  expect(again.headers.get('idempotent-replayed')).toBe('true');
  expect([again.status, again.text]).toEqual([first.status, first.text]);
  expect(again.headers.get('content-type')).toBe(first.headers.get('content-type'));
  expect(await api.countRows()).toEqual(before);
  return first;
}

test('a posting is told again byte for byte', async () => {
  const more = {
    metadata: { b: 1, a: 'é' },
    description: 'x',
    external_ref: 'r',
    effective_at: '2026-01-01T00:00:00Z',
  };
  await expectReplay(() => shop.post(transfer('payer', 'wallet', '5', more), 'posting'), 201);
});

test('a refusal by the ledger is told again byte for byte, although it would now succeed', async () => {
  const body = transfer('wallet', 'payer', '5000');
  await expectReplay(() => shop.post(body, 'refusal'), 422);
  await shop.posted(transfer('payer', 'wallet', '9000'));
  const later = await shop.post(body, 'refusal');
  expect([later.status, later.headers.get('idempotent-replayed')]).toEqual([422, 'true']);
});

test('a hold stays pending in its replay after it was posted', async () => {
  const hold = await expectReplay(
    () => shop.post(transfer('wallet', 'payer', '9', { status: 'pending' }), 'hold'),
    201,
  );
  await expectReplay(() => shop.move(hold.body.id, 'post', { amount: '4', final: false }, 'capture'), 201);
  await expectReplay(() => shop.move(hold.body.id, 'void', undefined, 'void'), 201);
  await expectReplay(() => shop.move(hold.body.id, 'void', undefined, 'void-again'), 409);
  const again = await shop.post(transfer('wallet', 'payer', '9', { status: 'pending' }), 'hold');
  expect(again.text).toBe(hold.text);
});

test('a reversal is told again byte for byte, and so is the refusal of a second one', async () => {
  const { id } = await shop.posted(transfer('payer', 'wallet', '5'));
  await expectReplay(() => shop.move(id, 'reverse', undefined, 'reverse'), 201);
  await expectReplay(() => shop.move(id, 'reverse', undefined, 'reverse-2'), 409);
});

test.each(['independent', 'atomic'])('an %s batch is told again byte for byte', async (mode) => {
  const good = { mode, transactions: [transfer('payer', 'wallet', '1'), transfer('wallet', 'payer', '1')] };
  await expectReplay(() => shop.client.post('/v1/transactions/batch', { body: good, key: `batch-${mode}` }), 200);
  const bad = { mode, transactions: [transfer('payer', 'wallet', '1'), transfer('wallet', 'payer', '99999999')] };
  await expectReplay(
    () => shop.client.post('/v1/transactions/batch', { body: bad, key: `bad-batch-${mode}` }),
    mode === 'atomic' ? 422 : 200,
  );
});

test('closing is told again as it was told first, refused or done, whatever has become of the account since', async () => {
  const id = await shop.open('closing');
  const close = (key: string) => shop.client.post(`/v1/accounts/${id}/close`, { key });
  await shop.posted(transfer('payer', 'closing', '5'));
  const refused = await expectReplay(() => close('close-early'), 409);
  await shop.posted(transfer('closing', 'payer', '5'));
  expect((await close('close-early')).text).toBe(refused.text);
  const closed = await expectReplay(() => close('close'), 200);
  expect(closed.body.status).toBe('closed');
  await shop.client.post(`/v1/accounts/${id}/reopen`);
  expect((await close('close')).text).toBe(closed.text);
  expect((await shop.client.get(`/v1/accounts/${id}`)).body.status).toBe('open');
});

const OVERDRAWN = transfer('wallet', 'payer', '99999998');
const batch = (mode: string, key: string) =>
  shop.client.post('/v1/transactions/batch', { body: { mode, transactions: [OVERDRAWN] }, key });

test.each<[string, string, (key: string) => Promise<Answer>]>([
  ['a posting', 'insufficient_funds', (key) => shop.post(OVERDRAWN, key)],
  ['an atomic batch', 'insufficient_funds', (key) => batch('atomic', key)],
  ['an independent batch', 'insufficient_funds', (key) => batch('independent', key)],
  ['a closing', 'invalid_transition', (key) => shop.client.post(`/v1/accounts/${wallet}/close`, { key })],
])('the refusal of %s that an earlier version kept is told as it was', async (what, code, ask) => {
  const key = what.replaceAll(' ', '-');
  const now = await ask(key);
  // As every version so far has kept it.
  const message = 'as an earlier version said it';
  const refusal = {
    code,
    detail: message,
    errors: [{ path: 'entries.1', message }],
    trace_id: '0af7651916cd43dd8448eb211c80319c',
  };
  const isList = now.status === 200;
  const kept = await rekept(key, `earlier-${key}`, isList ? [refusal] : refusal);
  expect(Object.keys(refusal)).toEqual(expect.arrayContaining(Object.keys(isList ? kept[0] : kept)));
  const earlier = await ask(`earlier-${key}`);
  expect([earlier.status, earlier.headers.get('idempotent-replayed')]).toEqual([now.status, 'true']);
  const problem = isList ? earlier.body.results[0].problem : earlier.body;
  expect(problem).toMatchObject(refusal);
  expect(problem).not.toHaveProperty('accepted');
});

/** Keeps another response under a second key for the request that the first key has; tells what the first one keeps. */
async function rekept(first: string, second: string, response: object) {
  const owner = new pg.Client({ connectionString: api.on.ownerUrl });
  await owner.connect();
  try {
    await owner.query(`SELECT set_config('counterfoil.merchant_ids', $1, false)`, [`{${shop.id}}`]);
    await owner.query(
      `INSERT INTO idempotency_keys (merchant_id, key, request_sha256, status, transaction_id, response)
       SELECT merchant_id, $2, request_sha256, status, NULL, $3 FROM idempotency_keys WHERE key = $1`,
      [first, second, JSON.stringify(response)],
    );
    const { rows } = await owner.query('SELECT response::text FROM idempotency_keys WHERE key = $1', [first]);
    return JSON.parse(rows[0].response);
  } finally {
    await owner.end();
  }
}

test('key order and white space do not make another request; escapes neither', async () => {
  const body = transfer('payer', 'wallet', '6', { metadata: { a: '1', b: 'ä' } });
  const first = await shop.post(body, 'canonical');
  const reversed = JSON.stringify(body, (_key, value) =>
    value && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).reverse())
      : value,
  );
  expect(reversed).not.toBe(JSON.stringify(body));
  for (const raw of [reversed, JSON.stringify(body, null, '\t'), JSON.stringify(body).replace('ä', '\\u00e4')]) {
    const again = await shop.client.post('/v1/transactions', { raw, key: 'canonical' });
    expect([again.text, again.headers.get('idempotent-replayed')]).toEqual([first.text, 'true']);
  }
  const viaQuery = await shop.client.post('/v1/transactions?', { body, key: 'canonical' });
  expect(viaQuery.text).toBe(first.text);
});

test.each(['post', 'void', 'reverse'] as const)('%s without a body and with {} are the same request', async (what) => {
  const { id } = await shop.posted(transfer('payer', 'wallet', '3', what === 'reverse' ? {} : { status: 'pending' }));
  const first = await shop.move(id, what, undefined, `no-body-${what}`);
  for (const body of [{}, undefined]) {
    const again = await shop.move(id, what, body, `no-body-${what}`);
    expect([again.text, again.headers.get('idempotent-replayed')]).toEqual([first.text, 'true']);
  }
});

test('the order of entries makes another request, and so does the order of transactions in a batch', async () => {
  const [debit, credit] = transfer('payer', 'wallet', '5').entries;
  const entries = (...order: object[]) => shop.post({ type: 'transfer', entries: order }, 'entry-order');
  expect((await entries(debit, credit)).status).toBe(201);
  expect((await entries(credit, debit)).body.code).toBe('idempotency_key_reused');
  expect((await entries(debit, credit)).headers.get('idempotent-replayed')).toBe('true');
  const batch = (...amounts: string[]) =>
    shop.client.post('/v1/transactions/batch', {
      body: { mode: 'atomic', transactions: amounts.map((amount) => transfer('payer', 'wallet', amount)) },
      key: 'batch-order',
    });
  expect((await batch('1', '2')).status).toBe(200);
  expect((await batch('2', '1')).body.code).toBe('idempotency_key_reused');
});

test.each<[string, (hold: string) => Promise<Answer>]>([
  ['another body', () => shop.post(transfer('payer', 'wallet', '6', { description: 'other' }), 'reused')],
  ['the amount as a number', () => shop.post(transfer('payer', 'wallet', 5), 'reused')],
  [
    'the batch route',
    () =>
      shop.client.post('/v1/transactions/batch', {
        body: { mode: 'atomic', transactions: [transfer('payer', 'wallet', '5')] },
        key: 'reused',
      }),
  ],
  ['a move', (hold) => shop.move(hold, 'void', undefined, 'reused')],
])('a key is refused for %s', async (_name, ask) => {
  const first = await shop.post(transfer('payer', 'wallet', '5'), 'reused');
  const hold = await shop.posted(transfer('wallet', 'payer', '2', { status: 'pending' }));
  const other = await ask(hold.id);
  expect([other.status, other.body.code]).toEqual([422, 'idempotency_key_reused']);
  expect(other.headers.get('idempotent-replayed')).toBeNull();
  expect((await shop.post(transfer('payer', 'wallet', '5'), 'reused')).text).toBe(first.text);
});

test('the same body on another path is another request', async () => {
  const [one, two] = [
    await shop.posted(transfer('payer', 'wallet', '5')),
    await shop.posted(transfer('payer', 'wallet', '5')),
  ];
  expect((await shop.move(one.id, 'reverse', {}, 'path')).status).toBe(201);
  expect((await shop.move(two.id, 'reverse', {}, 'path')).body.code).toBe('idempotency_key_reused');
});

test('a request refused in validation does not burn its key, nor does an account that is not there', async () => {
  expect((await shop.post(transfer('payer', 'wallet', '0'), 'unburnt')).status).toBe(422);
  expect((await shop.post(transfer('payer', 'missing', '1'), 'unburnt')).status).toBe(404);
  expect((await shop.post(transfer('payer', 'wallet', '1'), 'unburnt')).status).toBe(201);
});

test('a hold that is sent again when its time is over is told as it was, and one that comes only then is refused', async () => {
  const body = transfer('wallet', 'payer', '1', {
    status: 'pending',
    expires_at: new Date(Date.now() + 2_000).toISOString(),
  });
  const first = await shop.post(body, 'in-time');
  await until(() => Date.now() > Date.parse(body.expires_at));
  const again = await shop.post(body, 'in-time');
  expect([first.status, again.text, again.headers.get('idempotent-replayed')]).toEqual([201, first.text, 'true']);
  const late = await shop.post(body, 'too-late');
  expect([late.status, late.body.code, late.body.errors[0].path]).toEqual([422, 'validation_failed', 'expires_at']);
});

test('a key is scoped to its merchant', async () => {
  const other = await api.merchant();
  const first = await shop.post(transfer('cash:EUR', 'suspense:EUR', '1'), 'scoped');
  const second = await other.post(transfer('cash:EUR', 'suspense:EUR', '2'), 'scoped');
  expect([first.status, second.status, second.headers.get('idempotent-replayed')]).toEqual([201, 201, null]);
});

test('duplicates sent at once wait for the first and are told the same; one posting', async () => {
  const before = (await api.countRows()).transactions ?? 0;
  const answers = await whileLocked(api.on, shop.accounts.wallet as string, async (locker) => {
    const asked = Array.from({ length: 8 }, () => shop.post(transfer('payer', 'wallet', '3'), 'at-once'));
    await locker.waiters(1);
    await locker.release();
    return Promise.all(asked);
  });
  expect(new Set(answers.map((answer) => answer.text)).size).toBe(1);
  expect(answers.filter((answer) => answer.headers.get('idempotent-replayed') === 'true')).toHaveLength(7);
  expect((await api.countRows()).transactions).toBe(before + 1);
});

test('a second process answers a key of the first one with the same bytes', async () => {
  const other = await TestApi.start({ on: api.on });
  try {
    const body = transfer('payer', 'wallet', '8', { metadata: { z: 1, a: 2 } });
    const first = await shop.post(body, 'two-processes');
    const { authorization = '' } = shop.client.headers;
    const second = await other.client({ authorization }).post('/v1/transactions', { body, key: 'two-processes' });
    expect([second.text, second.headers.get('idempotent-replayed')]).toEqual([first.text, 'true']);
  } finally {
    await other.stop();
  }
});
