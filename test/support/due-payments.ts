import { randomUUID } from 'node:crypto';
import { CommandBus } from '@nestjs/cqrs';
import { systemClock } from '#kernel/clock.js';
import { SnowflakeGenerator } from '#kernel/snowflake.js';
import { Inbox } from '#payments/providers/inbox.js';
import { parkedFacts, paymentExpiry, settleFactLetters } from '#payments/timers/due-payments.js';
import { PaymentQueries } from '#payments/timers/payment-queries.js';
import { Database } from '#platform/postgres.js';
import { PublicHttp } from '#platform/public-http.js';
import type { Json, Merchant, TestApi } from './api.js';
import type { Bystander } from './bystander.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** A shop whose payments are told and asked for over HTTP, and whose timers run when a test says so. */
export class DuePayments {
  constructor(
    readonly api: TestApi,
    readonly shop: Merchant,
    private readonly bystander: Bystander,
  ) {}

  private get parts() {
    return { database: this.api.app.get(Database), commands: this.api.app.get(CommandBus, { strict: false }) };
  }

  get expiries() {
    return paymentExpiry(this.parts);
  }

  get parked() {
    return parkedFacts(this.parts);
  }

  /** Asks providers, also on this machine; by a clock that is `aheadMs` ahead. */
  queries({ aheadMs = 0, stripeApiUrl = 'https://api.stripe.com' } = {}): PaymentQueries {
    const { database } = this.parts;
    const http = new PublicHttp({
      allowLoopback: true,
      refusedNetworks: [],
      connectTimeoutMs: 5_000,
      headersTimeoutMs: 5_000,
      timeoutMs: 5_000,
      responseBytes: 65_536,
    });
    const inbox = this.api.app.get(Inbox, { strict: false });
    const ids = this.api.app.get(SnowflakeGenerator, { strict: false });
    const options = {
      overcapturePercent: 0,
      parkedMaxAgeMs: 7 * DAY_MS,
      queryScheduleMs: [5 * MINUTE_MS, HOUR_MS, DAY_MS],
      concurrency: 8,
      stripeApiUrl,
      inboxRetryMs: MINUTE_MS,
    };
    const clock = { ...systemClock, now: () => Date.now() + aheadMs };
    return new PaymentQueries({ database, ids, inbox, http }, options, clock);
  }

  settleLetters(): Promise<number> {
    return settleFactLetters(this.parts);
  }

  async open(more: object = {}): Promise<Json> {
    const body = { amount: '1000', currency: 'EUR', capture: 'manual', ...more };
    const answer = await this.shop.client.post('/v1/payments', { body, key: randomUUID() });
    if (answer.status !== 201) throw new Error(answer.text);
    return answer.body;
  }

  async ask(id: string, what: string, body?: object): Promise<Json> {
    return (await this.shop.client.post(`/v1/payments/${id}/${what}`, { key: randomUUID(), ...(body && { body }) }))
      .body;
  }

  async get(id: string): Promise<Json> {
    return (await this.shop.client.get(`/v1/payments/${id}`)).body;
  }

  async tell(paymentRef: string, type: string, more: object = {}): Promise<Json> {
    const body = {
      provider: 'acme',
      event_id: randomUUID(),
      payment_ref: paymentRef,
      type,
      currency: 'EUR',
      occurred_at: new Date(Date.now() - MINUTE_MS).toISOString(),
      ...more,
    };
    const answer = await this.shop.client.post('/v1/provider_events', { body });
    if (answer.status !== 202) throw new Error(answer.text);
    return answer.body;
  }

  /** Due rows of the shop of a kind: whose, and in how many seconds. */
  async due(kind: string): Promise<{ subject: string; in_s: number; attempts: number }[]> {
    const { rows } = await this.bystander.client.query(
      `SELECT subject_id::text AS subject, round(extract(epoch FROM due_at - now()))::int AS in_s, attempts
         FROM due_rows WHERE merchant_id = $1 AND kind = $2 ORDER BY due_at`,
      [this.shop.id, kind],
    );
    return rows;
  }

  /** As if time had passed: what is due comes sooner. */
  async pass(kind: string, seconds: number): Promise<void> {
    await this.bystander.client.query(
      `UPDATE due_rows SET due_at = due_at - $3::int * interval '1 s', try_at = try_at - $3::int * interval '1 s'
        WHERE merchant_id = $1 AND kind = $2`,
      [this.shop.id, kind, seconds],
    );
  }

  /** As if the payment had been opened so much earlier. */
  async age(id: string, seconds: number): Promise<void> {
    await this.pass('payment_expiry', seconds);
    await this.bystander.client.query(
      `UPDATE payments SET expires_at = expires_at - $3::int * interval '1 s' WHERE merchant_id = $1 AND id = $2`,
      [this.shop.id, id, seconds],
    );
  }
}
