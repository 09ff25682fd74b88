import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Json, type Merchant, TestApi } from './support/api.js';
import { expectVerified } from './support/verified.js';

/** What users of others reported: each set of facts is told in many orders, in batches and twice, and ends as one payment. */

let api: TestApi;

beforeAll(async () => {
  api = await TestApi.start();
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(async () => {
  await expectVerified(api.on);
  await api.stop();
});

interface Told {
  type: string;
  /** Minutes after the first. */
  at: number;
  [more: string]: unknown;
}

interface Failure {
  title: string;
  facts: Told[];
  payment: Record<string, unknown>;
  /** Posted amounts of the accounts that are not at zero; what is held beside them. */
  accounts: Record<string, string>;
  findings?: string[];
}

const A = '1000';
const authorised = { type: 'authorised', at: 0, amount: A, currency: 'EUR' };
const captured = { type: 'captured', at: 1, amount: A, object_ref: 'c' };
const refunded = { type: 'refunded', at: 2, amount: A, object_ref: 'r' };
const disputed = { type: 'dispute_opened', at: 3, amount: '400', object_ref: 'd', stage: 'chargeback' };
const CAPTURED = { provider_receivable: A, merchant_payable: A };

const FAILURES: Failure[] = [
  {
    title: 'a late failure after success',
    facts: [authorised, captured, { type: 'authorisation_failed', at: 5 }],
    payment: { status: 'captured', amount_captured: A },
    accounts: CAPTURED,
  },
  {
    title: 'a webhook before the payment exists',
    facts: [captured, { ...refunded, amount: '300' }, authorised],
    payment: { status: 'partially_refunded', amount_captured: A, amount_refunded: '300' },
    accounts: { provider_receivable: '700', merchant_payable: '700' },
  },
  {
    title: 'an authorisation told after its capture',
    facts: [captured, authorised],
    payment: { status: 'captured', amount_capturable: '0', amount_captured: A },
    accounts: CAPTURED,
  },
  {
    title: 'an authorisation that failed, and then did not',
    facts: [
      { type: 'authorisation_failed', at: 0 },
      { ...authorised, at: 1 },
    ],
    payment: { status: 'authorised', amount_capturable: A },
    accounts: { 'provider_receivable pending': A, 'merchant_payable pending': A },
  },
  {
    title: 'a capture that failed after all',
    facts: [authorised, captured, { type: 'capture_failed', at: 4, object_ref: 'c' }],
    payment: { status: 'authorised', amount_captured: '0', amount_capturable: A },
    accounts: { 'provider_receivable pending': A, 'merchant_payable pending': A },
  },
  {
    title: 'funds reinstated although the dispute was lost',
    facts: [
      authorised,
      captured,
      disputed,
      { type: 'dispute_funds_withdrawn', at: 4, amount: '400', object_ref: 'd' },
      { type: 'dispute_lost', at: 5, object_ref: 'd' },
      { type: 'dispute_funds_reinstated', at: 6, amount: '400', object_ref: 'd' },
    ],
    payment: { status: 'captured', amount_disputed: '400' },
    accounts: { provider_receivable: A, merchant_payable: '600', dispute_reserve: '400' },
  },
  {
    title: 'a partial dispute, lost, beside a full refund',
    facts: [authorised, captured, refunded, disputed, { type: 'dispute_lost', at: 5, object_ref: 'd' }],
    payment: { status: 'refunded', amount_refunded: A, amount_disputed: '400' },
    accounts: { provider_receivable: '-400', merchant_payable: '-400' },
    findings: ['refunded_and_disputed'],
  },
  {
    title: 'a refund told twice under two event ids',
    facts: [authorised, captured, { ...refunded, amount: '300' }, { ...refunded, at: 4, amount: '300' }],
    payment: { status: 'partially_refunded', amount_refunded: '300' },
    accounts: { provider_receivable: '700', merchant_payable: '700' },
  },
  {
    title: 'a dispute that is lost, and next day won',
    facts: [
      authorised,
      captured,
      disputed,
      { type: 'dispute_lost', at: 5, object_ref: 'd' },
      { type: 'dispute_won', at: 1_445, object_ref: 'd' },
    ],
    payment: { status: 'captured', amount_disputed: '0' },
    accounts: CAPTURED,
  },
  {
    title: 'a chargeback and a refund of the same money',
    facts: [authorised, captured, { ...refunded, amount: '700' }, disputed],
    payment: { status: 'partially_refunded', amount_refunded: '700', amount_disputed: '400' },
    accounts: { provider_receivable: '300', merchant_payable: '-100', dispute_reserve: '400' },
    findings: ['refunded_and_disputed'],
  },
  {
    title: 'a settlement told before the capture',
    facts: [{ type: 'settled', at: 9, amount: A, fee: '30', object_ref: 's' }, captured, authorised],
    payment: { status: 'captured', amount_settled: A },
    accounts: { merchant_payable: A, cash: '970', provider_fees: '30' },
  },
  {
    title: 'a void that came too late, after a capture',
    facts: [authorised, { type: 'voided', at: 1 }, { ...captured, at: 2 }],
    payment: { status: 'captured', amount_captured: A, amount_capturable: '0' },
    accounts: CAPTURED,
    findings: ['captured_after_void'],
  },
];

/** All orders of a few; of more each rotation, forwards and backwards. */
function ordersOf<T>(items: readonly T[]): T[][] {
  if (items.length <= 3) {
    if (items.length <= 1) return [[...items]];
    return items.flatMap((item, index) => ordersOf(items.toSpliced(index, 1)).map((rest) => [item, ...rest]));
  }
  const turned = items.map((_, index) => [...items.slice(index), ...items.slice(0, index)]);
  return [...turned, ...turned.map((order) => order.toReversed())];
}

const eventOf = ({ at, ...told }: Told, index: number) => ({
  provider: 'acme',
  event_id: `evt_${index}`,
  payment_ref: 'p',
  occurred_at: new Date(Date.UTC(2026, 10, 20, 9, at)).toISOString(),
  ...told,
});

async function accountsOf(merchant: Merchant): Promise<Record<string, string>> {
  const rows = await Promise.all(
    Object.entries(merchant.accounts).map(async ([code, id]) => {
      const { posted, pending } = await merchant.balanceOf(id);
      const name = code.split(':')[0] as string;
      return [
        [name, posted.amount],
        [`${name} pending`, pending.amount],
      ] as [string, string][];
    }),
  );
  return Object.fromEntries(rows.flat().filter(([, amount]) => amount !== '0'));
}

/** What of a payment is the same in whatever order it was told. */
function settledShape({ id: _, merchant_id: __, created_at: ___, transactions: ____, timeline, ...same }: Json): Json {
  const outcomes = timeline.map(({ event_id, outcome }: Json) => [event_id, outcome === 'stale' ? 'applied' : outcome]);
  return { ...same, outcomes: outcomes.sort() };
}

/** Tells everything in this order, some of it twice: one by one, or at once. */
async function tellAll(
  merchant: Merchant,
  events: object[],
  how: 'one by one' | 'batch' | 'side by side',
): Promise<void> {
  const tell = (event: object) => merchant.client.post('/v1/provider_events', { body: event });
  if (how === 'batch') {
    const { status } = await merchant.client.post('/v1/provider_events/batch', {
      body: { events: [...events, ...events] },
    });
    expect(status).toBe(202);
  } else if (how === 'side by side') {
    const answers = await Promise.all([...events, ...events].map(tell));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
  } else {
    for (const event of events) expect((await tell(event)).status).toBe(202);
  }
}

describe.each(FAILURES)('$title', ({ facts, payment, accounts, findings = [] }) => {
  const events = facts.map(eventOf);

  test('ends as one payment and the same balances, in every order', { timeout: 60_000 }, async () => {
    const hows = ['one by one', 'batch', 'side by side'] as const;
    const ends = await Promise.all(
      ordersOf(events).map(async (order, index) => {
        const merchant = await api.merchant('EUR');
        await tellAll(merchant, order, hows[index % 3] as 'batch');
        const { data } = (await merchant.client.get('/v1/payments')).body;
        expect(data).toHaveLength(1);
        const shown = (await merchant.client.get(`/v1/payments/${data[0].id}`)).body;
        return { shown: settledShape(shown), accounts: await accountsOf(merchant) };
      }),
    );
    const [first] = ends;
    for (const end of ends) expect(end).toEqual(first);
    expect(first?.shown).toMatchObject(payment);
    expect(first?.accounts).toEqual(accounts);
    expect(first?.shown.findings.map(({ kind }: Json) => kind)).toEqual(findings);
  });
});

test('one event that three connections deliver at once is applied once', async () => {
  const merchant = await api.merchant('EUR');
  const body = eventOf(authorised, 0);
  const answers = await Promise.all([1, 2, 3].map(() => merchant.client.post('/v1/provider_events', { body })));
  expect(answers.map((answer) => answer.body.outcome).sort()).toEqual(['applied', 'duplicate', 'duplicate']);
  expect(await accountsOf(merchant)).toEqual({ 'provider_receivable pending': A, 'merchant_payable pending': A });
});

test('two contents under one event id: the first counts, the other is rejected and found, however often it is told', async () => {
  const merchant = await api.merchant('EUR');
  const tell = async (told: Told, index: number) =>
    (await merchant.client.post('/v1/provider_events', { body: eventOf(told, index) })).body;
  const { payment_id } = await tell(authorised, 0);
  await tell(captured, 1);
  const reason = 'This event was told before, with another content.';
  for (const amount of ['999', '999', '998']) {
    expect(await tell({ ...captured, amount }, 1)).toEqual({ outcome: 'rejected', payment_id, reason });
  }
  expect((await tell(captured, 1)).outcome).toBe('duplicate');
  const shown = (await merchant.client.get(`/v1/payments/${payment_id}`)).body;
  expect(shown.amount_captured).toBe(A);
  expect(shown.findings).toEqual([{ kind: 'contradictory_event', detail: 'Told with more than one content: evt_1.' }]);
  expect(shown.timeline.map(({ amount, outcome }: Json) => [amount, outcome])).toEqual([
    [A, 'applied'],
    [A, 'applied'],
    ['999', 'rejected'],
    ['998', 'rejected'],
  ]);
});

test('a refund that has to wait again, because its capture failed, is one event', async () => {
  const merchant = await api.merchant('EUR');
  const tell = async (told: Told, index: number) =>
    (await merchant.client.post('/v1/provider_events', { body: eventOf(told, index) })).body;
  const told = [authorised, captured, refunded, { type: 'capture_failed', at: 3, object_ref: 'c' }];
  for (const [index, one] of told.entries()) expect((await tell(one, index)).outcome).toBe('applied');
  const { payment_id } = await tell({ ...captured, at: 4, object_ref: 'c2' }, 4);
  const shown = (await merchant.client.get(`/v1/payments/${payment_id}`)).body;
  expect([shown.status, shown.amount_refunded]).toEqual(['refunded', A]);
  const log = await api.logOf(merchant);
  const events = log.filter(({ type }: Json) => type.startsWith('payment.')).map(({ type }: Json) => type);
  expect(events).toEqual([...told, captured].map(({ type }) => `payment.${type}`));
});

test('two merchants that tell of the same reference and event have two payments', async () => {
  const [mine, theirs] = [await api.merchant('EUR'), await api.merchant('EUR')];
  const body = eventOf(authorised, 0);
  const [one, other] = await Promise.all(
    [mine, theirs].map((merchant) => merchant.client.post('/v1/provider_events', { body })),
  );
  expect([one?.body.outcome, other?.body.outcome]).toEqual(['applied', 'applied']);
  expect(one?.body.payment_id).not.toBe(other?.body.payment_id);
  const foreign = `/v1/payments/${other?.body.payment_id}`;
  expect((await mine.client.get(foreign)).status).toBe(404);
  for (const what of ['capture', 'void', 'refund']) {
    expect((await mine.client.post(`${foreign}/${what}`, { key: randomUUID() })).status).toBe(404);
  }
});
