import { SpanKind } from '@opentelemetry/api';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { Build, Service } from './histories/servers.js';
import { Client, type Json, OPERATOR_KEY, transfer } from './support/api.js';
import { asAdmin, freshDatabase, type TestDatabase } from './support/database.js';
import { daysAgo, noonOf } from './support/night.js';
import { NO_CALENDAR } from './support/no-calendar.js';
import type { ReceivedSpan } from './support/otlp.js';
import { bankEnvironment } from './support/payouts.js';
import { callBack, SmallBank } from './support/small-bank.js';
import { SpanReceiver } from './support/span-receiver.js';
import { treeOf } from './support/trace-trees.js';
import { until } from './support/until.js';
import { status, WebhookSink } from './support/webhook-sink.js';

/** Honoured from whoever has a key: what it is sent with is not sampled. */
const UNTRACED = { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-00` };
const LIMIT_MS = 180_000;

let build: Build;
let on: TestDatabase;
let spans: SpanReceiver;
let sink: WebhookSink;
let bank: SmallBank;
let api: Service;
let worker: Service;
let keys = 0;

beforeAll(async () => {
  build = new Build(undefined);
  on = await freshDatabase();
  await asAdmin(on.ownerUrl, (owner) => owner.query(NO_CALENDAR));
  [spans, sink, bank] = await Promise.all([SpanReceiver.open(), WebhookSink.open(), SmallBank.open()]);
  const env = {
    PATH: process.env.PATH,
    DATABASE_URL: on.ownerUrl,
    DATABASE_RUNTIME_URL: on.runtimeUrl,
    REDIS_URL: inject('redisUrl'),
    REDIS_QUEUE_URL: inject('redisQueueUrl'),
    // A busy machine is not the subject here.
    BALANCE_REDIS_TIMEOUT_MS: '5000',
    COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY,
    PORT: '0',
    LOG_LEVEL: 'warn',
    OTEL_EXPORTER_OTLP_ENDPOINT: spans.url,
    TRACE_SAMPLE_RATIO: '1',
    WEBHOOK_ALLOW_LOOPBACK: '1',
    WEBHOOK_RETRY_SCHEDULE_S: '1,1,1,1',
    PAYOUT_POLL_MS: '50',
    PAYOUT_ASK_SCHEDULE_S: '3600',
    ...bankEnvironment(bank),
  };
  [api, worker] = ['api', 'worker'].map((name) => new Service(name, build, `dist/apps/${name}/src/main.js`, env)) as [
    Service,
    Service,
  ];
  await api.start();
}, LIMIT_MS);
afterAll(async () => {
  await Promise.all([api, worker].map((service) => service.end('SIGKILL')));
  await Promise.all([spans.close(), sink.close(), bank.close()]);
  await on.drop();
  build.remove();
});

const operator = () => new Client(api.url as string, { authorization: `Bearer ${OPERATOR_KEY}` });
/** Of which nothing is traced so far. */
async function shop(webhooks = false): Promise<{ id: string; client: Client }> {
  const body = { name: 'Shop', time_zone: 'UTC', settlement_cutoff: '00:00', currencies: ['EUR'] };
  const made = (await operator().post('/v1/merchants', { body, key: `shop-${++keys}`, headers: UNTRACED })).body;
  const client = new Client(api.url as string, { authorization: `Bearer ${made.api_key.secret}` });
  const endpoint = { body: { url: `${sink.url}?token=t`, ordering: 'strict' }, key: 'hook', headers: UNTRACED };
  if (webhooks) expect((await client.post('/v1/webhook_endpoints', endpoint)).status).toBe(201);
  return { id: made.id, client };
}
const post = (client: Client, body: object = transfer('cash:EUR', 'suspense:EUR', '5')) =>
  client.post('/v1/transactions', { body, key: `post-${++keys}` });
const traceOf = ({ headers }: { headers: Headers }): string => headers.get('traceresponse')?.split('-')[1] as string;

/** The statements right below the spans of this name, by their names, each once. */
function statementsBelow(traceId: string, name: string): string[] {
  const all = spans.traceOf(traceId);
  const parents = new Set(all.filter((span) => span.name === name).map(({ spanId }) => spanId));
  const below = all.filter(({ parentId, attributes }) => attributes['db.system.name'] && parents.has(parentId ?? ''));
  return [...new Set(below.map((span) => span.name))].sort();
}

/** The trace that another one leads to by a link to a span of this name. */
function ledTo(traceId: string, name: string): string {
  const links = new Set(spans.traceOf(traceId).flatMap((span) => span.links.map(({ spanId }) => spanId)));
  const [first] = spans.spans.filter((span) => span.name === name && links.has(span.spanId));
  return first?.traceId as string;
}

const event = (type: string, sequence: number, atMs = Date.now() - 60_000) => {
  const occurred_at = new Date(atMs + sequence).toISOString();
  const of = { provider: 'acme', payment_ref: 'p1', event_id: type, sequence };
  return { ...of, type, amount: '500', currency: 'EUR', occurred_at };
};

/** Everybody who follows the log is past all that the merchant's has. */
const followed = (merchantId: string) =>
  until('all of it is followed', () =>
    asAdmin(on.ownerUrl, async (owner) => {
      const { rows } = await owner.query(
        `SELECT FROM events e JOIN relay_cursors c ON c.partition = e.partition
           LEFT JOIN consumer_positions p ON p.consumer = c.consumer AND p.partition = e.partition
          WHERE e.merchant_id = $1 AND (e.xid, e.seq) > (coalesce(p.xid, c.xid), coalesce(p.seq, c.seq)) LIMIT 1`,
        [merchantId],
      );
      return rows.length === 0;
    }),
  );

/** Without statements, which have a test of their own, and without the key's check, which one request makes for many. */
const isElsewhere = ({ name, attributes }: ReceivedSpan) =>
  attributes['db.system.name'] !== undefined || name === 'authenticate';
const shown = (traceId: string) => treeOf(spans.spans, traceId, { byName: true, without: isElsewhere });
/** Its spans arrive within a second or two, from four processes. */
async function expectTree(traceId: string, lines: string): Promise<void> {
  const expected = lines.split('\n').slice(1, -1);
  const isWhole = () => JSON.stringify(shown(traceId)) === JSON.stringify(expected);
  await until('the trace is whole', isWhole).catch(() => undefined);
  expect(shown(traceId)).toEqual(expected);
}

test(
  'of events that are handed over together the first one’s trace has the way of all, and the others lead to it',
  async () => {
    const { id, client } = await shop(true);
    const traces = [await post(client), await post(client), await post(client)].map(traceOf);
    await worker.start();
    await until('all have been delivered', () => sink.received.length === 3);
    await followed(id);
    await expectTree(
      traces[0] as string,
      `
POST /v1/transactions
  command PostTransaction
    commit group
    deliver webhook
      POST webhook
    send events-daily_summaries → command PostTransaction, command PostTransaction
      process events-daily_summaries
        apply daily_summaries → command PostTransaction, command PostTransaction
    send events-webhooks → command PostTransaction, command PostTransaction
      process events-webhooks
        apply webhooks → command PostTransaction, command PostTransaction
    wait in lane
`,
    );
    for (const other of traces.slice(1)) {
      await expectTree(
        other,
        `
POST /v1/transactions
  command PostTransaction
    apply daily_summaries → apply daily_summaries
    apply webhooks → apply webhooks
    commit group
    deliver webhook
      POST webhook
    wait in lane
`,
      );
    }
  },
  LIMIT_MS,
);

/** Below whatever commits something that only followers of the log have to know. */
const FOLLOWED = ['daily_payouts', 'daily_summaries', 'webhooks'];
const follow = (indent: string): string =>
  [
    ...['balances', 'late_facts'].map((target) => `${indent}relay ${target}`),
    ...FOLLOWED.flatMap((consumer) => [
      `${indent}send events-${consumer}`,
      `${indent}  process events-${consumer}`,
      `${indent}    apply ${consumer}`,
    ]),
  ].join('\n');

/** What each step does in PostgreSQL and Redis. */
const APPLIES = [
  'COMMIT',
  'consumer_positions move',
  'enter relay',
  'enter scope',
  'log of partition',
  'parked merchants',
];
const EFFECTS = {
  'relay balances': ['invalidate balances', 'newest versions'],
  'relay late_facts': ['names of late facts'],
  'apply webhooks': [...APPLIES, 'webhooks fan out'],
  'apply daily_summaries': [...APPLIES, 'add to daily summaries'].sort(),
  'apply daily_payouts': APPLIES,
  'deliver webhook': ['webhooks record'],
};
/** Among others. */
const SETTLES = {
  'begin days': 'INSERT settlement_drafts',
  'draft chunk': 'INSERT settlement_lines',
  'close days': 'SELECT settlement_drafts',
  'settle range': 'UPDATE settlement_ranges',
};

test(
  'a posting and its webhook are one trace: each attempt is in it, and leads to the one before',
  async () => {
    const { id, client } = await shop(true);
    await followed(id);
    const before = sink.received.length;
    sink.respond = status(500);
    const posted = await post(client);
    await until('it has been tried', () => sink.received.length === before + 1);
    sink.respond = status(200);
    await until('it has been delivered', () => sink.received.length === before + 2);
    await followed(id);
    const trace = traceOf(posted);
    await expectTree(
      trace,
      `
POST /v1/transactions
  command PostTransaction
    commit group
    deliver webhook
      POST webhook !
    deliver webhook
      POST webhook → POST webhook
${follow('    ')}
    wait in lane
`,
    );
    const attempts = spans.traceOf(trace).filter(({ name }) => name === 'POST webhook');
    expect(attempts.map(({ attributes }) => attributes)).toMatchObject([
      { 'http.response.status_code': 500, 'error.type': '500' },
      { 'http.response.status_code': 200, 'http.request.resend_count': 1 },
    ]);
    for (const { attributes, kind } of attempts) {
      expect(kind).toBe(SpanKind.CLIENT);
      const told = { 'http.request.method': 'POST', 'server.address': '127.0.0.1', 'counterfoil.merchant_id': id };
      expect(attributes).toMatchObject(told);
    }
    for (const [name, statements] of Object.entries(EFFECTS)) {
      expect([name, statementsBelow(trace, name).filter((one) => one !== 'relay move')]).toEqual([name, statements]);
    }
    expect(spans.traceOf(trace).map(({ name }) => name)).toContain('relay move');
    const deliveries = spans.traceOf(trace).filter(({ name }) => name === 'deliver webhook');
    const [first, second] = deliveries;
    expect(second?.startMs).toBeGreaterThanOrEqual(first?.endMs ?? Infinity);
    for (const { attributes } of deliveries) {
      expect(attributes).toMatchObject({
        'counterfoil.merchant_id': id,
        'counterfoil.event_type': 'transaction.posted',
      });
    }
    // Its receiver goes on with the attempt.
    const told = sink.received.slice(before).map(({ headers }) => headers.traceparent);
    expect(told).toEqual(attempts.map(({ spanId }) => `00-${trace}-${spanId}-01`));
  },
  LIMIT_MS,
);

test(
  'a refusal is a trace in which nothing follows',
  async () => {
    const { client } = await shop();
    const wallet = { code: 'wallet', name: 'W', currency: 'EUR', normal_side: 'credit', min_available: '0' };
    const opened = await client.post('/v1/accounts', { body: wallet, key: 'open', headers: UNTRACED });
    expect(opened.status).toBe(201);
    const refused = await post(client, transfer('wallet', 'cash:EUR', '5'));
    expect(refused.status).toBe(422);
    await expectTree(
      traceOf(refused),
      `
POST /v1/transactions
  command PostTransaction
    commit group
    wait in lane
`,
    );
  },
  LIMIT_MS,
);

test(
  'of a payment that is told out of order the fact that lets it begin posts, and leads to the one that had to wait',
  async () => {
    const { id, client } = await shop();
    await followed(id);
    const tell = (body: object) => client.post('/v1/provider_events', { body });
    const [captured, authorised] = [await tell(event('captured', 2)), await tell(event('authorised', 1))];
    expect([captured.body.outcome, authorised.body.outcome]).toEqual(['parked', 'applied']);
    await followed(id);
    await expectTree(
      traceOf(captured),
      `
POST /v1/provider_events
  command RecordFacts
    commit group
    wait in lane
`,
    );
    const trace = traceOf(authorised);
    await expectTree(
      trace,
      `
POST /v1/provider_events
  command RecordFacts → command RecordFacts
    commit group
${follow('    ')}
    wait in lane
`,
    );
    const command = spans.traceOf(trace).find(({ name }) => name === 'command RecordFacts');
    expect(command?.links.map(({ traceId }) => traceId)).toEqual([traceOf(captured)]);
    const told = { 'counterfoil.payment_id': [authorised.body.payment_id], 'counterfoil.facts.applied': 1 };
    expect(command?.attributes).toMatchObject(told);
  },
  LIMIT_MS,
);

test(
  'a night leads from trace to trace: the run, its ranges, and each merchant’s day with what is paid out and what the bank says',
  async () => {
    const { id, client } = await shop();
    const schedule = { schedule: 'daily', destination: 'bank_daily' };
    const daily = { body: schedule, headers: UNTRACED };
    expect((await operator().request('PUT', `/v1/merchants/${id}/payout_schedule`, daily)).status).toBe(200);
    const yesterday = daysAgo(1);
    const owed = transfer('cash:EUR', 'merchant_payable:EUR', '1000', { effective_at: noonOf(yesterday) });
    expect((await client.post('/v1/transactions', { key: 'owe', headers: UNTRACED, body: owed })).status).toBe(201);
    await followed(id);
    const run = { business_date: yesterday, merchant_ids: [id] };
    const asked = await operator().post('/v1/settlement_runs', { body: run, key: 'run' });
    const reaches = (status: string) =>
      until(`the payout is ${status}`, async () => {
        const [payout] = (await client.get('/v1/payouts', { headers: UNTRACED })).body.data as Json[];
        return payout?.status === status && payout;
      });
    const { id: payoutId } = await reaches('instructed');
    await followed(id);
    bank.say(`${id}-${payoutId}`, 'paid');
    const callback = { key: `${id}-${payoutId}`, status: 'paid', sequence: 2 };
    const called = await callBack({ client: () => new Client(api.url as string, {}) }, callback);
    await reaches('paid');
    await followed(id);
    await expectTree(
      asked.body.trace_id,
      `
settlement run → command StartRun
  process night → settle range
`,
    );
    const range = ledTo(asked.body.trace_id, 'settle range');
    await expectTree(
      range,
      `
settle range → close day, process night
  begin days
  close days
  draft chunk
`,
    );
    const day = ledTo(range, 'close day');
    await expectTree(
      day,
      `
close day → settle range
  commit group
${follow('  ').replace(
  '      apply daily_payouts',
  `      apply daily_payouts
        react daily_payouts
          command PayOutDaily
            advance payout
              GET bank
              PUT bank
              command TellPayout
                commit group
                wait in lane
            advance payout
              GET bank
              command TellPayout
                commit group
${follow('                ')}
                wait in lane
            commit group
            hear bank callback → command BankCallback
${follow('            ')}
            wait in lane`,
)}
  wait in lane
`,
    );
    expect(statementsBelow(asked.body.trace_id, 'process night')).toEqual(['UPDATE settlement_runs']);
    for (const [name, statement] of Object.entries(SETTLES)) {
      expect([name, statementsBelow(range, name)]).toEqual([name, expect.arrayContaining([statement])]);
    }
    const instruct = spans.traceOf(day).find(({ name }) => name === 'PUT bank');
    expect(instruct?.attributes).toMatchObject({ 'http.response.status_code': 202, 'server.address': '127.0.0.1' });
    await expectTree(
      traceOf(called),
      `
POST /v1/bank/callbacks
  command BankCallback → hear bank callback
`,
    );
  },
  LIMIT_MS,
);

test('all spans have arrived once, what they lie below and link to as well, and nothing that looked in vain', async () => {
  await Promise.all([api, worker].map((service) => service.end('SIGTERM')));
  const all = spans.spans;
  const ids = new Set(all.map(({ spanId }) => spanId));
  expect(ids.size).toBe(all.length);
  for (const { parentId, links } of all) {
    for (const of of [...links.map(({ spanId }) => spanId), ...(parentId === undefined ? [] : [parentId])]) {
      expect(ids).toContain(of);
    }
  }
  const roots = new Set(all.filter(({ parentId }) => parentId === undefined).map(({ name }) => name));
  // Besides requests; the night has the books checked, sooner or later.
  const itself = [...roots].filter((name) => !/^(GET|POST|PUT) \//.test(name) && name !== 'match report');
  expect(itself.toSorted()).toEqual(['close day', 'settle range', 'settlement run']);
  expect(new Set(all.map(({ service }) => service))).toEqual(
    new Set(['counterfoil-api', 'counterfoil-worker', 'counterfoil-consumer']),
  );
  for (const secret of ['/hooks', 'token=', '/instructions', 'bank_daily', 'acme'])
    expect(spans.text).not.toContain(secret);
});
