import { randomBytes, randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import { firstSnowflakeAt } from '#kernel/snowflake.js';
import { type Answer, type Client, type Json, type Merchant, OPERATOR_KEY, TestApi } from './api.js';
import { Bystander } from './bystander.js';
import { Contract } from './contract.js';
import { expectVerified } from './verified.js';

export interface Found {
  kind?: string;
  /** Whether it holds a row of the report. */
  row?: boolean;
  item?: string | null;
  candidates?: Json[];
  difference?: string;
  createdDaysAgo?: number;
}

/** An operator by name, who acts for the merchant. */
export interface TestOperator {
  readonly name: string;
  readonly keyId: string | null;
  readonly secret: string;
  readonly client: Client;
}

/** A merchant with a report and breaks, as matching would have left them. */
export class BreakShop {
  private constructor(
    readonly api: TestApi,
    readonly merchant: Merchant,
    readonly reportId: string,
    private readonly owner: pg.Client,
  ) {}

  static async open(api: TestApi, owner: pg.Client, of?: Merchant): Promise<BreakShop> {
    const merchant = of ?? (await api.merchant('EUR', 'USD'));
    const reportId = String(newId());
    await owner.query(
      `INSERT INTO reconciliations (merchant_id, id, created_at, source, sla_days, status, completed_at, rows)
       VALUES ($1, $2, snowflake_time($2), 'generic', 3, 'completed', now(), 10)`,
      [merchant.id, reportId],
    );
    return new BreakShop(api, merchant, reportId, owner);
  }

  get environment(): TestOperator {
    const client = this.api.actingFor(this.merchant.id);
    return { name: 'environment', keyId: null, secret: OPERATOR_KEY, client };
  }

  /** Issued by the environment unless by somebody else. */
  async operator(name = `op ${randomUUID()}`, issuer?: TestOperator): Promise<TestOperator> {
    const as = issuer ? this.api.withKey(issuer.secret) : this.api.operator;
    const { status, text, body } = await as.post('/v1/operator_keys', { body: { name } });
    if (status !== 201) throw new Error(`no key for ${name}: ${text}`);
    return { name, keyId: body.id, secret: body.secret, client: this.via(this.api, body.secret) };
  }

  via(api: TestApi, secret: string): Client {
    return api.client({ authorization: `Bearer ${secret}`, 'counterfoil-merchant': this.merchant.id });
  }

  async revoke({ keyId }: TestOperator): Promise<void> {
    const { status } = await this.api.operator.request('DELETE', `/v1/operator_keys/${keyId}`);
    if (status !== 204) throw new Error(`not revoked: ${status}`);
  }

  /** Answers the break's id. */
  async found(as: Found = {}): Promise<string> {
    const {
      kind = 'missing_in_ledger',
      row = true,
      item = null,
      candidates,
      difference = '-250',
      createdDaysAgo = 0,
    } = as;
    const id = String(newId(createdDaysAgo));
    const line = Number(BigInt(id) % 1_000_000_007n);
    const identity = row ? await this.#row(line) : null;
    await this.owner.query(
      `INSERT INTO breaks (merchant_id, id, created_at, reconciliation_id, fingerprint, kind, status, reference, item, row_source, row_identity,
                           expected, actual, difference, currency, candidates)
       VALUES ($1, $2, snowflake_time($2), $3, $4, $5, 'open', 'psp-1', $6, $7, $8, NULL, $9, $10, 'EUR', $11)`,
      [
        this.merchant.id,
        id,
        this.reportId,
        `${kind}/${id}`,
        kind,
        item,
        row ? 'generic' : null,
        identity,
        JSON.stringify({ amount: '1000', fee: '0', currency: 'EUR', occurred_at: '2026-11-20T10:00:00.000Z', line }),
        difference,
        candidates ? JSON.stringify(candidates) : null,
      ],
    );
    return id;
  }

  async #row(line: number): Promise<string> {
    const identity = randomBytes(16).toString('hex');
    await this.owner.query(
      `INSERT INTO report_rows (merchant_id, source, identity, reconciliation_id, line, type, reference, gross, fee, net, currency, occurred_at)
       VALUES ($1, 'generic', $2::uuid, $3, $4, 'payment', 'psp-1', 1000, 0, 1000, 'EUR', '2026-11-20T10:00:00Z')`,
      [this.merchant.id, identity, this.reportId, line],
    );
    return identity;
  }

  /** A report that could not be matched. Answers its id. */
  async failedReport(): Promise<string> {
    const id = String(newId());
    await this.owner.query(
      `INSERT INTO reconciliations (merchant_id, id, created_at, source, sla_days, status, failure, tries)
       VALUES ($1, $2, snowflake_time($2), 'generic', 3, 'failed', 'x', 9)`,
      [this.merchant.id, id],
    );
    return id;
  }

  act(by: TestOperator | Client, id: string, action: string, body?: object, key?: string): Promise<Answer> {
    const client = 'client' in by ? by.client : by;
    const needsKey = action === 'approve' ? (key ?? randomUUID()) : key;
    return client.post(`/v1/breaks/${id}/${action}`, { ...(body && { body }), ...(needsKey && { key: needsKey }) });
  }

  async get(id: string): Promise<Json> {
    return (await this.environment.client.get(`/v1/breaks/${id}`)).body;
  }

  /** Of suspense into cash: a proposal to post that the ledger takes. */
  posting(amount = '250', more: object = {}): Json {
    const entries = [
      { account_code: 'cash:EUR', direction: 'debit', amount, currency: 'EUR' },
      { account_code: 'suspense:EUR', direction: 'credit', amount, currency: 'EUR' },
    ];
    return { action: 'post', entries, reason: 'The processor kept it.', ...more };
  }

  /** Transactions that ended breaks. */
  async adjustments(): Promise<Json[]> {
    return (await this.merchant.client.get('/v1/transactions?type=reconciliation.adjustment&expand=entries')).body.data;
  }
}

export interface BreakTest {
  readonly api: TestApi;
  readonly bystander: Bystander;
  readonly shop: BreakShop;
  readonly maker: TestOperator;
  readonly checker: TestOperator;
}

/** An API that is held to its contract, and before each test a shop with two operators; afterwards every book is right. */
export function breakTests(beforeOne: (now: BreakTest) => void): void {
  let api: TestApi;
  let bystander: Bystander;
  beforeAll(async () => {
    api = await TestApi.start();
    await Contract.hold(api);
    bystander = await Bystander.open(api.on);
  });
  beforeEach(async () => {
    const shop = await BreakShop.open(api, bystander.client);
    beforeOne({ api, bystander, shop, maker: await shop.operator(), checker: await shop.operator() });
  });
  afterEach(() => expect(api.errors).toEqual([]));
  afterAll(async () => {
    await expectVerified(api.on);
    await bystander.close();
    await api.stop();
  });
}

/** What operators do about breaks, under either prefix: by route, a request that can succeed. */
export function breakPosts(shopOf: () => BreakShop) {
  const proposal = { action: 'write_off', reason: 'Too small.' };
  const bodies: Record<string, object | undefined> = {
    assign: { to: 'ada' },
    comment: { text: 'x' },
    propose: proposal,
    approve: undefined,
    reject: { reason: 'x' },
    withdraw: { reason: 'x' },
  };
  const acting = async (under: (shop: BreakShop) => string, action: string) => {
    const shop = shopOf();
    const id = await shop.found();
    const { client } = await shop.operator();
    const isOwn = action === 'withdraw';
    if (isOwn || action === 'approve' || action === 'reject') await shop.act(shop.environment, id, 'propose', proposal);
    const body = bodies[action];
    const by = isOwn ? shop.environment.client : client;
    return { path: `${under(shop)}/${id}/${action}`, status: 200, client: by, ...(body && { body }) };
  };
  const prefixes = {
    'POST /v1/breaks/{id}': () => '/v1/breaks',
    'POST /v1/reconciliations/{reconciliation_id}/breaks/{id}': ({ reportId }: BreakShop) =>
      `/v1/reconciliations/${reportId}/breaks`,
  };
  const retry = async () => {
    const shop = shopOf();
    const path = `/v1/reconciliations/${await shop.failedReport()}/retry`;
    return { path, status: 202, client: shop.environment.client };
  };
  const acts = Object.fromEntries(
    Object.entries(prefixes).flatMap(([route, under]) =>
      Object.keys(bodies).map((action) => [`${route}/${action}`, () => acting(under, action)] as const),
    ),
  );
  return { ...acts, 'POST /v1/reconciliations/{id}/retry': retry };
}

const DAY_MS = 86_400_000;
let issued = 0n;

/** Of this moment, or of days ago. */
function newId(daysAgo = 0): bigint {
  issued += 1n;
  return firstSnowflakeAt(Date.now() - daysAgo * DAY_MS) + issued;
}
