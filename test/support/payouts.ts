import { randomUUID } from 'node:crypto';
import { CommandBus } from '@nestjs/cqrs';
import { trace } from '@opentelemetry/api';
import { systemClock } from '#kernel/clock.js';
import { BankClient } from '#payouts/bank-client.js';
import { PayoutSaga } from '#payouts/payout-saga.js';
import { PAYOUT, PAYOUT_HINT, PAYOUT_WATCH } from '#payouts/payout-timers.js';
import { Cost } from '#platform/cost.js';
import { Deadline } from '#platform/deadline.js';
import { Database } from '#platform/postgres.js';
import { Settler } from '#settlement/settler.js';
import { type Answer, type Json, type Merchant, TestApi, transfer } from './api.js';
import type { Bystander } from './bystander.js';
import { BANK_SECRET, type SmallBank } from './small-bank.js';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const FIRST_NIGHT_DAYS = 20;

/** A timeout of the bank in tests: a busy machine's answer is no lost one. */
const BANK_TIMEOUT_MS = 2_500;

export function bankEnvironment(bank: SmallBank): Record<string, string> {
  return { BANK_URL: bank.url, BANK_SECRET, BANK_TIMEOUT_MS: String(BANK_TIMEOUT_MS) };
}

/** A shop whose payouts are asked for over HTTP, and whose saga runs when a test says so. */
export class PayoutShop {
  #nights = 0;

  constructor(
    readonly api: TestApi,
    readonly shop: Merchant,
    readonly bank: SmallBank,
    private readonly bystander: Bystander,
  ) {}

  /** By a clock that is `aheadMs` ahead. */
  saga({ aheadMs = 0 } = {}): PayoutSaga {
    const database = this.api.app.get(Database);
    const commands = this.api.app.get(CommandBus, { strict: false });
    const bank = new BankClient({ url: this.bank.url, secret: BANK_SECRET, timeoutMs: BANK_TIMEOUT_MS });
    const options = { askScheduleMs: [30_000, 5 * MINUTE_MS, 60 * MINUTE_MS], watchMs: 30 * DAY_MS, concurrency: 100 };
    return new PayoutSaga({ database, commands, bank }, options, { ...systemClock, now: () => Date.now() + aheadMs });
  }

  /** A night more, which settles so much: each is a business day of the shop's, the first of them some weeks ago. */
  async settle(amount: number, currency = 'EUR'): Promise<void> {
    const day = new Date(Date.now() + (this.#nights - FIRST_NIGHT_DAYS) * DAY_MS).toISOString().slice(0, 10);
    this.#nights += 1;
    const [more, less] = [`provider_receivable:${currency}`, `merchant_payable:${currency}`] as const;
    const [from, to] = amount > 0 ? [more, less] : [less, more];
    const effective_at = `${day}T12:00:00.000Z`;
    await this.shop.posted(transfer(from, to, String(Math.abs(amount)), { currency, effective_at }));
    const bounds = {
      deadline: Deadline.after(60_000),
      span: trace.getTracer('test').startSpan('settle'),
      cost: new Cost(),
    };
    const settler = this.api.app.get(Settler, { strict: false });
    const [result] = await settler.settle([BigInt(this.shop.id)], day, bounds);
    if (result?.outcome !== 'settled') throw new Error(`not settled: ${JSON.stringify(result)}`);
  }

  ask(body: object = {}, key: string = randomUUID()): Promise<Answer> {
    return this.shop.client.post('/v1/payouts', {
      body: { currency: 'EUR', destination: 'bank_ok', ...body },
      key,
    });
  }

  /** One that is reserved. */
  async reserved(body: object = {}): Promise<Json> {
    const answer = await this.ask(body);
    if (answer.status !== 202) throw new Error(answer.text);
    return answer.body;
  }

  /** One that the bank has taken. */
  async instructed(body: object = {}): Promise<Json> {
    const { id } = await this.reserved(body);
    await this.saga().onTheWay.round();
    return this.get(id);
  }

  async get(id: string): Promise<Json> {
    return (await this.shop.client.get(`/v1/payouts/${id}`)).body;
  }

  keyOf({ id }: { id: string }): string {
    return `${this.shop.id}-${id}`;
  }

  /** What the merchant is owed, what is under way, and what the bank has paid; then what is left of what was settled. */
  async money(currency = 'EUR'): Promise<string[]> {
    const names = ['merchant_payable', 'payout_clearing', 'cash'];
    const balances = await Promise.all(
      names.map((name) => this.shop.balanceOf(this.shop.accounts[`${name}:${currency}`] as string)),
    );
    const { rows } = await this.bystander.client.query(
      'SELECT (settled - paid_out)::text AS left FROM settled_balances WHERE merchant_id = $1 AND currency = $2',
      [this.shop.id, currency],
    );
    return [...balances.map(({ posted }) => posted.amount), rows[0]?.left];
  }

  /** Due rows of the shop: of which kind, and in how many minutes. */
  async due(): Promise<[string, number][]> {
    const { rows } = await this.bystander.client.query(
      `SELECT kind, ceil(extract(epoch FROM due_at - now()) / 60)::int AS in_min FROM due_rows
        WHERE merchant_id = $1 AND kind = ANY ($2) ORDER BY kind, due_at`,
      [this.shop.id, [PAYOUT, PAYOUT_HINT, PAYOUT_WATCH]],
    );
    return rows.map(({ kind, in_min }) => [kind, in_min]);
  }

  /** Whatever is due later is due now. */
  async makeDue(): Promise<void> {
    await this.bystander.client.query(
      `UPDATE due_rows SET due_at = least(due_at, date_trunc('milliseconds', now())), try_at = now() WHERE merchant_id = $1 AND kind = ANY ($2)`,
      [this.shop.id, [PAYOUT, PAYOUT_WATCH]],
    );
  }

  /** What the bank says next is asked for and followed. */
  async follow(): Promise<void> {
    await this.makeDue();
    await this.saga().onTheWay.round();
    await this.saga().watched.round();
  }
}
