import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, type Json, type Merchant, TestApi } from './support/api.js';
import { Contract } from './support/contract.js';
import { until } from './support/until.js';

const MOST_VERSIONS = 3;
const RULE = { applies_to: 'payment', currency: 'EUR', percent_bps: 140, fixed: '25' };
const SHOWN = { ...RULE, min: null, max: null, tier_from: '0' };
const DAY_MS = 86_400_000;
/** A time of day some days from now, or before. */
const day = (later: number): string =>
  new Date(Math.floor(Date.now() / DAY_MS) * DAY_MS + later * DAY_MS).toISOString();

let api: TestApi;
let contract: Contract;
let admin: pg.Client;
beforeAll(async () => {
  api = await TestApi.start({ environment: { FEE_PLAN_VERSIONS: String(MOST_VERSIONS) } });
  contract = await Contract.hold(api);
  admin = new pg.Client({ connectionString: api.on.ownerUrl });
  await admin.connect();
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await admin.end();
  await api.stop();
});

const create = (body: object): Promise<Answer> =>
  api.operator.post('/v1/fee_plans', { body: { name: 'Standard', rules: [RULE], ...body } });
const plan = async (more: object = {}): Promise<string> => (await create(more)).body.id;
const addVersion = (id: string, body: object = {}): Promise<Answer> =>
  api.operator.post(`/v1/fee_plans/${id}/versions`, { body: { rules: [RULE], ...body } });
const get = async (id: string): Promise<Json> => (await api.operator.get(`/v1/fee_plans/${id}`)).body;
const put = (merchantId: string, body: object): Promise<Answer> =>
  api.operator.request('PUT', `/v1/merchants/${merchantId}/fee_plan`, { body });
const shown = async (merchant: Merchant): Promise<Json> =>
  (await api.operator.get(`/v1/merchants/${merchant.id}`)).body;
const refusal = ({ status, body }: Answer): Json => [status, body.code, body.errors?.[0]?.path];

/** A day of the merchant that is settled, or drafted, up to a time. */
async function settle(merchantId: string, until: string, on: pg.Client = admin): Promise<void> {
  await on.query(`INSERT INTO settlement_positions VALUES ($1, '2026-01-01', '2026-01-01', $2)`, [merchantId, until]);
}
async function draft(merchantId: string, until: string, on: pg.Client = admin): Promise<void> {
  await on.query(
    `INSERT INTO settlement_drafts (merchant_id, currency, settlement_id, account_id, business_date, starts_at, ends_at, drafted_through, looked_through, seen_through)
     VALUES ($1, 'EUR', 1, 1, '2026-01-01', '2026-01-01Z', $2, 0, 0, 0)`,
    [merchantId, until],
  );
}

describe('a fee plan', () => {
  test('is made with its first version, which counts since ever', async () => {
    const { status, body } = await create({});
    expect(status).toBe(201);
    const { id, created_at, ...told } = body;
    expect(told).toEqual({
      name: 'Standard',
      version: 1,
      valid_from: null,
      refund_returns_fee: false,
      rules: [SHOWN],
    });
    const { versions, ...same } = await get(id);
    expect(same).toEqual(body);
    expect(versions).toEqual([
      { version: 1, valid_from: null, refund_returns_fee: false, rules: [SHOWN], created_at: expect.any(String) },
    ]);
  });

  test('shows its rules as they were said, to the last minor unit', async () => {
    const rules = [
      { ...SHOWN, fixed: '9007199254740991', min: '0', max: '9007199254740991', tier_from: '9007199254740991' },
      { ...SHOWN, applies_to: 'refund', percent_bps: 0 },
      { ...SHOWN, applies_to: 'dispute', currency: 'JPY', percent_bps: 10_000, min: '5' },
      { ...SHOWN, applies_to: 'payout', max: '25' },
    ];
    const { body } = await create({ rules, valid_from: '2026-03-01T00:00:00.007+01:00', refund_returns_fee: true });
    expect(body).toMatchObject({ rules, valid_from: '2026-02-28T23:00:00.007Z', refund_returns_fee: true });
    expect((await create({ rules: [] })).body.rules).toEqual([]);
  });

  test('has versions that follow each other, and shows the newest', async () => {
    const id = await plan();
    const second = await addVersion(id, { valid_from: day(-10), refund_returns_fee: true });
    expect([second.status, second.body.version, second.body.valid_from]).toEqual([201, 2, day(-10)]);
    const before = Date.now();
    const third = await addVersion(id, { rules: [] });
    expect(third.body.version).toBe(3);
    expect(Date.parse(third.body.valid_from)).toBeGreaterThanOrEqual(before);
    expect(Date.parse(third.body.valid_from)).toBeLessThanOrEqual(Date.now());
    const { versions, ...newest } = await get(id);
    expect(newest).toEqual(third.body);
    expect(versions.map(({ version }: Json) => version)).toEqual([1, 2, 3]);
    expect(versions.map(({ refund_returns_fee }: Json) => refund_returns_fee)).toEqual([false, true, false]);
    const { body: list } = await api.operator.get('/v1/fee_plans?limit=1');
    expect(list.data).toEqual([newest]);
  });

  test('is listed in pages, newest first', async () => {
    const ids = [await plan(), await plan(), await plan()].reverse();
    const first = (await api.operator.get('/v1/fee_plans?limit=2')).body;
    expect([first.data.map(({ id }: Json) => id), first.has_more]).toEqual([ids.slice(0, 2), true]);
    const next = (await api.operator.get(`/v1/fee_plans?limit=1&cursor=${first.next_cursor}`)).body;
    expect(next.data[0].id).toBe(ids[2]);
  });

  test('is the platform’s: a merchant’s key may not look at it', async () => {
    const { client, id } = await api.merchant();
    const answers = [
      await client.get('/v1/fee_plans'),
      await client.get(`/v1/fee_plans/${await plan()}`),
      await client.post('/v1/fee_plans', { body: { name: 'Mine', rules: [] } }),
      await client.request('PUT', `/v1/merchants/${id}/fee_plan`, { body: { fee_plan_id: await plan() } }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([403, 403, 403, 403]);
  });

  test('that is not there is not found', async () => {
    for (const id of ['249956523482091520', 'abc', '0']) {
      expect((await api.operator.get(`/v1/fee_plans/${id}`)).status).toBe(404);
      expect((await addVersion(id)).status).toBe(404);
    }
  });
});

describe('a rule', () => {
  test.each<[what: string, rule: object, path: string]>([
    ['of nothing', { applies_to: 'capture' }, 'rules.1.applies_to'],
    ['of no currency', { currency: 'XXZ' }, 'rules.1.currency'],
    ['of 10,001 basis points', { percent_bps: 10_001 }, 'rules.1.percent_bps'],
    ['of less than none', { percent_bps: -1 }, 'rules.1.percent_bps'],
    ['of half a basis point', { percent_bps: 0.5 }, 'rules.1.percent_bps'],
    ['of basis points as text', { percent_bps: '140' }, 'rules.1.percent_bps'],
    ['with a negative fee', { fixed: '-1' }, 'rules.1.fixed'],
    ['without a fixed fee', { fixed: undefined }, 'rules.1.fixed'],
    ['with a negative least', { min: '-1' }, 'rules.1.min'],
    ['with a negative most', { max: '-1' }, 'rules.1.max'],
    ['with more than an amount can be', { fixed: '9007199254740992' }, 'rules.1.fixed'],
    ['from a negative volume on', { tier_from: '-1' }, 'rules.1.tier_from'],
    ['with a least above the most', { fixed: '0', min: '11', max: '10' }, 'rules.1.min'],
    ['with a fixed fee above the most', { fixed: '11', max: '10' }, 'rules.1.fixed'],
    ['for what another is for', {}, 'rules.1'],
    ['with a word that nobody knows', { percent: 1 }, 'rules.1.percent'],
  ])('%s is refused at its path, in a plan and in a version', async (_, wrong, path) => {
    const isRepeated = Object.keys(wrong).length === 0;
    const rules = [RULE, { ...RULE, ...(isRepeated ? {} : { tier_from: '5' }), ...wrong }];
    const before = await api.countRows();
    expect(refusal(await create({ rules }))).toEqual([422, 'validation_failed', path]);
    expect(await api.countRows()).toEqual(before);
    const id = await plan();
    expect(refusal(await addVersion(id, { rules }))).toEqual([422, 'validation_failed', path]);
    expect((await get(id)).versions).toHaveLength(1);
  });

  test('each of many that is wrong is told', async () => {
    const rules = [...Array(30).keys()].map((n) => ({
      ...RULE,
      tier_from: String(n % 29),
      max: n === 7 ? '24' : '25',
    }));
    const { body } = await create({ rules });
    expect(body.errors.map(({ path }: Json) => path)).toEqual(['rules.7.fixed', 'rules.29']);
    expect(body.errors[1].message).toContain('rules.0');
  });

  test('may stand beside others for another currency, subject or volume', async () => {
    const rules = [RULE, { ...RULE, currency: 'USD' }, { ...RULE, applies_to: 'refund' }, { ...RULE, tier_from: '1' }];
    expect((await create({ rules })).status).toBe(201);
  });
});

test.each<[what: string, body: object, path: string]>([
  ['without a name', { name: '' }, 'name'],
  ['with a name of 256 letters', { name: 'x'.repeat(256) }, 'name'],
  ['without rules', { rules: undefined }, 'rules'],
  ['with 201 rules', { rules: [...Array(201).keys()].map((n) => ({ ...RULE, tier_from: n })) }, 'rules'],
  ['from a day that does not exist on', { valid_from: '2026-02-30T00:00:00Z' }, 'valid_from'],
  ['that may give back', { refund_returns_fee: 'perhaps' }, 'refund_returns_fee'],
  ['with a word that nobody knows', { rates: [] }, 'rates'],
])('a plan %s is refused at its path', async (_, body, path) => {
  expect(refusal(await create(body))).toEqual([422, 'validation_failed', path]);
});

describe('a version', () => {
  const CONFLICT = [409, 'invalid_transition', undefined];

  test('does not begin before, or with, the one before it', async () => {
    const id = await plan({ valid_from: day(-5) });
    expect(refusal(await addVersion(id, { valid_from: day(-5) }))).toEqual(CONFLICT);
    expect(refusal(await addVersion(id, { valid_from: day(-6) }))).toEqual(CONFLICT);
    expect((await addVersion(id, { valid_from: day(5) })).status).toBe(201);
    // Now lies before it.
    expect(refusal(await addVersion(id))).toEqual(CONFLICT);
    expect((await get(id)).versions).toHaveLength(2);
  });

  test('is one of a bounded number', async () => {
    const id = await plan();
    for (let n = 1; n < MOST_VERSIONS; n += 1) expect((await addVersion(id, { valid_from: day(n) })).status).toBe(201);
    const refused = await addVersion(id, { valid_from: day(MOST_VERSIONS) });
    expect(refusal(refused)).toEqual(CONFLICT);
    expect(refused.body.detail).toContain(`${MOST_VERSIONS} versions`);
  });

  test.each([
    ['settled', settle],
    ['drafted', draft],
  ])('does not change a day that is %s of a merchant on the plan', async (_, isOver) => {
    const id = await plan();
    const merchant = await api.merchant();
    await put(merchant.id, { fee_plan_id: id });
    await isOver(merchant.id, day(-1));
    const refused = await addVersion(id, { valid_from: day(-2) });
    expect(refusal(refused)).toEqual(CONFLICT);
    expect(refused.body.detail).toContain(day(-1));
    expect((await addVersion(id, { valid_from: day(-1) })).status).toBe(201);
  });

  test('does not change a day of any merchant on the plan, however far the others are', async () => {
    const id = await plan();
    const ends = [day(-9), day(-1), day(-5)];
    for (const end of ends) {
      const merchant = await api.merchant();
      await put(merchant.id, { fee_plan_id: id });
      await settle(merchant.id, end);
    }
    const refused = await addVersion(id, { valid_from: day(-8) });
    expect(refusal(refused)).toEqual(CONFLICT);
    expect(refused.body.detail).toContain(day(-1));
    expect((await addVersion(id, { valid_from: day(-1) })).status).toBe(201);
  });

  test('may begin in days that were settled by another plan, or of which it is none', async () => {
    const id = await plan();
    const [left, came, never] = [await api.merchant(), await api.merchant(), await api.merchant()];
    await put(left.id, { fee_plan_id: id });
    await put(left.id, { fee_plan_id: await plan(), valid_from: day(-9) });
    await put(came.id, { fee_plan_id: await plan() });
    await put(came.id, { fee_plan_id: id, valid_from: day(-3) });
    for (const { id: merchantId } of [left, never]) await settle(merchantId, day(-1));
    await settle(came.id, day(-3));
    expect((await addVersion(id, { valid_from: day(-9) })).status).toBe(201);
    const late = await plan();
    await put(came.id, { fee_plan_id: late, valid_from: day(-2) });
    await admin.query('UPDATE settlement_positions SET ended_at = $2 WHERE merchant_id = $1', [came.id, day(0)]);
    expect(refusal(await addVersion(late, { valid_from: day(-1) }))).toEqual(CONFLICT);
  });

  test('waits for who begins to settle by the plan, and then sees it', async () => {
    const id = await plan();
    const merchant = await api.merchant();
    await put(merchant.id, { fee_plan_id: id });
    await admin.query('BEGIN');
    await admin.query('SELECT FROM fee_plans WHERE id = $1 FOR SHARE', [id]);
    await draft(merchant.id, day(0));
    const adding = addVersion(id, { valid_from: day(-1) });
    await someoneWaits();
    await admin.query('COMMIT');
    expect(refusal(await adding)).toEqual(CONFLICT);
  });
});

/** Until the API waits for a lock that `admin` holds. */
async function someoneWaits(): Promise<void> {
  const text = `SELECT FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))`;
  await until('a statement waits for ours', async () => (await admin.query(text)).rowCount);
}

describe('a merchant', () => {
  const CONFLICT = [409, 'invalid_transition', undefined];
  const plansOf = async (merchant: Merchant): Promise<Json> =>
    (await shown(merchant)).fee_plans.map(({ fee_plan_id, valid_from }: Json) => [fee_plan_id, valid_from]);

  test('is opened on a plan, since ever', async () => {
    const id = await plan();
    const body = { name: 'M', time_zone: 'UTC', settlement_cutoff: '00:00', currencies: ['EUR'], fee_plan_id: id };
    const { status, body: opened } = await api.operator.post('/v1/merchants', { body });
    const plans = { fee_plan_id: id, fee_plans: [{ fee_plan_id: id, valid_from: null }] };
    expect([status, opened]).toEqual([201, expect.objectContaining(plans)]);
    expect((await api.operator.get(`/v1/merchants/${opened.id}`)).body).toMatchObject(plans);
    expect((await api.operator.get('/v1/merchants?limit=1')).body.data[0]).toMatchObject(plans);
  });

  test('is not opened on a plan that is not there, and nothing of it is', async () => {
    const merchant = { name: 'M', time_zone: 'UTC', settlement_cutoff: '00:00', currencies: ['EUR'] };
    const before = await api.countRows();
    for (const fee_plan_id of ['249956523482091520', '5', 'gold', 5]) {
      const answer = await api.operator.post('/v1/merchants', {
        body: { ...merchant, fee_plan_id },
        key: 'on-no-plan',
      });
      expect(refusal(answer)).toEqual([422, 'validation_failed', 'fee_plan_id']);
    }
    expect(await api.countRows()).toEqual(before);
    expect((await api.operator.post('/v1/merchants', { body: merchant, key: 'on-no-plan' })).status).toBe(201);
  });

  test('without a plan says so, and its first one counts since ever', async () => {
    const [merchant, id] = [await api.merchant(), await plan()];
    expect(await shown(merchant)).toMatchObject({ fee_plan_id: null, fee_plans: [] });
    const { status, body } = await put(merchant.id, { fee_plan_id: id });
    expect([status, body]).toEqual([200, await shown(merchant)]);
    expect(body).toMatchObject({ fee_plan_id: id, fee_plans: [{ fee_plan_id: id, valid_from: null }] });
  });

  test('changes to another plan from now on, or from a time on', async () => {
    const [merchant, one, two, three] = [await api.merchant(), await plan(), await plan(), await plan()];
    await put(merchant.id, { fee_plan_id: one });
    await put(merchant.id, { fee_plan_id: two });
    const { body } = await put(merchant.id, { fee_plan_id: three, valid_from: day(5) });
    expect(body.fee_plan_id).toBe(two);
    expect(await plansOf(merchant)).toEqual([
      [one, null],
      [two, expect.stringMatching(/Z$/)],
      [three, day(5)],
    ]);
  });

  test('asked twice is asked once', async () => {
    const [merchant, one, two] = [await api.merchant(), await plan(), await plan()];
    for (const body of [
      { fee_plan_id: one },
      { fee_plan_id: one },
      { fee_plan_id: two, valid_from: day(-3) },
      { fee_plan_id: two, valid_from: day(-3) },
      { fee_plan_id: two },
    ]) {
      expect((await put(merchant.id, body)).status).toBe(200);
    }
    const plans = [
      [one, null],
      [two, day(-3)],
    ];
    expect(await plansOf(merchant)).toEqual(plans);
    // Also when it could no longer be asked for the first time.
    await settle(merchant.id, day(-1));
    expect((await put(merchant.id, { fee_plan_id: two, valid_from: day(-3) })).status).toBe(200);
    expect((await put(merchant.id, { fee_plan_id: two, valid_from: day(-2) })).status).toBe(200);
    expect(await plansOf(merchant)).toEqual(plans);
  });

  test('what was planned is superseded by what counts from then, or before', async () => {
    const [merchant, one, two, three] = [await api.merchant(), await plan(), await plan(), await plan()];
    await put(merchant.id, { fee_plan_id: one });
    await put(merchant.id, { fee_plan_id: two, valid_from: day(5) });
    await put(merchant.id, { fee_plan_id: three, valid_from: day(7) });
    await put(merchant.id, { fee_plan_id: three, valid_from: day(5) });
    expect(await plansOf(merchant)).toEqual([
      [one, null],
      [three, day(5)],
    ]);
    await put(merchant.id, { fee_plan_id: one });
    expect(await plansOf(merchant)).toEqual([[one, null]]);
  });

  test('is on no plan before the one that it is on', async () => {
    const [merchant, one, two] = [await api.merchant(), await plan(), await plan()];
    await put(merchant.id, { fee_plan_id: one, valid_from: day(-3) });
    expect(refusal(await put(merchant.id, { fee_plan_id: two, valid_from: day(-4) }))).toEqual(CONFLICT);
    expect(await plansOf(merchant)).toEqual([[one, day(-3)]]);
    // With it, it takes its place.
    expect((await put(merchant.id, { fee_plan_id: two, valid_from: day(-3) })).body.fee_plan_id).toBe(two);
    expect(await plansOf(merchant)).toEqual([[two, day(-3)]]);
  });

  test.each([
    ['settled', settle],
    ['drafted', draft],
  ])('keeps the plan of a day that is %s', async (_, isOver) => {
    const [merchant, one, two] = [await api.merchant(), await plan(), await plan()];
    await put(merchant.id, { fee_plan_id: one, valid_from: day(-9) });
    await isOver(merchant.id, day(-1));
    for (const valid_from of [day(-2), day(-9)]) {
      const refused = await put(merchant.id, { fee_plan_id: two, valid_from });
      expect(refusal(refused)).toEqual(CONFLICT);
      expect(refused.body.detail).toContain(day(-1));
    }
    expect(await plansOf(merchant)).toEqual([[one, day(-9)]]);
    expect((await put(merchant.id, { fee_plan_id: two, valid_from: day(-1) })).body.fee_plan_id).toBe(two);
  });

  test('whose days were settled without a plan is on one from now on', async () => {
    const [merchant, id] = [await api.merchant(), await plan()];
    await settle(merchant.id, day(0));
    const { body } = await put(merchant.id, { fee_plan_id: id });
    expect(body.fee_plan_id).toBe(id);
    expect(Date.parse(body.fee_plans[0].valid_from)).toBeGreaterThan(Date.parse(day(0)));
  });

  test('waits for who begins to settle it, and then sees it', async () => {
    const [merchant, one, two] = [await api.merchant(), await plan(), await plan()];
    await put(merchant.id, { fee_plan_id: one });
    await admin.query('BEGIN');
    await admin.query('SELECT FROM merchants WHERE id = $1 FOR KEY SHARE', [merchant.id]);
    await draft(merchant.id, day(0));
    const changing = put(merchant.id, { fee_plan_id: two, valid_from: day(-1) });
    await someoneWaits();
    await admin.query('COMMIT');
    expect(refusal(await changing)).toEqual(CONFLICT);
    expect(await plansOf(merchant)).toEqual([[one, null]]);
  });

  test('on a plan that is not there is refused at its path, and is not found when it is not there itself', async () => {
    const merchant = await api.merchant();
    for (const body of [{ fee_plan_id: '249956523482091520' }, { fee_plan_id: 'gold' }, {}]) {
      expect(refusal(await put(merchant.id, body))).toEqual([422, 'validation_failed', 'fee_plan_id']);
    }
    const wrong = { fee_plan_id: await plan(), valid_from: 'soon' };
    expect(refusal(await put(merchant.id, wrong))).toEqual([422, 'validation_failed', 'valid_from']);
    for (const id of ['249956523482091520', 'abc']) {
      expect((await put(id, { fee_plan_id: await plan() })).status).toBe(404);
    }
    expect(await plansOf(merchant)).toEqual([]);
  });
});

test('every route of fee plans has been answered with success above, lists with something in them', () => {
  // What takes a version back: test/fee-plan-takes-back.test.ts.
  const routes = contract.routes.filter((route) => route.includes('fee_plan') && !/^delete/i.test(route));
  expect(routes).toHaveLength(5);
  const answered = routes.filter((route) => [...(contract.seen.get(route) ?? [])].some((status) => status < 300));
  expect(answered).toEqual(routes);
  expect([...contract.emptyLists]).toEqual([]);
});
