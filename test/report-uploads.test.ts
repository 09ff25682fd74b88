import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Json, type Merchant, TestApi } from './support/api.js';
import { Contract } from './support/contract.js';
import { asAdmin } from './support/database.js';
import { until } from './support/until.js';
import { GENERIC_HEAD, genericReport, genericRow, Upload, type UploadOptions, upload } from './support/uploads.js';

/** More than the reader takes at a time. */
const MANY_ROWS = 3_000;
const MANY = genericReport(MANY_ROWS);

let api: TestApi;
let shop: Merchant;

beforeAll(async () => {
  api = await TestApi.start({ environment: { BODY_TIMEOUT_MS: '400', HEADERS_TIMEOUT_MS: '300' } });
  await Contract.hold(api);
});
afterEach(() => expect(api.errors).toEqual([]));
afterAll(() => api.stop());

async function someone(more: Partial<UploadOptions> = {}): Promise<UploadOptions> {
  shop = await api.merchant();
  return { merchantId: shop.id, ...more };
}

const rowsOf = (table: string, merchantId = shop.id): Promise<Json[]> =>
  asAdmin(api.on.ownerUrl, async (owner) => {
    const { rows } = await owner.query(`SELECT * FROM ${table} WHERE merchant_id = $1`, [merchantId]);
    return rows;
  });

/** The one report of the shop, once it is there. */
async function reportOnce(status: string): Promise<Json> {
  const list = () => api.actingFor(shop.id).get('/v1/reconciliations');
  return until(`a report is ${status}`, async () =>
    (await list()).body.data.find((one: Json) => one.status === status),
  );
}

async function expectNothingLeft(): Promise<void> {
  for (const table of ['report_staging', 'report_bad_rows', 'breaks']) expect(await rowsOf(table)).toEqual([]);
}

describe('a report that is uploaded', () => {
  test('is staged row by row, and waits to be matched', async () => {
    const of = await someone({ query: 'source=generic&sla_days=5&period_from=2026-11-20T00:00:00Z' });
    const { status, body } = await upload(api, of, genericReport(3));
    expect([status, body.status, body.rows, body.rows_bad, body.sla_days]).toEqual([202, 'matching', 3, 0, 5]);
    expect(body.period).toEqual({ from: '2026-11-20T00:00:00.000Z', to: '2026-11-20T10:00:00.000Z' });
    expect(body.asked_by).toBe('environment');
    expect((await rowsOf('report_staging')).map(({ reference, gross }) => [reference, gross])).toEqual(
      [0, 1, 2].map((n) => [`pay-${n}`, '1000']),
    );
    expect((await api.actingFor(shop.id).get(`/v1/reconciliations/${body.id}`)).body).toEqual(body);
  });

  test('may be the only file of a form', async () => {
    const of = await someone({ type: 'multipart/form-data; boundary=xyz' });
    const form = `--xyz\r\ncontent-disposition: form-data; name="file"; filename="r.csv"\r\ncontent-type: text/csv\r\n\r\n${genericReport(500)}\r\n--xyz--\r\n`;
    const { status, body } = await upload(api, of, form);
    expect([status, body.rows]).toEqual([202, 500]);
  });

  test.each([
    ['two files', ['a', 'b'], 422],
    ['no file', [], 422],
    ['a form that ends in the middle', undefined, 400],
  ])('is refused in a form with %s', async (_, files, expected) => {
    const of = await someone({ type: 'multipart/form-data; boundary=xyz' });
    const part = (name: string) =>
      `--xyz\r\ncontent-disposition: form-data; name="${name}"; filename="${name}.csv"\r\n\r\n${genericReport(1)}\r\n`;
    const form = files ? `${files.map(part).join('')}--xyz--\r\n` : part('a');
    const { status, body } = await upload(api, of, form);
    expect([status, body.code]).toEqual([expected, expected === 422 ? 'validation_failed' : 'malformed_json']);
    await expectNothingLeft();
  });

  test('may take longer than other bodies', async () => {
    const of = await someone();
    const sending = new Upload(api, of);
    await sending.send(GENERIC_HEAD);
    // Longer than BODY_TIMEOUT_MS and Node’s look at it every 300 ms.
    for (let row = 0; row < 12; row += 1) {
      await sending.send(genericRow(`slow-${row}`));
      await sleep(100);
    }
    expect((await sending.end()).body).toMatchObject({ status: 'matching', rows: 12 });
    // Bodies of other routes still may not.
    const answer = await api.raw(
      `POST /v1/accounts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${shop.apiKey.secret}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{`,
    );
    expect(answer).toContain('408 Request Timeout');
  });

  test('lists its lines that cannot be read, and goes on behind them', async () => {
    const of = await someone();
    const lines = ['a', 'b', 'c', 'd', 'e'].map((name, index) => genericRow(name, { gross: index % 2 ? '1,5' : 7 }));
    const { body } = await upload(api, of, GENERIC_HEAD + lines.join(''));
    expect([body.rows, body.rows_bad]).toEqual([3, 2]);
    const client = api.actingFor(shop.id);
    const first = (await client.get(`/v1/reconciliations/${body.id}/bad_rows?limit=1`)).body;
    expect([first.data.map(({ line }: Json) => line), first.has_more]).toEqual([[3], true]);
    const next = (await client.get(`/v1/reconciliations/${body.id}/bad_rows?cursor=${first.next_cursor}`)).body;
    expect(next.data).toMatchObject([{ line: 5, excerpt: expect.stringContaining('d,') }]);
  });

  test.each([
    ['an unknown source', { query: 'source=paypal' }, 422, 'source'],
    ['no source', { query: '' }, 422, 'source'],
    [
      'a period that ends before it begins',
      { query: 'source=generic&period_from=2026-11-02T00:00:00Z&period_to=2026-11-01T00:00:00Z' },
      422,
      'period_to',
    ],
    ['too long an SLA', { query: 'source=generic&sla_days=366' }, 422, 'sla_days'],
    ['JSON', { type: 'application/json' }, 415, undefined],
    ['gzip', { headers: { 'content-encoding': 'gzip' } }, 415, undefined],
    ['a form without a boundary', { type: 'multipart/form-data' }, 400, undefined],
  ])('is refused with %s', async (_, more, status, path) => {
    const answer = await upload(api, await someone(more), genericReport(2));
    expect([answer.status, answer.body.errors?.[0]?.path]).toEqual([status, path]);
    expect(await rowsOf('reconciliations')).toEqual([]);
  });

  test('of which nothing can be read is not kept at all', async () => {
    const of = await someone();
    const { status, body } = await upload(api, of, 'amount;when\n1;2\n');
    expect([status, body.code]).toEqual([422, 'validation_failed']);
    expect(await rowsOf('reconciliations')).toEqual([]);
  });

  test('of text for other routes is still refused there', async () => {
    await someone();
    const answer = await shop.client.post('/v1/accounts', { raw: 'a,b', headers: { 'content-type': 'text/csv' } });
    expect([answer.status, answer.body.code]).toEqual([415, 'unsupported_media_type']);
  });
});

describe('an Idempotency-Key', () => {
  test('gives the first answer again, to the same report', async () => {
    const of = await someone({ key: randomUUID() });
    const [first, again] = [await upload(api, of, genericReport(20)), await upload(api, of, genericReport(20))];
    expect(again.body).toEqual(first.body);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect(await rowsOf('reconciliations')).toHaveLength(1);
    expect(await rowsOf('report_staging')).toHaveLength(20);
  });

  test.each([
    ['another report', 'source=generic', genericReport(21)],
    ['another query', 'source=generic&sla_days=9', genericReport(20)],
  ])('is refused with %s', async (_, query, report) => {
    const of = await someone({ key: randomUUID() });
    await upload(api, of, genericReport(20));
    const { status, body } = await upload(api, { ...of, query }, report);
    expect([status, body.code]).toEqual([422, 'idempotency_key_reused']);
    expect(await rowsOf('reconciliations')).toHaveLength(1);
  });

  test('of two uploads at once is answered once, and the other leaves nothing', async () => {
    const of = await someone({ key: randomUUID() });
    const both = [new Upload(api, of), new Upload(api, of)];
    for (const one of both) await one.send(MANY);
    await until('both are begun', async () => (await rowsOf('reconciliations')).length === 2);
    const answers = await Promise.all(both.map((one) => one.end()));
    expect(answers[0]?.body.id).toBe(answers[1]?.body.id);
    expect((await rowsOf('reconciliations')).map(({ status }) => status).sort()).toEqual(['failed', 'matching']);
    expect(await rowsOf('report_staging')).toHaveLength(MANY_ROWS);
  });
});

describe('an upload that breaks off', () => {
  const small = { RECONCILIATION_STAGE_ROWS: '500', RECONCILIATION_STALL_MS: '400' };
  let own: TestApi;
  beforeAll(async () => {
    own = await TestApi.start({
      on: api.on,
      environment: { ...small, RECONCILIATION_MAX_BYTES: '1000000', SHUTDOWN_GRACE_MS: '2000' },
    });
  });
  afterAll(() => own.stop());

  /** Some of it is committed, and its end is still to come. */
  async function halfSent(more: Partial<UploadOptions> = {}): Promise<Upload> {
    const sending = new Upload(own, await someone(more));
    await sending.send(MANY + genericRow('bad', { gross: 'x' }));
    await until('some rows are staged', async () => (await rowsOf('report_staging')).length > 0);
    return sending;
  }

  test('because its client has gone, fails and leaves nothing', async () => {
    const sending = await halfSent();
    sending.breakOff();
    const report = await reportOnce('failed');
    expect(report).toMatchObject({ failure: 'The upload broke off.', rows: 0, rows_bad: 0 });
    await expectNothingLeft();
  });

  test('because nothing more comes, is told so, and leaves nothing', async () => {
    const { status, body } = await (await halfSent()).answer;
    expect([status, body.code]).toEqual([504, 'deadline_exceeded']);
    expect((await reportOnce('failed')).failure).toContain('Nothing more');
    await expectNothingLeft();
  });

  test('because it is too large, is told so, and leaves nothing', async () => {
    const sending = await halfSent();
    const { status, body } = await sending.end(genericReport(40_000, 'more').slice(GENERIC_HEAD.length));
    expect([status, body.code]).toEqual([413, 'payload_too_large']);
    await expectNothingLeft();
  });

  test('because PostgreSQL ends its session, is told to come again, and leaves nothing', async () => {
    const sending = await halfSent();
    const blocked = await asAdmin(own.on.ownerUrl, async (owner) => {
      await owner.query('BEGIN');
      await owner.query('SELECT FROM reconciliations WHERE merchant_id = $1 FOR UPDATE', [shop.id]);
      await sending.send(genericReport(MANY_ROWS, 'more').slice(GENERIC_HEAD.length));
      await until('it waits', async () =>
        asAdmin(own.on.ownerUrl, async (other) => {
          const { rowCount } = await other.query(
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
          );
          return rowCount;
        }),
      );
      await owner.query('ROLLBACK');
      return sending.end();
    });
    expect([blocked.status, blocked.body.code]).toEqual([503, 'database_unavailable']);
    await reportOnce('failed');
    await expectNothingLeft();
  });

  test('because the server goes down, is told to come again, and leaves nothing', async () => {
    const down = await TestApi.start({
      on: api.on,
      environment: { ...small, RECONCILIATION_STALL_MS: '20000', SHUTDOWN_GRACE_MS: '2000' },
    });
    const sending = new Upload(down, await someone());
    await sending.send(MANY);
    await until('some rows are staged', async () => (await rowsOf('report_staging')).length > 0);
    const stopped = down.stop();
    const { status, body } = await sending.answer;
    expect([status, body.code]).toEqual([503, 'overloaded']);
    await stopped;
    expect((await reportOnce('failed')).failure).toContain('goes down');
    await expectNothingLeft();
  });
});

describe('uploads at once', () => {
  test('are bounded for a merchant and in all, and told when to come again', async () => {
    const narrow = await TestApi.start({
      on: api.on,
      environment: { RECONCILIATION_UPLOADS: '2', RECONCILIATION_MERCHANT_UPLOADS: '1' },
    });
    try {
      const [one, other, third] = [await someone(), await someone(), await someone()];
      const first = new Upload(narrow, one);
      await first.send(MANY);
      await until('it is begun', async () => (await rowsOf('reconciliations', one.merchantId)).length === 1);
      const refused = await upload(narrow, one, genericReport(1));
      expect([refused.status, refused.body.code]).toEqual([503, 'overloaded']);
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
      const second = new Upload(narrow, other);
      await second.send(MANY);
      await until('it is begun', async () => (await rowsOf('reconciliations', other.merchantId)).length === 1);
      expect((await upload(narrow, third, genericReport(1))).status).toBe(503);
      expect((await first.end()).status).toBe(202);
      expect((await upload(narrow, third, genericReport(1))).status).toBe(202);
      expect((await second.end()).status).toBe(202);
    } finally {
      await narrow.stop();
    }
  });

  test('have the limits of their readers from the settings', async () => {
    const strict = await TestApi.start({
      on: api.on,
      environment: {
        RECONCILIATION_ROW_BYTES: '1024',
        RECONCILIATION_XML_DEPTH: '20',
        RECONCILIATION_STATEMENTS: '1',
        RECONCILIATION_NAMELESS_ROWS: '1',
      },
    });
    try {
      const of = await someone();
      const { body } = await upload(strict, of, `${GENERIC_HEAD}${'x'.repeat(1_025)}\n`);
      expect([body.rows, body.rows_bad]).toEqual([0, 1]);
      const document = (content: string) =>
        `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>${content}</BkToCstmrStmt></Document>`;
      const entry = (amount: number) =>
        `<Ntry><Amt Ccy="EUR">${amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><BookgDt><Dt>2026-11-20</Dt></BookgDt></Ntry>`;
      for (const [content, problem] of [
        ['<a>'.repeat(20), 'deep'],
        ['<Stmt></Stmt>'.repeat(2), 'more than 1 statements'],
        [`<Stmt>${entry(1)}${entry(2)}</Stmt>`, 'more than 1 different transactions'],
      ] as const) {
        const xml = { ...of, query: 'source=camt053', type: 'application/xml' };
        const refused = await upload(strict, xml, document(content));
        expect([refused.status, refused.text]).toEqual([422, expect.stringContaining(problem)]);
      }
    } finally {
      await strict.stop();
    }
  });

  test('wait for PostgreSQL, and their senders for them', async () => {
    const narrow = await TestApi.start({ on: api.on, environment: { RECONCILIATION_STAGE_ROWS: '100' } });
    try {
      let socket: Socket | undefined;
      narrow.app.getHttpServer().on('connection', (one: Socket) => {
        socket = one;
      });
      const of = await someone();
      const sending = new Upload(narrow, of);
      await sending.send(MANY);
      await until('some rows are staged', async () => (await rowsOf('report_staging')).length > 0);
      await asAdmin(api.on.ownerUrl, async (owner) => {
        await owner.query('BEGIN');
        await owner.query('SELECT FROM reconciliations WHERE merchant_id = $1 FOR UPDATE', [shop.id]);
        const more = genericReport(50_000, 'more').slice(GENERIC_HEAD.length);
        for (let part = 0; part < 10; part += 1) void sending.send(more.replaceAll('more-', `p${part}-`));
        let taken = -1;
        let looks = 0;
        // A server that is only busy takes more within two seconds.
        await until('nothing more is taken', async () => {
          await sleep(200);
          looks = socket?.bytesRead === taken ? looks + 1 : 0;
          taken = socket?.bytesRead ?? -1;
          return looks === 10;
        });
        // Of some 30 MB: two batches and what lies in streams on the way.
        expect(taken).toBeLessThan(3_000_000);
        await owner.query('ROLLBACK');
      });
      expect((await sending.end()).body.rows).toBe(500_000 + MANY_ROWS);
    } finally {
      await narrow.stop();
    }
  });
});
