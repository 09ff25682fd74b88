import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { WebhookSink } from '../support/webhook-sink.js';
import { type Dice, EXCUSABLE } from './history.js';
import { exchange } from './http.js';

interface Tenant {
  readonly merchant: string;
  readonly key: string;
}
interface Listening {
  readonly url: string | undefined;
}

const PAGE = 200;
const WAIT_MS = 1_000;
const PATIENCE_MS = 4_000;
const RETRY_MS = 50;
/** Of the webhooks, what their receiver does not take at first. */
const REFUSED = 0.03;

const LOG = `SELECT xid || '-' || seq AS id FROM events WHERE merchant_id = $1 ORDER BY xid, seq`;
const SINCE = `
SELECT e.xid || '-' || e.seq AS id FROM events e JOIN webhook_endpoints w USING (merchant_id)
 WHERE w.merchant_id = $1 AND e.xid > w.since_xid`;

/** Follows the log of a tenant over HTTP, whichever API is there, and is told of it by webhooks. */
export class Follower {
  /** In the order in which they were told. */
  readonly told: string[] = [];
  readonly unexpected: string[] = [];
  /** Webhooks by id: how often each came. */
  readonly hooks = new Map<string, number>();
  refused = 0;
  readonly #tenant: Tenant;
  readonly #apis: readonly Listening[];
  readonly #dice: Dice;
  #sink: WebhookSink | undefined;
  #cursor = '';
  #stopped = false;

  constructor(tenant: Tenant, apis: readonly Listening[], dice: Dice) {
    this.#tenant = tenant;
    this.#apis = apis;
    this.#dice = dice;
  }

  /** Asks for webhooks. */
  async register(post: (path: string, key: string, body: object) => Promise<unknown>): Promise<void> {
    this.#sink = await WebhookSink.open((response, { id }) => {
      this.#sink?.received.splice(0);
      const isRefused = this.#dice.next() < REFUSED;
      if (isRefused) this.refused += 1;
      else this.hooks.set(id, (this.hooks.get(id) ?? 0) + 1);
      response.writeHead(isRefused ? 503 : 200).end();
    });
    await post('/v1/webhook_endpoints', this.#tenant.key, { url: this.#sink.url });
  }

  /** Resolves after `stop`. */
  async run(): Promise<void> {
    this.#stopped = false;
    while (!this.#stopped) if (!(await this.look())) await sleep(RETRY_MS);
  }

  stop(): void {
    this.#stopped = true;
  }

  async close(): Promise<void> {
    await this.#sink?.close();
  }

  /** One page. Whether there was an answer. */
  async look(): Promise<boolean> {
    const { url } = this.#dice.pick(this.#apis);
    if (url === undefined) return false;
    const headers = { authorization: `Bearer ${this.#tenant.key}` };
    const path = `/v1/events?limit=${PAGE}&wait_ms=${WAIT_MS}${this.#cursor && `&after=${this.#cursor}`}`;
    const asked = { headers, body: undefined, patienceMs: PATIENCE_MS };
    const answer = await exchange(url + path, asked).catch(() => undefined);
    if (answer?.status !== 200) {
      if (answer && !EXCUSABLE.has(answer.status)) this.unexpected.push(`${path}: ${answer.status} ${answer.text}`);
      return false;
    }
    const { data, next_cursor: next } = JSON.parse(answer.text);
    for (const { id } of data) this.told.push(id);
    this.#cursor = next ?? this.#cursor;
    return true;
  }

  /** What it has not been told, or otherwise than it is; empty when everything has come. */
  async missing(owner: pg.Client): Promise<string[]> {
    const idsOf = async (sql: string) =>
      (await owner.query<{ id: string }>(sql, [this.#tenant.merchant])).rows.map(({ id }) => id);
    const log = await idsOf(LOG);
    const at = log.findIndex((id, index) => id !== this.told[index]);
    const wrong = [];
    if (at >= 0) wrong.push(`a follower was told ${this.told[at]} as its ${at}. event, which is ${log[at]}`);
    else if (this.told.length > log.length)
      wrong.push(`a follower was told ${this.told.length} of ${log.length} events`);
    const lost = (await idsOf(SINCE)).filter((id) => !this.hooks.has(id));
    if (lost.length > 0) wrong.push(`${lost.length} webhooks never came, ${lost[0]} among them`);
    return wrong;
  }
}
