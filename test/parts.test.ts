import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { migrate } from '#db/migrate.js';
import { AmountsLeft1764100000001 } from '#db/migrations/1764100000001-amounts-left.js';
import { MAX_REVERSAL_DEPTH } from '#ledger/posting/command.js';
import { type Json, type Merchant, TestApi, transfer } from './support/api.js';
import { Contract } from './support/contract.js';
import { asAdmin } from './support/database.js';
import { expectVerified } from './support/verified.js';

/** Captures and reversals in part, of transactions with several amounts; and reversals that are reversed. */
let api: TestApi;
let shop: Merchant;
let books = 0;

beforeAll(async () => {
  api = await TestApi.start();
  await Contract.hold(api);
  shop = await api.merchant('EUR', 'USD');
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await expectVerified(api.on);
  await api.stop();
});

/** New accounts by name, with their codes; their ids are `shop.accounts[code]`. */
async function open<Name extends string>(...names: Name[]): Promise<Record<Name, string>> {
  const book = books++;
  const codes = Object.fromEntries(names.map((name) => [name, `${name}${book}`])) as Record<Name, string>;
  for (const code of Object.values<string>(codes)) {
    await shop.open(code, code.startsWith('usd') ? { currency: 'USD' } : {});
  }
  return codes;
}

function entry(code: string, direction: string, amount: string): object {
  return { account_code: code, direction, amount, currency: code.startsWith('usd') ? 'USD' : 'EUR' };
}

/** `{code: amount}` as the parts of a request. */
function parts(amounts: Record<string, string>): { account_id: string; amount: string }[] {
  return Object.entries(amounts).map(([code, amount]) => ({ account_id: shop.accounts[code] as string, amount }));
}

const shown = async (id: string): Promise<Json> => (await shop.client.get(`/v1/transactions/${id}`)).body;
const amountsIn = (body: Json): string[] => body.entries.map((e: Json) => `${e.account_code} ${e.amount}`);

async function balances(codes: Record<string, string>): Promise<Record<string, string>> {
  const told = await Promise.all(
    Object.entries(codes).map(async ([name, code]) => {
      const { body } = await shop.client.get(`/v1/accounts/${shop.accounts[code]}/balance?consistency=strong`);
      const { debits, credits } = body.pending;
      return [name, `${body.posted.amount} and ${debits}/${credits} held`] as const;
    }),
  );
  return Object.fromEntries(told);
}

/** 100 of A: 60 for B, 40 for C. */
async function split(more: object = { status: 'pending' }) {
  const codes = await open('a', 'b', 'c');
  const { a, b, c } = codes;
  const entries = [entry(a, 'debit', '100'), entry(b, 'credit', '60'), entry(c, 'credit', '40')];
  return { codes, a, b, c, hold: await shop.posted({ type: 'order', entries, ...more }) };
}

describe('a hold of several amounts', () => {
  test('is posted in parts that balance, each within what is left on its account', async () => {
    const { codes, a, b, c, hold } = await split();
    const post = (amounts: Record<string, string>, final = false) =>
      shop.move(hold.id, 'post', { entries: parts(amounts), final });
    const first = await post({ [a]: '50', [b]: '30', [c]: '20' });
    expect(first.status).toBe(201);
    expect(amountsIn(first.body)).toEqual([`${a} 50`, `${b} 30`, `${c} 20`]);
    expect(amountsIn((await post({ [c]: '10', [a]: '10' })).body)).toEqual([`${a} 10`, `${c} 10`]);
    expect(await shown(hold.id)).toMatchObject({ status: 'partially_posted', amount_remaining: '40' });
    expect(await balances(codes)).toEqual({
      a: '-60 and 40/0 held',
      b: '30 and 0/30 held',
      c: '30 and 0/10 held',
    });

    const tooMuch = await post({ [a]: '11', [c]: '11' });
    expect([tooMuch.status, tooMuch.body.code, tooMuch.body.errors[0].path]).toEqual([
      422,
      'amount_exceeds_remaining',
      'entries.1.amount',
    ]);
    expect(tooMuch.body.detail).toContain(c);
    expect((await post({ [a]: '11', [c]: '10' })).body.code).toBe('unbalanced_entries');

    const last = await post({ [a]: '30', [b]: '30' }, true);
    expect(amountsIn(last.body)).toEqual([`${a} 30`, `${b} 30`, `${c} 0`]);
    expect(await shown(hold.id)).toMatchObject({ status: 'posted', amount_remaining: '0' });
    expect(await balances(codes)).toEqual({ a: '-90 and 0/0 held', b: '60 and 0/0 held', c: '30 and 0/0 held' });
    expect((await post({ [a]: '1', [b]: '1' })).body.code).toBe('not_pending');
  });

  test('is posted or voided with what is left of every amount', async () => {
    for (const [what, posted] of [['post', '60'] as const, ['void', '10'] as const]) {
      const { codes, a, b, hold } = await split();
      await shop.move(hold.id, 'post', { entries: parts({ [a]: '10', [b]: '10' }), final: false });
      const rest = await shop.move(hold.id, what);
      expect(amountsIn(rest.body).map((told) => told.split(' ')[1])).toEqual(['90', '50', '40']);
      expect((await balances(codes)).b).toBe(`${posted} and 0/0 held`);
    }
  });

  test('of two currencies stays pending while one of them is held', async () => {
    const { eur1, eur2, usd1, usd2 } = await open('eur1', 'eur2', 'usd1', 'usd2');
    const eur = [entry(eur1, 'debit', '5'), entry(eur2, 'credit', '5')];
    const usd = [entry(usd1, 'debit', '7'), entry(usd2, 'credit', '7')];
    const hold = await shop.posted({ type: 'fx', status: 'pending', entries: [...eur, ...usd] });
    await shop.move(hold.id, 'post', { entries: parts({ [eur1]: '5', [eur2]: '5' }), final: false });
    expect(await shown(hold.id)).toMatchObject({ status: 'partially_posted', amount_remaining: '0' });
    const rest = await shop.move(hold.id, 'post', { entries: parts({ [usd1]: '4', [usd2]: '4' }) });
    expect(amountsIn(rest.body)).toEqual([`${usd1} 4`, `${usd2} 4`]);
    const listed = await shop.client.get(`/v1/transactions?parent_id=${hold.id}`);
    expect(listed.body.data.map((t: Json) => [t.amount, t.currency])).toEqual([
      ['4', 'USD'],
      ['5', 'EUR'],
    ]);
  });
});

describe('which account is meant', () => {
  test('entries of one account on the same side are one amount, taken in their order', async () => {
    const { a, b } = await open('a', 'b');
    const entries = [entry(a, 'debit', '3'), entry(b, 'credit', '10'), entry(a, 'debit', '7')];
    const hold = await shop.posted({ type: 'order', status: 'pending', entries });
    const post = (amount: string) =>
      shop.move(hold.id, 'post', { entries: parts({ [a]: amount, [b]: amount }), final: false });
    expect(amountsIn((await post('2')).body)).toEqual([`${a} 2`, `${b} 2`]);
    const second = await post('5');
    expect(amountsIn(second.body)).toEqual([`${a} 1`, `${b} 5`, `${a} 4`]);
    expect((await post('4')).body).toMatchObject({ code: 'amount_exceeds_remaining' });
    await shop.move(second.body.id, 'reverse', { entries: parts({ [a]: '3', [b]: '3' }) });
    expect(await shown(second.body.id)).toMatchObject({ amount_reversed: '3' });
    expect(amountsIn((await shop.move(second.body.id, 'reverse')).body)).toEqual([`${b} 2`, `${a} 2`]);
  });

  test('one that stands on both sides cannot be named, nor one that is not there, nor one twice', async () => {
    const { a, b, c, d } = await open('a', 'b', 'c', 'd');
    const entries = [
      entry(a, 'debit', '10'),
      entry(a, 'credit', '4'),
      entry(b, 'credit', '5'),
      entry(c, 'credit', '1'),
    ];
    const hold = await shop.posted({ type: 'order', status: 'pending', entries });
    const [pa, pb, pd] = parts({ [a]: '1', [b]: '1', [d]: '1' });
    const rows = await api.countRows();
    for (const [asked, path] of [
      [[pb, pa], 'entries.1.account_id'],
      [[pd, pb], 'entries.0.account_id'],
      [[pb, pb], 'entries.1.account_id'],
    ] as const) {
      const refused = await shop.move(hold.id, 'post', { entries: asked });
      expect([refused.body.code, refused.body.errors[0].path]).toEqual(['validation_failed', path]);
    }
    const both = await shop.move(hold.id, 'post', { amount: '1', entries: [pb] });
    expect(both.body).toMatchObject({ code: 'validation_failed', errors: [{ path: 'entries' }] });
    expect((await shop.move(hold.id, 'post', { entries: [] })).body.errors[0].path).toBe('entries');
    expect((await shop.move(hold.id, 'post', { amount: '1' })).body.errors[0].path).toBe('amount');
    expect(await api.countRows()).toEqual(rows);
    expect((await shop.move(hold.id, 'post')).status).toBe(201);
  });
});

describe('a reversal of several amounts', () => {
  test('takes back parts that balance, never more than once in total', async () => {
    const { codes, a, b, c, hold: sale } = await split({});
    const reverse = (amounts: Record<string, string>) => shop.move(sale.id, 'reverse', { entries: parts(amounts) });
    expect(amountsIn((await reverse({ [a]: '45', [c]: '40', [b]: '5' })).body)).toEqual([
      `${a} 45`,
      `${b} 5`,
      `${c} 40`,
    ]);
    expect(await shown(sale.id)).toMatchObject({ status: 'posted', amount_reversed: '45' });
    expect((await reverse({ [a]: '1', [c]: '1' })).body.code).toBe('amount_exceeds_remaining');
    const both = await shop.move(sale.id, 'reverse', { amount: '1', entries: parts({ [a]: '1', [b]: '1' }) });
    expect(both.body).toMatchObject({ code: 'validation_failed', errors: [{ path: 'entries' }] });
    expect(amountsIn((await shop.move(sale.id, 'reverse')).body)).toEqual([`${a} 55`, `${b} 55`]);
    expect(await balances(codes)).toEqual({ a: '0 and 0/0 held', b: '0 and 0/0 held', c: '0 and 0/0 held' });
    expect((await reverse({ [a]: '1', [b]: '1' })).body.code).toBe('already_reversed');
  });
});

describe('a reversal that is reversed', () => {
  const reversed = async (id: string, body?: object): Promise<string> => {
    const answer = await shop.move(id, 'reverse', body);
    if (answer.status !== 201) throw new Error(answer.text);
    return answer.body.id;
  };
  const amountReversed = async (...ids: string[]): Promise<string[]> =>
    Promise.all(ids.map(async (id) => (await shown(id)).amount_reversed));

  test('gives back what it took: the payment can be refunded again when its refund bounced', async () => {
    const { payer, payee } = await open('payer', 'payee');
    const payment = await shop.posted(transfer(payer, payee, '100'));
    const refund = await reversed(payment.id);
    expect((await shop.move(payment.id, 'reverse')).body.code).toBe('already_reversed');
    await reversed(refund, { amount: '30' });
    expect(await amountReversed(payment.id, refund)).toEqual(['70', '30']);
    expect((await shop.move(payment.id, 'reverse', { amount: '31' })).body.code).toBe('amount_exceeds_remaining');
    await reversed(payment.id, { amount: '30' });
    await reversed(refund);
    expect(await amountReversed(payment.id, refund)).toEqual(['30', '100']);
    expect((await shop.move(refund, 'reverse')).body.code).toBe('already_reversed');
  });

  test('can be reversed in turn, to any depth, and each step counts once for all those before it', async () => {
    const codes = await open('payer', 'payee');
    const payment = await shop.posted(transfer(codes.payer, codes.payee, '100'));
    const chain: string[] = [payment.id];
    for (let depth = 0; depth < 6; depth += 1) chain.push(await reversed(chain.at(-1) as string));
    expect(await amountReversed(...chain)).toEqual(['0', '100', '0', '100', '0', '100', '0']);
    expect(await balances(codes)).toEqual({ payer: '-100 and 0/0 held', payee: '100 and 0/0 held' });
  });

  test('is taken to the depth that there is, and refused behind it', async () => {
    const codes = await open('payer', 'payee');
    const chain: string[] = [(await shop.posted(transfer(codes.payer, codes.payee, '100'))).id];
    while (chain.length <= MAX_REVERSAL_DEPTH + 1) chain.push(await reversed(chain.at(-1) as string));
    expect(await amountReversed(...chain)).toEqual(chain.map((_, depth) => (depth % 2 === 0 ? '100' : '0')));
    expect(await balances(codes)).toEqual({ payer: '0 and 0/0 held', payee: '0 and 0/0 held' });
    const deeper = await shop.move(chain.at(-1) as string, 'reverse');
    expect([deeper.status, deeper.body.code]).toEqual([409, 'invalid_transition']);
    expect(await amountReversed(...chain.slice(-2))).toEqual(['100', '0']);
  });

  test('is refused where what it gives back has been reversed otherwise: no more comes back than went', async () => {
    const codes = await open('payer', 'payee');
    const payment = await shop.posted(transfer(codes.payer, codes.payee, '100'));
    const bounced = await reversed(await reversed(payment.id));
    await reversed(payment.id, { amount: '60' });
    const again = await shop.move(bounced, 'reverse');
    expect([again.status, again.body.code]).toEqual([422, 'amount_exceeds_remaining']);
    await reversed(bounced, { amount: '40' });
    expect(await amountReversed(payment.id)).toEqual(['100']);
    expect(await balances(codes)).toEqual({ payer: '0 and 0/0 held', payee: '0 and 0/0 held' });
  });

  test('gives back the parts that it took, account by account', async () => {
    const { codes, a, b, c, hold: sale } = await split({});
    const refund = await reversed(sale.id, { entries: parts({ [a]: '50', [b]: '20', [c]: '30' }) });
    await reversed(refund, { entries: parts({ [a]: '25', [c]: '25' }) });
    expect((await shop.move(sale.id, 'reverse', { entries: parts({ [a]: '36', [c]: '36' }) })).body.code).toBe(
      'amount_exceeds_remaining',
    );
    await reversed(sale.id, { entries: parts({ [a]: '35', [c]: '35' }) });
    expect(await balances(codes)).toEqual({ a: '-40 and 0/0 held', b: '40 and 0/0 held', c: '0 and 0/0 held' });
  });
});

describe('the database', () => {
  test('refuses that less than nothing is left of an entry, or that more comes back than went', async () => {
    await split();
    const client = new pg.Client({ connectionString: api.on.runtimeUrl });
    await client.connect();
    try {
      for (const change of ['left_amounts[1] = -1', 'left_amounts = NULL', 'reversed = -1', 'remaining = -1']) {
        await client.query('BEGIN');
        await client.query(`SELECT set_config('counterfoil.merchant_ids', $1, true)`, [`{${shop.id}}`]);
        const refused = client.query(`UPDATE transaction_states SET ${change}`);
        await expect(refused, change).rejects.toMatchObject({ code: expect.stringMatching(/^2350[25]|23514$/) });
        await client.query('ROLLBACK');
      }
    } finally {
      await client.end();
    }
  });

  test('of an earlier version comes to what is left of every entry', async () => {
    // Only what that version could do, on a database of its own: whole, or one amount in part.
    const old = await TestApi.start();
    try {
      const merchant = await old.merchant('EUR', 'USD');
      const eur = (amount: string, more = {}) => transfer('cash:EUR', 'suspense:EUR', amount, more);
      const several = (more: object) => ({
        type: 'order',
        entries: [...eur('4').entries, ...transfer('cash:USD', 'suspense:USD', '6', { currency: 'USD' }).entries],
        ...more,
      });
      const pending = { status: 'pending' };
      const part = await merchant.posted(eur('10', pending));
      await merchant.move(part.id, 'post', { amount: '3', final: false });
      await merchant.posted(eur('11', pending));
      await merchant.posted(several(pending));
      await merchant.move((await merchant.posted(several(pending))).id, 'void');
      await merchant.move((await merchant.posted(several({}))).id, 'reverse');
      await merchant.move((await merchant.posted(eur('12'))).id, 'reverse', { amount: '5' });
      const states = 'SELECT * FROM transaction_states ORDER BY transaction_id';
      const before = await asAdmin(old.on.ownerUrl, async (admin) => {
        const { rows } = await admin.query(states);
        await admin.query(`ALTER TABLE transaction_states DROP COLUMN left_amounts;
          UPDATE transaction_states SET remaining = 4 WHERE remaining = 10; UPDATE transaction_states SET reversed = 4 WHERE reversed = 10`);
        await admin.query('DELETE FROM schema_migrations WHERE name = $1', [AmountsLeft1764100000001.name]);
        return rows;
      });
      expect(before.map((row) => row.left_amounts.join())).toEqual([
        '7,7',
        '11,11',
        '4,4,6,6',
        '0,0,0,0',
        '0,0,0,0',
        '7,7',
      ]);
      expect(await migrate(old.on.ownerUrl)).toEqual([AmountsLeft1764100000001.name]);
      expect(await asAdmin(old.on.ownerUrl, async (admin) => (await admin.query(states)).rows)).toEqual(before);
      await expectVerified(old.on);
    } finally {
      await old.stop();
    }
  });
});
