import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { BREAK_ACTIONS } from '#reconciliation/breaks/break-status.js';
import { type Answer, type Json, TestApi, transfer } from './support/api.js';
import { type BreakTest, breakTests, type TestOperator } from './support/breaks.js';

let { api, bystander, shop, maker, checker } = {} as BreakTest;
breakTests((now) => {
  ({ api, bystander, shop, maker, checker } = now);
});

const told = ({ status, body }: Answer) => [status, body.code];
const REFUSED = [403, 'forbidden'];
/** Its event, as the log tells it. */
const ends = async (id: string): Promise<Json[]> =>
  (await api.logOf(shop.merchant)).filter(({ type, data }) => type === 'break.resolved' && data.break_id === id);

describe('a break that is worked off', () => {
  test('is assigned, spoken of, proposed, approved, and posted', async () => {
    const id = await shop.found();
    const assigned = await shop.act(maker, id, 'assign', { to: 'ada' });
    expect(assigned.body).toMatchObject({ id, status: 'assigned', assignee: 'ada', reconciliation_id: shop.reportId });
    const spoken = await shop.act(checker, id, 'comment', { text: 'Asked them.' });
    expect(spoken.body.comments).toEqual([
      { text: 'Asked them.', by: checker.name, key_id: checker.keyId, at: expect.any(String) },
    ]);
    const proposed = await shop.act(maker, id, 'propose', shop.posting());
    expect([proposed.status, proposed.body.status]).toEqual([200, 'proposed']);
    expect(proposed.body.proposal).toMatchObject({ action: 'post', by: maker.name, key_id: maker.keyId });
    expect(await shop.adjustments()).toEqual([]);
    const approved = await shop.act(checker, id, 'approve');
    const [transaction] = await shop.adjustments();
    expect(approved.body).toMatchObject({
      status: 'resolved',
      proposal: null,
      resolution: {
        by: maker.name,
        approved_by: checker.name,
        transaction_id: transaction.id,
        reason: 'The processor kept it.',
      },
      age_days: 0,
      difference: '-250',
    });
    expect(approved.body.balances.map(({ account_id }: Json) => account_id).sort()).toEqual(
      [shop.merchant.accounts['cash:EUR'], shop.merchant.accounts['suspense:EUR']].sort(),
    );
    expect(transaction).toMatchObject({
      type: 'reconciliation.adjustment',
      status: 'posted',
      metadata: { break_id: id },
    });
    expect((await ends(id)).map(({ data }) => data)).toEqual([
      {
        break_id: id,
        reconciliation_id: shop.reportId,
        kind: 'missing_in_ledger',
        reference: 'psp-1',
        object_ref: null,
        difference: '-250',
        currency: 'EUR',
        status: 'resolved',
        by: maker.name,
        approved_by: checker.name,
        transaction_id: transaction.id,
        reason: 'The processor kept it.',
      },
    ]);
    const { balances: _, ...shown } = approved.body;
    expect(await shop.get(id)).toEqual(shown);
  });

  test('is written off without an entry, by two', async () => {
    const id = await shop.found();
    await shop.act(maker, id, 'propose', { action: 'write_off', reason: 'Too small.' });
    expect((await shop.act(checker, id, 'approve')).body).toMatchObject({
      status: 'written_off',
      resolution: { transaction_id: null, reason: 'Too small.' },
    });
    expect(await shop.adjustments()).toEqual([]);
    expect((await ends(id)).map(({ data }) => data.status)).toEqual(['written_off']);
  });

  test('goes back to whoever it was assigned to when what was proposed is rejected, and keeps why', async () => {
    const [id, other] = [await shop.found(), await shop.found()];
    await shop.act(maker, id, 'assign', { to: 'ada' });
    for (const one of [id, other]) await shop.act(maker, one, 'propose', shop.posting());
    const rejected = await shop.act(checker, id, 'reject', { reason: 'Another account.' });
    expect(rejected.body).toMatchObject({ status: 'assigned', proposal: null });
    expect(rejected.body.comments.at(-1)).toMatchObject({
      text: 'Another account.',
      by: checker.name,
      rejected_proposal: { by: maker.name, action: 'post' },
    });
    expect((await shop.act(checker, other, 'reject', { reason: 'No.' })).body.status).toBe('open');
    expect((await shop.act(maker, id, 'propose', { action: 'write_off', reason: 'So be it.' })).status).toBe(200);
  });

  test('goes back when its maker withdraws what was proposed, under whatever key, and nobody else does', async () => {
    const id = await shop.found();
    await shop.act(maker, id, 'propose', shop.posting('25000'));
    const reason = 'A hundred times too much.';
    expect(told(await shop.act(checker, id, 'withdraw', { reason }))).toEqual(REFUSED);
    await shop.revoke(maker);
    const again = await shop.operator(maker.name.toUpperCase());
    const withdrawn = await shop.act(again, id, 'withdraw', { reason });
    expect([withdrawn.status, withdrawn.body.status, withdrawn.body.proposal]).toEqual([200, 'open', null]);
    expect(withdrawn.body.comments).toEqual([
      {
        text: reason,
        by: again.name,
        key_id: again.keyId,
        at: expect.any(String),
        withdrawn_proposal: expect.objectContaining({ by: maker.name, action: 'post' }),
      },
    ]);
    expect(withdrawn.text).not.toContain('responsible');
    expect(told(await shop.act(again, id, 'withdraw', { reason }))).toEqual([409, 'invalid_transition']);
    expect(told(await shop.act(checker, id, 'approve'))).toEqual([409, 'invalid_transition']);
    expect((await shop.act(again, id, 'propose', shop.posting())).status).toBe(200);
    expect(await shop.adjustments()).toEqual([]);
  });

  test('says what can be done where something cannot', async () => {
    const id = await shop.found();
    const early = await shop.act(checker, id, 'approve');
    expect([...told(early), early.body.detail]).toEqual([
      409,
      'invalid_transition',
      'The break is open: it cannot be approved; it can be assigned, commented or given a proposal.',
    ]);
    await shop.act(maker, id, 'propose', shop.posting());
    expect(told(await shop.act(maker, id, 'propose', shop.posting()))).toEqual([409, 'invalid_transition']);
    await shop.act(checker, id, 'approve');
    for (const [action, body] of [
      ['approve', undefined],
      ['assign', { to: 'x' }],
      ['reject', { reason: 'x' }],
    ] as const) {
      expect(told(await shop.act(checker, id, action, body))).toEqual([409, 'invalid_transition']);
    }
    expect((await shop.act(checker, id, 'comment', { text: 'Still.' })).status).toBe(200);
    expect(await shop.adjustments()).toHaveLength(1);
  });

  test('under one key is answered once', async () => {
    const id = await shop.found();
    for (const [by, action, body] of [
      [maker, 'comment', { text: 'Once.' }],
      [maker, 'propose', shop.posting()],
      [checker, 'approve', undefined],
    ] as const) {
      const key = randomUUID();
      const [first, again] = [await shop.act(by, id, action, body, key), await shop.act(by, id, action, body, key)];
      expect([first.status, again.status, again.headers.get('idempotent-replayed')]).toEqual([200, 200, 'true']);
      expect(again.body).toEqual(first.body);
    }
    expect((await shop.get(id)).comments).toHaveLength(1);
    expect(await shop.adjustments()).toHaveLength(1);
  });

  test('is found under its report, and under no other', async () => {
    const id = await shop.found();
    const { client } = shop.environment;
    const under = (report: string) => `/v1/reconciliations/${report}/breaks`;
    expect((await client.get(`${under(shop.reportId)}/${id}`)).body).toEqual(await shop.get(id));
    expect((await client.post(`${under(shop.reportId)}/${id}/assign`, { body: { to: 'ada' } })).status).toBe(200);
    for (const report of [id, '1', 'x']) {
      expect((await client.get(`${under(report)}/${id}`)).status).toBe(404);
      expect((await client.get(under(report))).status).toBe(404);
      expect((await client.post(`${under(report)}/${id}/assign`, { body: { to: 'bob' } })).status).toBe(404);
    }
    expect((await shop.get(id)).assignee).toBe('ada');
  });
});

describe('a proposal', () => {
  const entry = (more: object) => ({
    account_code: 'cash:EUR',
    direction: 'debit',
    amount: '1',
    currency: 'EUR',
    ...more,
  });

  test.each([
    ['unbalanced_entries', [entry({}), entry({ account_code: 'suspense:EUR', direction: 'credit', amount: '2' })]],
    ['currency_mismatch', [entry({ currency: 'USD' }), entry({ direction: 'credit', currency: 'USD' })]],
    ['not_found', [entry({ account_code: 'nobody' }), entry({ direction: 'credit' })]],
    ['not_found', [entry({ account_code: undefined, account_id: '1' }), entry({ direction: 'credit' })]],
    ['validation_failed', [entry({})]],
    ['validation_failed', undefined],
    ['validation_failed', [entry({ amount: '1.5' }), entry({ direction: 'credit' })]],
  ])('to post that is %s is refused when it is made', async (code, entries) => {
    const id = await shop.found();
    const { body } = await shop.act(maker, id, 'propose', { action: 'post', entries, reason: 'x' });
    expect(body.code).toBe(code);
    expect((await shop.get(id)).status).toBe('open');
  });

  test('to post on a closed account is refused when it is made, and when it was closed since', async () => {
    const id = await shop.found();
    const account = await shop.merchant.open('wallet:closing');
    const entries = [
      entry({ account_id: account, account_code: undefined }),
      entry({ account_code: 'suspense:EUR', direction: 'credit' }),
    ];
    const proposal = { action: 'post', entries, reason: 'x' };
    await shop.merchant.client.post(`/v1/accounts/${account}/close`);
    expect((await shop.act(maker, id, 'propose', proposal)).body.code).toBe('account_closed');
    await shop.merchant.client.post(`/v1/accounts/${account}/reopen`);
    expect((await shop.act(maker, id, 'propose', proposal)).status).toBe(200);
    await shop.merchant.client.post(`/v1/accounts/${account}/close`);
    const refused = await shop.act(checker, id, 'approve');
    expect([refused.status, refused.body.code]).toEqual([422, 'account_closed']);
    expect(refused.body.detail).toMatch(/^The break stays proposed\. /);
    expect(await shop.get(id)).toMatchObject({ status: 'proposed', proposal: { by: maker.name } });
  });

  test('below a floor stays proposed until there is money', async () => {
    const id = await shop.found();
    await shop.merchant.open('wallet:floor', { min_available: '0' });
    const entries = [
      entry({ account_code: 'wallet:floor', amount: '9' }),
      entry({ account_code: 'suspense:EUR', direction: 'credit', amount: '9' }),
    ];
    await shop.act(maker, id, 'propose', { action: 'post', entries, reason: 'x' });
    expect((await shop.act(checker, id, 'approve')).body.code).toBe('insufficient_funds');
    expect((await shop.get(id)).status).toBe('proposed');
    await shop.merchant.posted(transfer('cash:EUR', 'wallet:floor', '9'));
    expect((await shop.act(checker, id, 'approve')).body.status).toBe('resolved');
    expect(await shop.adjustments()).toHaveLength(1);
  });

  test('names another merchant’s account as one that is not there', async () => {
    const [id, other] = [await shop.found(), await api.merchant()];
    const entries = [
      entry({ account_code: undefined, account_id: other.accounts['cash:EUR'] }),
      entry({ direction: 'credit' }),
    ];
    const { status, body } = await shop.act(maker, id, 'propose', { action: 'post', entries, reason: 'x' });
    expect([status, body.code, body.detail]).toEqual([404, 'not_found', 'entries.0: there is no such account.']);
  });

  test('is nothing that a client can post in another way', async () => {
    const { status, body } = await shop.merchant.post(
      transfer('cash:EUR', 'suspense:EUR', '1', { type: 'reconciliation.adjustment' }),
    );
    expect([status, body.errors?.[0].path]).toEqual([422, 'type']);
  });
});

describe('whoever proposed it', () => {
  const proposedBy = async (by: TestOperator): Promise<string> => {
    const id = await shop.found();
    await shop.act(by, id, 'propose', shop.posting());
    return id;
  };
  async function expectRefused(as: TestOperator, id: string): Promise<void> {
    expect(told(await shop.act(as, id, 'approve'))).toEqual(REFUSED);
    expect(told(await shop.act(as, id, 'reject', { reason: 'x' }))).toEqual(REFUSED);
    expect(await shop.adjustments()).toEqual([]);
    expect((await shop.get(id)).status).toBe('proposed');
  }

  test('does not approve it with the same key', async () => expectRefused(maker, await proposedBy(maker)));

  test.each([
    ['of the same name', (name: string) => name],
    ['of its name in other letters', (name: string) => `${name.toUpperCase().replace(' ', '\u00a0 ')}\u200b`],
  ])('does not approve it with a new key %s', async (_, written) => {
    const id = await proposedBy(maker);
    await shop.revoke(maker);
    const again = await shop.operator(written(maker.name));
    await expectRefused(again, id);
    await shop.act(checker, id, 'approve');
    expect(await shop.adjustments()).toHaveLength(1);
  });

  test('does not approve it with a key that it issued, or had issued, or that issued its own', async () => {
    const deputy = await shop.operator(undefined, maker);
    const trainee = await shop.operator(undefined, deputy);
    for (const as of [deputy, trainee]) await expectRefused(as, await proposedBy(maker));
    const id = await proposedBy(trainee);
    await expectRefused(maker, id);
    await shop.revoke(trainee); // Its name has another key then, for which somebody else answers.
    await expectRefused(await shop.operator(trainee.name), id);
  });

  test('does not approve it with a key that it issued when its name was written otherwise', async () => {
    const deputy = await shop.operator(undefined, maker);
    await shop.revoke(maker);
    const again = await shop.operator(maker.name.toUpperCase());
    await expectRefused(await shop.operator(undefined, again), await proposedBy(deputy));
  });

  test('does not approve it with another key of the environment', async () => {
    const second = `cfo_${'2'.repeat(40)}`;
    const other = await TestApi.start({ on: api.on, config: { counterfoilOperatorKey: [second] } });
    try {
      const id = await proposedBy(shop.environment);
      await expectRefused(shop.environment, id);
      await expectRefused({ ...shop.environment, secret: second, client: shop.via(other, second) }, id);
      expect((await shop.act(checker, id, 'approve')).body.resolution.by).toBe('environment');
    } finally {
      await other.stop();
    }
  });

  test('does not approve it after its key was revoked, even where a process still trusts that', async () => {
    const trusting = await TestApi.start({ on: api.on, environment: { API_KEY_CACHE_MS: '5000' } });
    try {
      const id = await proposedBy(maker);
      const as = { ...checker, client: shop.via(trusting, checker.secret) };
      expect((await shop.act(as, id, 'comment', { text: 'I know you.' })).status).toBe(200);
      await shop.revoke(checker);
      await expectRefused(as, id);
      expect(told(await shop.act(as, id, 'comment', { text: 'And now?' }))).toEqual(REFUSED);
    } finally {
      await trusting.stop();
    }
  });

  test('may have lost its key since: another one still approves', async () => {
    const id = await proposedBy(maker);
    await shop.revoke(maker);
    expect((await shop.act(checker, id, 'approve')).body.resolution).toMatchObject({ by: maker.name });
  });

  test('is an operator: a merchant’s own key can do nothing about breaks', async () => {
    const id = await shop.found();
    for (const action of BREAK_ACTIONS) {
      expect(told(await shop.act(shop.merchant.client, id, action, {}))).toEqual(REFUSED);
    }
    expect(told(await shop.merchant.client.get('/v1/breaks'))).toEqual(REFUSED);
  });
});

describe('a match by hand', () => {
  const item = (n: number, more: object = {}) => ({
    item: `payment/77/payment/c${n}`,
    amount: '1000',
    currency: 'EUR',
    ...more,
  });
  const matched = async (): Promise<Json[]> =>
    (
      await bystander.client.query(
        `SELECT i.item, r.rule FROM reconciled_items i JOIN report_rows r
             ON r.merchant_id = i.merchant_id AND r.reconciliation_id = i.match_reconciliation_id AND r.line = i.match_line
          WHERE i.merchant_id = $1 ORDER BY item`,
        [shop.merchant.id],
      )
    ).rows;
  const match = (candidates: string[]) => ({ action: 'match', candidates, reason: 'The reference was mistyped.' });

  test('joins the break’s row and its candidates, and counts the row', async () => {
    const id = await shop.found({ kind: 'ambiguous', candidates: [item(1), item(2), item(3)] });
    expect((await shop.act(maker, id, 'propose', match([item(1).item, item(3).item]))).status).toBe(200);
    expect((await shop.act(checker, id, 'approve')).body).toMatchObject({
      status: 'resolved',
      resolution: { transaction_id: null },
    });
    expect(await matched()).toEqual([1, 3].map((n) => ({ item: item(n).item, rule: 'by hand' })));
    const { matched: counted } = await bystander.one<{ matched: string }>(
      `SELECT matched FROM reconciliations WHERE merchant_id = $1`,
      [shop.merchant.id],
    );
    expect(Number(counted)).toBe(1);
  });

  test('of the two sides of one break takes no candidates', async () => {
    const id = await shop.found({ kind: 'amount_mismatch', item: item(1).item });
    await shop.act(maker, id, 'propose', { action: 'match', reason: 'Agreed with them.' });
    expect((await shop.act(checker, id, 'approve')).status).toBe(200);
    expect(await matched()).toEqual([{ item: item(1).item, rule: 'by hand' }]);
  });

  test('with what another break holds ends that one, whose proposal is dropped', async () => {
    const missing = await shop.found({ kind: 'missing_in_report', row: false, item: item(1).item });
    await shop.act(checker, missing, 'propose', { action: 'write_off', reason: 'x' });
    const id = await shop.found();
    await shop.act(maker, id, 'propose', match([item(1).item]));
    expect((await shop.act(checker, id, 'approve')).status).toBe(200);
    expect(await shop.get(missing)).toMatchObject({
      status: 'auto_resolved',
      proposal: null,
      resolution: {
        by: null,
        reason: `Matched by hand with break ${id}.`,
        row: { source: 'generic', reconciliation_id: shop.reportId },
        dropped_proposal: { by: checker.name },
      },
    });
    expect((await ends(missing)).map(({ data }) => data.status)).toEqual(['auto_resolved']);
    expect(told(await shop.act(maker, missing, 'approve'))).toEqual([409, 'invalid_transition']);
  });

  test.each([
    ['what nobody found', {}, [item(9).item]],
    ['nothing', {}, []],
    ['an item without a row', { row: false, item: item(1).item, kind: 'missing_in_report' }, []],
  ])('of %s is refused', async (_, as, candidates) => {
    const id = await shop.found(as);
    expect((await shop.act(maker, id, 'propose', match(candidates))).body.code).toBe('validation_failed');
  });

  test('of what has been matched in the meantime is refused, and the break stays proposed', async () => {
    const [id, other] = [await shop.found({ candidates: [item(1)] }), await shop.found({ candidates: [item(1)] })];
    for (const one of [id, other]) await shop.act(maker, one, 'propose', match([item(1).item]));
    expect((await shop.act(checker, id, 'approve')).status).toBe(200);
    const refused = await shop.act(checker, other, 'approve');
    expect([...told(refused), (await shop.get(other)).status]).toEqual([409, 'invalid_transition', 'proposed']);
    expect(refused.body.detail).toContain(item(1).item);
    expect(await matched()).toHaveLength(1);
  });
});

describe('the queue of breaks', () => {
  const listed = async (query: string, of = ''): Promise<string[]> =>
    (await shop.environment.client.get(`/v1${of}/breaks${query}`)).body.data.map(({ id }: Json) => id);

  test('is filtered by status, kind, age and whose it is, newest first, page by page', async () => {
    const old = await shop.found({ createdDaysAgo: 10, kind: 'duplicate' });
    const [first, second, third] = [await shop.found(), await shop.found(), await shop.found()];
    await shop.act(maker, first, 'assign', { to: 'ada' });
    await shop.act(maker, second, 'propose', { action: 'write_off', reason: 'x' });
    await shop.act(checker, second, 'approve');
    expect(await listed('')).toEqual([third, second, first, old]);
    expect(await listed('', `/reconciliations/${shop.reportId}`)).toEqual([third, second, first, old]);
    expect(await listed('?status=open')).toEqual([third, old]);
    expect(await listed('?status=assigned&assignee=ada')).toEqual([first]);
    expect(await listed('?assignee=bob')).toEqual([]);
    expect(await listed('?status=written_off')).toEqual([second]);
    expect(await listed('?kind=duplicate')).toEqual([old]);
    expect(await listed('?older_than_days=9')).toEqual([old]);
    expect(await listed('?older_than_days=11')).toEqual([]);
    expect((await shop.get(old)).age_days).toBe(10);
    const page = (await shop.environment.client.get('/v1/breaks?limit=3')).body;
    expect([page.data.length, page.has_more]).toEqual([3, true]);
    expect(await listed(`?limit=3&cursor=${page.next_cursor}`)).toEqual([old]);
  });

  test.each(['?status=closed', '?kind=X', '?older_than_days=-1', '?older_than_days=x', '?assignee='])(
    'takes no %s',
    async (query) => {
      expect((await shop.environment.client.get(`/v1/breaks${query}`)).body.code).toBe('validation_failed');
    },
  );
});
