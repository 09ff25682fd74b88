import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Clients, Tenant } from './clients.js';
import { Dice, EXCUSABLE, type History, now } from './history.js';
import { exchange } from './http.js';
import type { Slot } from './slot.js';

/** The first of so many days that are settled one after the other. */
const DAYS_AGO = 600;
const DAY_MS = 86_400_000;
const PAYMENTS = 3;
/** What the bank does with them: it pays, refuses, and loses its answer. */
const DESTINATIONS = ['bank_ok', 'bank_refused', 'bank_lost'];
const POOR = 'insufficient_funds';
const PATIENCE_MS = 2_500;
const POLL_MS = 20;

const SETTLED_BEYOND = 'SELECT FROM settlement_positions WHERE merchant_id = $1 AND business_date > $2';

// biome-ignore lint/suspicious/noExplicitAny: bodies are looked into at will.
type Json = any;

/**
 * Night after night of each tenant: its provider tells of payments of a day, an operator has that day settled, the tenant has itself
 * paid out, and looks at once at what was charged and reserved. Once a run is completed its fees have been told of, and what a payout
 * reserved with its answer: no later read of their balances may be older.
 */
export class Nights {
  readonly unexpected: string[] = [];
  /** Days of merchants for whose payout nothing was left. */
  readonly withNothingLeft: { merchant: string; date: string }[] = [];
  readonly #history: History;
  readonly #apis: readonly Slot[];
  readonly #operatorKey: string;
  readonly #clients: Clients;
  readonly #dice: Dice;
  /** The next one of each tenant, and whose it is by now. */
  readonly #next = new Map<Tenant, number>();
  readonly #now = new Map<Tenant, Tenant>();
  readonly #another: () => Promise<Tenant>;
  #stopped = false;

  constructor(parts: {
    history: History;
    clients: Clients;
    apis: readonly Slot[];
    operatorKey: string;
    seed: number;
    another: () => Promise<Tenant>;
  }) {
    this.#another = parts.another;
    this.#history = parts.history;
    this.#clients = parts.clients;
    this.#apis = parts.apis;
    this.#operatorKey = parts.operatorKey;
    this.#dice = new Dice(parts.seed + 1);
  }

  /** Resolves after `stop`. */
  async run(tenants: readonly Tenant[]): Promise<void> {
    this.#stopped = false;
    await Promise.all(tenants.map((tenant) => this.#nightsOf(tenant)));
  }

  stop(): void {
    this.#stopped = true;
  }

  async #nightsOf(first: Tenant): Promise<void> {
    let tenant = this.#now.get(first) ?? first;
    const since = Date.now() - DAYS_AGO * DAY_MS;
    for (let number = this.#next.get(first) ?? 0; number < DAYS_AGO && !this.#stopped; number += 1) {
      this.#next.set(first, number + 1);
      const date = new Date(since + number * DAY_MS).toISOString().slice(0, 10);
      for (let payment = 0; payment < PAYMENTS; payment += 1) await this.#take(tenant, date, payment);
      await this.#clients.look(tenant, tenant.watched);
      const outcome = await this.#settle(tenant, date);
      if (outcome === 'settled') await this.#clients.look(tenant, tenant.watched);
      const isOvertaken = outcome === 'settled' && !(await this.#payOut(tenant, date, number));
      if (outcome === 'settled') await this.#clients.look(tenant, tenant.watched);
      if (outcome !== 'empty' && !isOvertaken) continue;
      tenant = await this.#another();
      this.#now.set(first, tenant);
    }
  }

  async #take({ key, merchant }: Tenant, date: string, number: number): Promise<void> {
    const payment_ref = `${merchant}-${date}-${number}`;
    const money = { type: 'captured', sequence: 1, amount: String(1_000 + this.#dice.below(9_000)), currency: 'EUR' };
    const told = { provider: 'acme', event_id: payment_ref, payment_ref, ...money, occurred_at: `${date}T12:00:00Z` };
    await this.#ask(key, '/v1/provider_events', told);
  }

  /** Empty: somebody settled all days that are over before its payments were told. Undefined: nobody said what became of it. */
  async #settle({ merchant }: Tenant, date: string): Promise<'settled' | 'empty' | undefined> {
    const asked = { business_date: date, merchant_ids: [merchant] };
    let run = await this.#ask(this.#operatorKey, '/v1/settlement_runs', asked, `night-${merchant}-${date}`);
    while (run && run.finished_at === null && !this.#stopped) {
      await sleep(POLL_MS);
      run = await this.#ask(this.#operatorKey, `/v1/settlement_runs/${run.id}`);
    }
    if (!run || run.finished_at === null) return undefined;
    const { settled, empty } = run.merchants;
    if (settled === 1) this.#history.settled.push({ merchant, date, completedAt: now() });
    else if (empty !== 1) this.unexpected.push(`${date} of ${merchant}: ${JSON.stringify(run)}`);
    return settled === 1 ? 'settled' : empty === 1 ? 'empty' : undefined;
  }

  /**
   * All that was settled. False: nothing was left, since whoever settled all days that are over was in the midst of them: this day has
   * what was told before, and what was told of it is for a later one.
   */
  async #payOut({ key, merchant }: Tenant, date: string, number: number): Promise<boolean> {
    const asked = { currency: 'EUR', destination: DESTINATIONS[number % DESTINATIONS.length] };
    const payout = await this.#ask(key, '/v1/payouts', asked, `payout-${merchant}-${date}`);
    if (payout?.code === POOR) {
      this.withNothingLeft.push({ merchant, date });
      return false;
    }
    const told: { account_id: string; version: string }[] = payout?.balances ?? [];
    const versions = told.map(({ account_id: account, version }) => ({ account, version: Number(version) }));
    if (payout) this.#history.payouts.push({ completedAt: now(), versions });
    return true;
  }

  /** Nothing is left of a day that has settlements only where later days had been settled. Answers where that is not so. */
  async overdrawn(owner: pg.Client): Promise<string[]> {
    const offences: string[] = [];
    for (const { merchant, date } of this.withNothingLeft) {
      const { rowCount } = await owner.query(SETTLED_BEYOND, [merchant, date]);
      if (rowCount === 0)
        offences.push(`nothing was left to pay out of ${date} of ${merchant}, which was settled last`);
    }
    return offences;
  }

  /** Of whatever API answers, until one does; undefined: it is over. */
  async #ask(secret: string, path: string, body?: object, key?: string): Promise<Json> {
    const headers: Record<string, string> = { authorization: `Bearer ${secret}` };
    if (body !== undefined) headers['content-type'] = 'application/json';
    if (key !== undefined) headers['idempotency-key'] = key;
    const sent = body === undefined ? undefined : JSON.stringify(body);
    for (; !this.#stopped; await sleep(POLL_MS)) {
      const { url } = this.#dice.pick(this.#apis);
      if (url === undefined) continue;
      const answer = await exchange(url + path, { headers, body: sent, patienceMs: PATIENCE_MS }).catch(
        () => undefined,
      );
      if (answer && (answer.status < 300 || answer.text.includes(`"${POOR}"`))) return JSON.parse(answer.text);
      if (answer && !EXCUSABLE.has(answer.status)) {
        this.unexpected.push(`${path}: ${answer.status} ${answer.text}`);
        return undefined;
      }
    }
    return undefined;
  }
}
