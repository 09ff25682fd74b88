import type { Clock } from '#kernel/clock.js';
import type { SnowflakeGenerator } from '#kernel/snowflake.js';
import type { LoggedEvent } from '#outbox/consumers/consumer.js';
import { MerchantLog } from '#outbox/log/append.js';
import type { EventType } from '#outbox/log/catalogue.js';
import type { LoggedRow } from '#outbox/log/event-log.js';
import { positionText } from '#outbox/log/position.js';
import { Deadline } from '#platform/deadline.js';
import { type Answering, IdempotentRequests } from '#platform/idempotency.js';
import { createLogger } from '#platform/logging.js';
import type { Database } from '#platform/postgres.js';
import { PublicHttp } from '#platform/public-http.js';
import type { RequestContext } from '#platform/request-context.js';
import { listDeliveries, type WebhookDelivery } from '#webhooks/deliveries.js';
import { DeliveryStore } from '#webhooks/delivery-store.js';
import { DueHints } from '#webhooks/due-hints.js';
import {
  CreateWebhookEndpointCommand,
  CreateWebhookEndpointHandler,
  type EndpointWithSecret,
  RotateWebhookSecretCommand,
  RotateWebhookSecretHandler,
} from '#webhooks/endpoint.commands.js';
import { getEndpoint, type Ordering, type WebhookEndpoint } from '#webhooks/endpoint-store.js';
import { WebhookFanOut } from '#webhooks/fan-out.js';
import { senderOptionsOf } from '#webhooks/open-sender.js';
import { WebhookSender } from '#webhooks/sender.js';
import { readConfig } from '../../apps/config.js';
import type { TestDatabase } from './database.js';
import { TestLedger } from './ledger.js';
import { until } from './until.js';

const LOG = `SELECT merchant_id, xid, seq, type, version, occurred_at, trace_context, data FROM events ORDER BY xid, seq`;

type Options = ReturnType<typeof senderOptionsOf>;

/** What the environment gives, with loopback allowed. */
export const NO_REDIS = readConfig({
  DATABASE_URL: 'postgres://nobody@127.0.0.1/nothing',
  WEBHOOK_ALLOW_LOOPBACK: '1',
});

/** What the environment gives, with loopback allowed and waits that a test can sit through. */
export function senderOptions(more: Partial<Options> = {}): Options {
  return { ...senderOptionsOf(NO_REDIS), retryScheduleMs: [20, 20, 20], timeoutMs: 5_000, ...more };
}

/** Commands without a key, answered with their bare result. */
export function asItIs<T extends object>(): Answering<T> {
  return { idempotency: undefined, status: 200, bodyOf: (body) => ({ body }) };
}

/** Endpoints, fan-out and senders on a real database, without the API. */
export class TestWebhooks {
  readonly database: Database;
  readonly ids: SnowflakeGenerator;
  readonly requests: IdempotentRequests;
  /** Go nowhere. */
  readonly hints = new DueHints(NO_REDIS);
  readonly #senders: WebhookSender[] = [];

  private constructor(readonly ledger: TestLedger) {
    this.database = ledger.database;
    this.ids = ledger.ids;
    this.requests = new IdempotentRequests(ledger.database, { waitMs: 5_000 });
  }

  static async open(on: TestDatabase): Promise<TestWebhooks> {
    return new TestWebhooks(await TestLedger.open(on));
  }

  async close(): Promise<void> {
    await Promise.all(this.#senders.map((sender) => sender.stop()));
    await this.ledger.close();
  }

  context(merchantId: bigint): RequestContext {
    return this.ledger.context(merchantId);
  }

  /** A sender of its own: one of these is one worker. */
  sender(
    more: Partial<Options> = {},
    parts: { store?: DeliveryStore; http?: PublicHttp; clock?: Clock } = {},
  ): WebhookSender {
    const options = senderOptions(more);
    const store = parts.store ?? new DeliveryStore(this.database);
    const http = parts.http ?? new PublicHttp(options);
    const logger = createLogger({ level: 'fatal', service: 'test' });
    const sender = new WebhookSender({ database: this.database, store, http, logger }, options, parts.clock);
    this.#senders.push(sender);
    return sender;
  }

  async endpoint(
    merchantId: bigint,
    url: string,
    eventTypes: readonly EventType[] | null = null,
    ordering: Ordering = 'strict',
  ): Promise<{ id: bigint; secret: string }> {
    const command = new CreateWebhookEndpointCommand(
      this.context(merchantId),
      { url, eventTypes, ordering },
      NO_REDIS,
      asItIs<EndpointWithSecret>(),
    );
    const { body } = await new CreateWebhookEndpointHandler(this.requests, this.ids).execute(command);
    const { endpoint, secret } = body as EndpointWithSecret;
    return { id: endpoint.id, secret };
  }

  async rotate(merchantId: bigint, endpointId: bigint, overlapMs: number): Promise<string> {
    const context = this.context(merchantId);
    const command = new RotateWebhookSecretCommand(context, endpointId, overlapMs, asItIs<EndpointWithSecret>());
    const { body } = await new RotateWebhookSecretHandler(this.requests, this.ids).execute(command);
    return (body as EndpointWithSecret).secret;
  }

  /** Appends events in one transaction, with `{"n": …}` as data. */
  async append(
    merchantId: bigint,
    count: number,
    { type = 'account.created', traceContext }: { type?: EventType; traceContext?: string } = {},
  ): Promise<void> {
    await this.database.transaction({ merchantIds: [merchantId] }, Deadline.after(20_000), async (client) => {
      await MerchantLog.lock(client, merchantId);
      await client.query({
        text: `INSERT INTO events (merchant_id, type, version, occurred_at, trace_context, data)
               SELECT $1, $2, 1, date_trunc('milliseconds', now()), $3, json_build_object('n', n) FROM generate_series(1, $4) n`,
        values: [merchantId, type, traceContext ?? null, count],
      });
    });
  }

  /** The merchants' log, in its order. */
  async log(...merchantIds: bigint[]): Promise<LoggedEvent[]> {
    const rows = await this.database.read<LoggedRow>({ merchantIds }, Deadline.after(20_000), { text: LOG });
    return rows.map(({ merchant_id, occurred_at, trace_context, ...row }) => ({
      ...row,
      merchantId: merchant_id,
      occurredAtMs: occurred_at,
      traceContext: trace_context ?? undefined,
    }));
  }

  /** The webhook-ids of what `append` appended to a merchant's log, in its order. */
  async messageIds(merchantId: bigint): Promise<string[]> {
    return (await this.log(merchantId)).filter(({ type }) => !type.startsWith('webhook_endpoint.')).map(positionText);
  }

  /** Hands the whole log of the merchants to the consumer, once more each time, in one transaction. Answers for whom it left something. */
  async fanOut(...merchantIds: bigint[]): Promise<bigint[]> {
    const events = await this.log(...merchantIds);
    const left: bigint[] = [];
    await this.database.transaction({ merchantIds }, Deadline.after(20_000), (client) =>
      new WebhookFanOut().apply(client, events, (ids) => left.push(...ids)),
    );
    return left;
  }

  /** A merchant whose one endpoint has `count` deliveries due. */
  async due(
    url: string,
    count: number,
    ordering: Ordering = 'strict',
  ): Promise<{ merchantId: bigint; endpointId: bigint; secret: string }> {
    const merchantId = await this.ledger.createMerchant();
    const { id, secret } = await this.endpoint(merchantId, url, null, ordering);
    await this.append(merchantId, count);
    await this.fanOut(merchantId);
    return { merchantId, endpointId: id, secret };
  }

  async shown(merchantId: bigint, endpointId: bigint): Promise<WebhookEndpoint> {
    const endpoint = await getEndpoint(this.database, merchantId, endpointId, Deadline.after(20_000));
    if (!endpoint) throw new Error(`no endpoint ${endpointId}`);
    return endpoint;
  }

  /** In the order in which they were made, which is the log's. */
  async deliveries(merchantId: bigint, endpointId: bigint): Promise<WebhookDelivery[]> {
    const page = { endpointId, before: undefined, limit: 1_000 };
    return (await listDeliveries(this.database, merchantId, page, Deadline.after(20_000))).reverse();
  }

  async statuses(merchantId: bigint, endpointId: bigint): Promise<string[]> {
    return (await this.deliveries(merchantId, endpointId)).map(({ status }) => status);
  }

  /** Rounds until it is so. */
  async sendUntil(sender: WebhookSender, what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
    await until(what, async () => {
      await sender.round();
      return isSo();
    });
  }

  /** Rounds until nothing is due to an endpoint any more. */
  async sendAll(sender: WebhookSender, merchantId: bigint, endpointId: bigint): Promise<void> {
    await this.sendUntil(sender, 'nothing is due', async () => {
      await sender.idle();
      return !(await this.statuses(merchantId, endpointId)).includes('due');
    });
  }
}
