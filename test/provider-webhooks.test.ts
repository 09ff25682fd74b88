import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ProblemError } from '#kernel/problem.js';
import { Inbox } from '#payments/providers/inbox.js';
import { inboxWork, purgeInbox } from '#payments/providers/inbox-duties.js';
import { PROVIDER_INBOX } from '#payments/providers/inbox-store.js';
import { Database } from '#platform/postgres.js';
import { freePort } from '../scripts/ports.mjs';
import { type Answer, type Ask, type Json, type Merchant, TestApi } from './support/api.js';
import { Bystander } from './support/bystander.js';
import {
  ACME_SECRET,
  ADYEN_SECRET,
  acmeEvent,
  acmeSigned,
  adyenSigned,
  type Signed,
  STRIPE_SECRET,
  stripeCharge,
  stripeEvent,
  stripeSigned,
  unique,
} from './support/provider-senders.js';
import { until } from './support/until.js';
import { startWorker } from './support/worker.js';

const BODY_LIMIT = 65_536;

let api: TestApi;
let bystander: Bystander;
let shop: Merchant;
let stranger: Merchant;

beforeAll(async () => {
  const environment = {
    PROVIDER_WEBHOOK_BYTES: String(BODY_LIMIT),
    PROVIDER_APPLY_MS: '2000',
    PROVIDER_INBOX_RETRY_MS: '2500',
    METRICS_PORT: String(await freePort()),
  };
  api = await TestApi.start({ environment });
  bystander = await Bystander.open(api.on);
  shop = await api.merchant();
  stranger = await api.merchant();
  for (const [provider, webhook_secret] of [
    ['stripe', STRIPE_SECRET],
    ['adyen', ADYEN_SECRET],
    ['acme', ACME_SECRET],
  ]) {
    const { status } = await shop.client.request('PUT', `/v1/providers/${provider}`, { body: { webhook_secret } });
    expect(status).toBe(200);
  }
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await bystander.close();
  await api.stop();
});

const send = (provider: string, { raw, headers }: Signed, { id } = shop): Promise<Answer> =>
  api.client().request('POST', `/v1/providers/${provider}/merchants/${id}/webhook`, { raw, headers } as Ask);
const inbox = async (): Promise<Json[]> =>
  (
    await bystander.client.query(
      `SELECT provider, outcome, results, times_received, convert_from(body, 'UTF8') AS body FROM provider_inbox ORDER BY id`,
    )
  ).rows;
/** What is still to be applied. */
const waiting = async (): Promise<number | null> =>
  (await bystander.client.query('SELECT FROM due_rows WHERE kind = $1', [PROVIDER_INBOX])).rowCount;
const paymentOf = async (provider: string, ref: string): Promise<Json> =>
  (await shop.client.get(`/v1/payments?provider=${provider}&provider_ref=${ref}`)).body.data[0];
const outcomesOf = (row: Json): string[] => row.results.map(({ outcome }: Json) => outcome);

/** So that each body is another. */
let padding = 0;
describe('a webhook that is signed', () => {
  test.each([
    [
      'stripe',
      (ref: string) => stripeSigned(stripeEvent('charge.succeeded', stripeCharge(ref))),
      (ref: string) => `pi_${ref}`,
      {},
    ],
    [
      'adyen',
      (ref: string) =>
        adyenSigned([
          { pspReference: ref, eventCode: 'AUTHORISATION', value: 10_000 },
          { pspReference: `${ref}C`, originalReference: ref, eventCode: 'CAPTURE', value: 10_000 },
        ]),
      (ref: string) => ref,
      { notificationResponse: '[accepted]' },
    ],
    [
      'acme',
      (ref: string) => acmeSigned({ events: [acmeEvent(ref), acmeEvent(ref, { type: 'captured', object_ref: 'c' })] }),
      (ref: string) => ref,
      {},
    ],
  ])('from %s is kept, applied and answered', async (provider, signed, refOf, accepted) => {
    const ref = `R${unique()}`;
    const answer = await send(provider, signed(ref));
    expect([answer.status, answer.body]).toEqual([200, { received: true, applied: true, ...accepted }]);
    expect(await paymentOf(provider, refOf(ref))).toMatchObject({
      status: 'captured',
      amount_captured: '10000',
      currency: 'EUR',
    });
    const row = (await inbox()).at(-1);
    expect(row).toMatchObject({ provider, outcome: 'done', times_received: 1 });
    expect(outcomesOf(row)).toEqual(['applied', 'applied']);
    expect(await waiting()).toBe(0);
  });

  test('and comes again, thrice at once and once more, has one effect and one row', async () => {
    const ref = unique();
    const signed = stripeSigned(stripeEvent('charge.succeeded', stripeCharge(ref)));
    const before = (await inbox()).length;
    const answers = await Promise.all([signed, signed, signed].map((one) => send('stripe', one)));
    answers.push(await send('stripe', signed));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    const rows = await inbox();
    expect(rows).toHaveLength(before + 1);
    expect(rows.at(-1)).toMatchObject({ times_received: 4, outcome: 'done' });
    expect(outcomesOf(rows.at(-1))).toEqual(['duplicate', 'duplicate']);
    const { transactions, findings } = await paymentOf('stripe', `pi_${ref}`);
    expect([transactions.length, findings]).toEqual([2, []]);
  });

  test('under another id says the same once, and something else not at all', async () => {
    const ref = unique();
    const event = acmeEvent(ref);
    const changed = { ...event, amount: '99999' };
    const outcomes: string[] = [];
    for (const one of [event, { ...event, provider: 'acme' }, changed]) {
      expect((await send('acme', acmeSigned(one))).status).toBe(200);
      outcomes.push(...outcomesOf((await inbox()).at(-1)));
    }
    expect(outcomes).toEqual(['applied', 'duplicate', 'rejected']);
    const { amount, transactions, findings } = await paymentOf('acme', ref);
    expect([amount, transactions.length, findings[0].kind]).toEqual(['10000', 1, 'contradictory_event']);
  });

  test('of Adyen’s comes again with another date, which nobody signs, and says the same', async () => {
    const ref = `R${unique()}`;
    const signed = adyenSigned([{ pspReference: ref, eventCode: 'AUTHORISATION', value: 10_000 }]);
    const eventDate = new Date(Date.now() - 120_000).toISOString();
    await send('adyen', signed);
    await send('adyen', { ...signed, raw: signed.raw.replace(/"eventDate":"[^"]+"/, `"eventDate":"${eventDate}"`) });
    expect(outcomesOf((await inbox()).at(-1))).toEqual(['duplicate']);
    expect(await paymentOf('adyen', ref)).toMatchObject({ status: 'authorised', findings: [] });
  });

  test('tells of a refund under two event ids, and refunds once', async () => {
    const ref = unique();
    const refunded = stripeCharge(ref, { amount_refunded: 3_000 });
    for (const id of ['evt_1', 'evt_2'])
      await send('stripe', stripeSigned(stripeEvent('charge.refunded', refunded, id + ref)));
    expect(await paymentOf('stripe', `pi_${ref}`)).toMatchObject({
      amount_refunded: '3000',
      status: 'partially_refunded',
      findings: [],
    });
  });

  test('and is told of before its payment waits for it', async () => {
    const ref = unique();
    const capture = acmeEvent(ref, { type: 'captured', object_ref: 'c' });
    await send('acme', acmeSigned(capture));
    expect(outcomesOf((await inbox()).at(-1))).toEqual(['parked']);
    expect(await paymentOf('acme', ref)).toBeUndefined();
    await send('acme', acmeSigned(acmeEvent(ref)));
    expect(await paymentOf('acme', ref)).toMatchObject({ status: 'captured', amount_captured: '10000' });
  });

  test('tells more than is handed over at once, all of it, and of each thing what became of that', async () => {
    const ref = unique();
    const captures = Array.from({ length: 250 }, (_, index) =>
      acmeEvent(ref, { type: 'captured', amount: '40', object_ref: `c${index}` }),
    );
    const late = acmeEvent(ref, { type: 'refunded', occurred_at: new Date(Date.now() + 600_000).toISOString() });
    // Ahead of our clock by less than the two may be apart.
    const voided = acmeEvent(ref, { type: 'voided', occurred_at: new Date(Date.now() + 30_000).toISOString() });
    const parked = acmeEvent(ref, { type: 'refunded', amount: '10001' });
    const events = [7, late, acmeEvent(ref), acmeEvent(ref), ...captures, parked, { ...voided, amount: undefined }];
    expect((await send('acme', acmeSigned({ events }))).body).toEqual({ received: true, applied: true });
    expect(outcomesOf((await inbox()).at(-1))).toEqual([
      ...['ignored', 'ignored', 'applied', 'stale'],
      ...Array(250).fill('applied'),
      ...['parked', 'stale'],
    ]);
    expect(await paymentOf('acme', ref)).toMatchObject({ status: 'captured', amount_captured: '10000' });
  });

  test('and tells nothing of a payment is kept, with why', async () => {
    const before = await api.countRows();
    const answer = await send('stripe', stripeSigned(stripeEvent('customer.created', { id: `cus_${unique()}` })));
    expect([answer.status, answer.body.applied]).toEqual([200, true]);
    const reason = 'events of this type tell nothing of a payment';
    expect((await inbox()).at(-1).results).toEqual([{ what: 'customer.created', outcome: 'ignored', reason }]);
    const after = await api.countRows();
    expect({ ...after, provider_inbox: before.provider_inbox }).toEqual(before);
  });

  test.each([
    ['the payment', (text: string) => ({ payment_intent: text })],
    ['the charge', (text: string) => ({ id: text })],
    ['why it failed', (text: string) => ({ status: 'failed', failure_code: text })],
  ])(
    'and names %s in a text that PostgreSQL does not keep is kept, with why, and waits no longer',
    async (_what, change) => {
      for (const text of ['a\0b', 'a\ud800b']) {
        const charge = stripeCharge(unique(), change(text));
        const before = await api.countRows();
        const answer = await send('stripe', stripeSigned(stripeEvent('charge.updated', charge)));
        expect([answer.status, answer.body.applied]).toEqual([200, true]);
        const { results } = (await inbox()).at(-1);
        expect(results[0]).toMatchObject({ outcome: 'ignored', reason: expect.stringContaining('surrogate pair') });
        const after = await api.countRows();
        expect({ ...after, provider_inbox: before.provider_inbox }).toEqual(before);
      }
    },
  );

  test.each([
    ['in ten years', 10 * 365],
    ['in the year 1', -2_025 * 365],
  ])('and says that it happened %s is kept, and moves nothing', async (_when, days) => {
    const occurred_at = new Date(Date.now() + days * 86_400_000).toISOString().replace(/^-?0*(\d{4})-/, '$1-');
    const ref = unique();
    const answer = await send('acme', acmeSigned(acmeEvent(ref, { occurred_at })));
    expect(answer.status).toBe(200);
    expect(outcomesOf((await inbox()).at(-1))).toEqual(['ignored']);
    expect(await paymentOf('acme', ref)).toBeUndefined();
  });

  test.each(['no JSON', '[]', '{"events":[]}'])(
    'and cannot be read is kept, refused, and moves nothing: %s',
    async (text) => {
      const raw = text + ' '.repeat(++padding);
      const answer = await send('acme', acmeSigned(raw));
      expect([answer.status, answer.body.code]).toEqual([400, 'malformed_json']);
      const row = (await inbox()).at(-1);
      expect(row).toMatchObject({ outcome: 'undeliverable', body: raw, results: [{ outcome: 'ignored' }] });
      expect(await waiting()).toBe(0);
    },
  );

  test('in part is kept in that part, and refused as a whole until all of it is', async () => {
    const ref = `R${unique()}`;
    const good = { pspReference: ref, eventCode: 'AUTHORISATION', value: 10_000 };
    const other = { pspReference: `${ref}C`, originalReference: ref, eventCode: 'CAPTURE', value: 10_000 };
    const answer = await send('adyen', adyenSigned([good, { ...other, forged: true }]));
    expect([answer.status, answer.body.code]).toEqual([401, 'unauthorized']);
    expect(await paymentOf('adyen', ref)).toMatchObject({ status: 'authorised', amount_captured: '0' });
    const row = (await inbox()).at(-1);
    expect(JSON.parse(row.body).notificationItems).toHaveLength(1);
    expect((await send('adyen', adyenSigned([good, other]))).status).toBe(200);
    expect(await paymentOf('adyen', ref)).toMatchObject({ status: 'captured', amount_captured: '10000', findings: [] });
  });

  test('by the secret before is taken until that one ends', async () => {
    const own = await api.merchant();
    const set = (body: object) => own.client.request('PUT', '/v1/providers/stripe', { body });
    const [first, second] = [`whsec_${unique().repeat(3)}`, `whsec_${unique().repeat(3)}`];
    const by = async (secret: string) =>
      (await send('stripe', stripeSigned(stripeEvent('charge.succeeded', stripeCharge(unique())), { secret }), own))
        .status;
    await set({ webhook_secret: first });
    await set({ webhook_secret: second });
    expect([await by(first), await by(second)]).toEqual([200, 200]);
    // As time does.
    await bystander.client.query(
      `UPDATE provider_secrets SET expires_at = now() - interval '1 ms' WHERE merchant_id = $1 AND expires_at IS NOT NULL`,
      [own.id],
    );
    expect([await by(first), await by(second)]).toEqual([401, 200]);
    await set({ webhook_secret: first });
    await set({ webhook_secret: second, previous_valid_until: new Date().toISOString() });
    expect([await by(first), await by(second)]).toEqual([401, 200]);
    await own.client.request('DELETE', '/v1/providers/stripe');
    expect(await by(second)).toBe(401);
  });
});

describe('a webhook that is not', () => {
  const event = () => stripeEvent('charge.succeeded', stripeCharge(unique()));
  const old = Math.floor(Date.now() / 1_000) - 301;
  const other = (signed: Signed, change: Partial<Signed>): Signed => ({ ...signed, ...change });

  test('expected or signed rightly is refused in the same words, and nothing is kept', async () => {
    const signed = stripeSigned(event());
    const nobody = { id: '1' } as Merchant;
    const asks: [string, string, Signed, Merchant][] = [
      ['signed by another secret', 'stripe', stripeSigned(event(), { secret: `${STRIPE_SECRET}x` }), shop],
      ['signed, and changed by one byte', 'stripe', other(signed, { raw: signed.raw.replace('10000', '10001') }), shop],
      [
        'signed, and serialised anew',
        'stripe',
        other(signed, { raw: JSON.stringify(JSON.parse(signed.raw), null, 1) }),
        shop,
      ],
      ['old', 'stripe', stripeSigned(event(), { atS: old }), shop],
      ['early', 'stripe', stripeSigned(event(), { atS: old + 700 }), shop],
      ['unsigned', 'stripe', other(signed, { headers: { 'content-type': 'application/json' } }), shop],
      ['empty', 'stripe', stripeSigned('', { secret: 'another secret' }), shop],
      ['for a merchant without this provider', 'stripe', signed, stranger],
      ['for a merchant that there is not', 'stripe', signed, nobody],
      ['for what is no merchant', 'stripe', signed, { id: 'x' } as Merchant],
      ['of a provider without a secret', 'acne', acmeSigned(acmeEvent('r')), shop],
      ['of a name that no provider has', 'payment', acmeSigned(acmeEvent('r')), shop],
      [
        'signed with a key of zeros, for nobody',
        'acme',
        acmeSigned(acmeEvent('r'), { secret: `whsec_${Buffer.alloc(32).toString('base64')}` }),
        nobody,
      ],
      [
        'of Adyen’s, forged',
        'adyen',
        adyenSigned([{ pspReference: 'X', eventCode: 'AUTHORISATION', value: 1, forged: true }]),
        shop,
      ],
      ['of Adyen’s, and none', 'adyen', { raw: '[[[[', headers: { 'content-type': 'application/json' } }, shop],
    ];
    const before = await api.countRows();
    for (const [what, provider, given, merchant] of asks) {
      const { status, body } = await send(provider, given, merchant);
      const { trace_id: _, ...said } = body;
      expect([what, status, said]).toEqual([
        what,
        401,
        {
          type: expect.any(String),
          title: expect.any(String),
          status: 401,
          code: 'unauthorized',
          detail: 'No webhook with this signature is expected here now.',
        },
      ]);
    }
    expect(await api.countRows()).toEqual(before);
  });

  test('within the limit of its length is refused by that, one byte over it', async () => {
    const padded = (length: number) => {
      const text = JSON.stringify(event());
      return stripeSigned(text + ' '.repeat(length - text.length));
    };
    expect((await send('stripe', padded(BODY_LIMIT))).status).toBe(200);
    const over = await send('stripe', padded(BODY_LIMIT + 1));
    expect([over.status, over.body.code]).toEqual([413, 'payload_too_large']);
  });

  test('JSON by its type is refused by that', async () => {
    const { raw, headers } = stripeSigned(event());
    const { status, body } = await send('stripe', { raw, headers: { ...headers, 'content-type': 'text/plain' } });
    expect([status, body.code]).toEqual([415, 'unsupported_media_type']);
  });
});

test('what is kept and cannot be applied at once is answered, and applied by the worker', async () => {
  const ref = unique();
  const charge = stripeSigned(stripeEvent('charge.succeeded', stripeCharge(ref)));
  const before = acmeSigned(acmeEvent(ref));
  expect((await send('acme', before)).body.applied).toBe(true);
  const dateless = adyenSigned([{ pspReference: `R${ref}`, eventCode: 'AUTHORISATION', value: 10_000 }]);
  const raw = dateless.raw.replace(/"eventDate":"[^"]+"/, '"eventDate":"1999-01-01T00:00:00Z"');
  // Whoever posts for the merchant waits for its lock.
  const lock = await Bystander.open(api.on);
  await lock.client.query('BEGIN');
  await lock.client.query('SELECT lock_merchants($1)', [`{${shop.id}}`]);
  try {
    const answers = await Promise.all([
      send('adyen', { ...dateless, raw }),
      send('stripe', charge),
      // Applied before, and perhaps not as it would be now.
      send('acme', before),
    ]);
    expect(answers.map(({ status, body }) => [status, body.applied])).toEqual(Array(3).fill([200, false]));
    expect((await inbox()).slice(-3)).toMatchObject(Array(3).fill({ outcome: 'received', results: null }));
  } finally {
    await lock.client.query('ROLLBACK');
    await lock.close();
  }
  // Whatever it is that fails: the row goes on waiting, and its timer with it.
  const away = new Inbox(
    api.app.get(Database),
    () => Promise.reject(new ProblemError('overloaded', 'The ledger is away.')),
    { clockSkewMs: 0 },
  );
  const round = () => inboxWork(api.app.get(Database), away).round().catch(String);
  await until('one is due, and fails', async () => /The ledger is away/.test(String(await round())));
  expect(await waiting()).toBe(3);
  expect((await send('adyen', { ...dateless, raw })).body.applied).toBe(true);
  const stop = await startWorker(api.on, {
    PROVIDER_APPLY_MS: '100',
    PROVIDER_INBOX_RETRY_MS: '200',
    PROVIDER_INBOX_POLL_MS: '50',
  });
  const rows = async () => (await inbox()).slice(-3);
  try {
    const isDone = async () => (await rows()).every(({ outcome }) => outcome === 'done');
    await until('the worker has applied it', isDone, 30_000);
  } finally {
    await stop();
  }
  expect(await paymentOf('stripe', `pi_${ref}`)).toMatchObject({ status: 'captured', amount_captured: '10000' });
  expect((await rows()).map(outcomesOf).sort()).toEqual([['applied'], ['applied', 'applied'], ['duplicate']]);
  expect(await waiting()).toBe(0);
  // A date that cannot be believed is that of the first receipt, however late it is applied.
  const { id } = await paymentOf('adyen', `R${ref}`);
  const [{ occurred_at }] = (await shop.client.get(`/v1/payments/${id}`)).body.timeline;
  const received = `SELECT received_at FROM provider_inbox WHERE position($1 IN convert_from(body, 'UTF8')) > 0`;
  const [row] = (await bystander.client.query(received, [`"R${ref}"`])).rows;
  expect(occurred_at).toBe(row.received_at.toISOString());
});

test('what is settled is forgotten when it is old, and what waits is not', async () => {
  const [old, waiting, young] = [unique(), unique(), unique()];
  for (const ref of [old, waiting, young]) await send('acme', acmeSigned(acmeEvent(ref)));
  const textOf = `convert_from(body, 'UTF8')`;
  await bystander.client.query(
    `UPDATE provider_inbox SET outcome = 'received', results = NULL WHERE position($1 IN ${textOf}) > 0`,
    [waiting],
  );
  const kept = async (): Promise<Json[]> => {
    const text = `SELECT i.received_at, r.ref FROM unnest($1::text[]) r (ref) JOIN provider_inbox i ON position(r.ref IN ${textOf}) > 0 ORDER BY i.id`;
    return (await bystander.client.query(text, [[old, waiting, young]])).rows;
  };
  const [, , last] = await kept();
  const retentionMs = 30 * 86_400_000;
  const purge = () => purgeInbox(api.app.get(Database), retentionMs, last.received_at.getTime() + retentionMs);
  expect(await purge()).toBeGreaterThan(0);
  expect((await kept()).map(({ ref }) => ref)).toEqual([waiting, young]);
  expect(await purge()).toBe(0);
});

test('they are counted by provider and outcome', async () => {
  const text = await api.metrics();
  expect(text).toMatch(/counterfoil_provider_webhooks_total\{provider="stripe",outcome="accepted"\} \d+/);
  expect(text).toMatch(/counterfoil_provider_webhooks_total\{provider="stripe",outcome="stale"\} 2/);
  expect(text).toMatch(/counterfoil_provider_webhooks_total\{provider="other",outcome="wrong_signature"\} \d+/);
  expect(text).toMatch(/counterfoil_provider_facts_total\{outcome="applied"\} \d+/);
  expect(text).toMatch(/counterfoil_provider_facts_total\{outcome="undeliverable"\} 3/);
});
