import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, Json } from '../payments/client.js';
import { wireOf } from '../payments/lives.js';
import { PROVIDER, tellOf } from '../payments/teller.js';
import { asAdmin } from '../support/database.js';
import { until } from '../support/until.js';
import { dayAfter } from './clocks.js';
import { type Fleet, OPERATOR_KEY } from './fleet.js';
import type { NightHarm } from './harm.js';
import { Plans, type Shop } from './open-shops.js';
import type { Night } from './oracle.js';
import { Payouts } from './payouts.js';
import { type ByHand, type Evening, nightMs, type Quarter, type Step } from './quarter.js';
import type { PlanVersion } from './tariff.js';
import type { Today } from './today.js';

/** A run as it was asked for, and what it said in the end. */
export interface RunSeen {
  readonly date: string;
  readonly shops: readonly Shop[];
  readonly run: Json;
}

const HEADS = `
SELECT a.merchant_id::text AS merchant, a.currency, b.version::int AS version
  FROM accounts a JOIN balances b ON b.merchant_id = a.merchant_id AND b.account_id = a.id
 WHERE a.code = 'merchant_payable:' || a.currency`;
const RUN_LIMIT_MS = 120_000;
/** Between two looks: whoever looks all the time takes it from those who work. */
const LOOK_MS = 10;
const TODAY_LIMIT_MS = 120_000;
const BATCH = 500;

export interface LivingOptions {
  readonly harm?: NightHarm;
  readonly today?: Today;
  /** What plans there are; absent: those of the quarter. */
  readonly versions?: readonly PlanVersion[];
  /** What more is done when a night is over and paid out. */
  readonly afterStep?: (step: Step, shops: readonly Shop[]) => Promise<void>;
}

/** The quarter as it is lived through at the service, night by night. */
export class LivedQuarter {
  readonly shops: Shop[] = [];
  readonly nights = new Map<Shop, Night[]>();
  readonly runs: RunSeen[] = [];
  /** Transactions that were posted by hand, and of them what suspense has less. */
  readonly byHand = new Set<string>();
  /** What the payments are called by the service. */
  readonly paymentIds = new Map<string, string>();
  readonly offences: string[] = [];
  readonly counts = { facts: 0, byHand: 0 };
  readonly plans: Plans;
  readonly payouts: Payouts;
  readonly #fleet: Pick<Fleet, 'client' | 'on'>;
  readonly #quarter: Quarter;
  readonly #harm: NightHarm | undefined;
  readonly #today: Today | undefined;
  readonly #afterStep: LivingOptions['afterStep'];

  constructor(fleet: Pick<Fleet, 'client' | 'on'>, quarter: Quarter, options: LivingOptions) {
    const { harm, today, versions, afterStep } = options;
    this.#afterStep = afterStep;
    this.#today = today;
    this.#fleet = fleet;
    this.#quarter = quarter;
    this.#harm = harm;
    this.plans = new Plans(fleet.client, versions);
    this.payouts = new Payouts(fleet.client, this.offences);
  }

  get client(): Client {
    return this.#fleet.client;
  }

  async run(): Promise<void> {
    const today = this.#today ? [this.#today.plan] : [];
    this.shops.push(...(await this.plans.open([...this.#quarter.shops, ...today])));
    for (const shop of this.shops) this.nights.set(shop, []);
    // Before anything has happened.
    await this.#night(dayAfter(this.#quarter.since, -40), this.shops);
    const quarterly = this.shops.filter(({ plan }) => plan !== this.#today?.plan);
    await this.#beginToday();
    for (const step of this.#quarter.steps) await this.#step(step, quarterly);
    await this.#askAmiss(quarterly);
    await this.payouts.untilOver(this.shops);
    await this.#endToday();
  }

  async #beginToday(): Promise<void> {
    const shop = this.shops.find(({ plan }) => plan === this.#today?.plan);
    if (!this.#today || !shop) return;
    await this.#postByHand(shop, this.#today.byHand);
    await this.#night(this.#today.dates[0], [shop]);
    for (const payout of this.#today.payouts) await this.payouts.afterNight(shop, payout);
  }

  async #endToday(): Promise<void> {
    const shop = this.shops.find(({ plan }) => plan === this.#today?.plan);
    const { endMs = 0, dates = [] } = this.#today ?? {};
    if (!shop) return;
    await until('today is over', () => Date.now() > endMs, TODAY_LIMIT_MS);
    await this.#night(dates[1] as string, [shop]);
  }

  async #step(step: Step, shops: readonly Shop[]): Promise<void> {
    await this.plans.sayUntil(nightMs(step.date));
    await Promise.all(shops.map((shop) => this.#evening(shop, step.evenings.get(shop.plan))));
    await this.#night(
      step.date,
      shops.filter(({ plan }) => !step.missing.has(plan)),
    );
    await Promise.all(shops.map((shop) => this.payouts.afterNight(shop, step.payouts.get(shop.plan))));
    await this.#afterStep?.(step, shops);
  }

  // ---- what happens

  async #evening(shop: Shop, evening: Evening | undefined): Promise<void> {
    if (!evening) return;
    for (let from = 0; from < evening.facts.length; from += BATCH)
      await this.#tell(shop, evening.facts.slice(from, from + BATCH));
    for (const one of evening.byHand) await this.#postByHand(shop, one);
  }

  /** Under one key, so that they are recorded in this order whoever is killed meanwhile. */
  async #tell({ key, plan }: Shop, facts: Evening['facts']): Promise<void> {
    const events = facts.map((fact) => wireOf(fact, { provider: plan.provider ?? PROVIDER, ref: fact.ref }));
    const answer = await this.client.post('/v1/provider_events/batch', key, { events }, true);
    if (answer.status !== 202) this.offences.push(`told ${facts.length} facts: ${tellOf(answer)}`);
    for (const [index, { outcome, payment_id, reason }] of (answer.body.results ?? []).entries()) {
      const { ref, id, type } = facts[index] as Evening['facts'][number];
      if (payment_id) this.paymentIds.set(ref, payment_id);
      if (!['applied', 'stale', 'parked'].includes(outcome))
        this.offences.push(`${type} ${id} was answered ${outcome}: ${reason}`);
    }
    this.counts.facts += facts.length;
  }

  async #postByHand({ key }: Shop, { name, currency, how, amounts, atMs, type }: ByHand): Promise<void> {
    const effective_at = new Date(atMs).toISOString();
    const sum = amounts.reduce((total, amount) => total + amount, 0n);
    const entries = [
      ...amounts.map((amount) => entryOf('merchant_payable', currency, amount)),
      entryOf('suspense', currency, -sum),
    ].filter(({ amount }) => amount !== '0');
    const status = how === 'held' ? 'pending' : 'posted';
    const id = await this.#posted(key, '/v1/transactions', { type, description: name, effective_at, status, entries });
    const size = sum < 0n ? -sum : sum;
    if (how === 'held') await this.#posted(key, `/v1/transactions/${id}/post`, { effective_at });
    if (how === 'reversed')
      await this.#posted(key, `/v1/transactions/${id}/reverse`, { effective_at, amount: String((size + 1n) / 2n) });
    this.counts.byHand += 1;
  }

  async #posted(key: string, path: string, body: object): Promise<string> {
    const answer = await this.client.post(path, key, body, true);
    if (answer.status !== 201) throw new Error(`${path}: ${tellOf(answer)}`);
    this.byHand.add(answer.body.id);
    return answer.body.id;
  }

  // ---- nights

  async #night(date: string, shops: readonly Shop[]): Promise<void> {
    const seen = await this.#heads();
    const some = shops.length < this.shops.length && { merchant_ids: shops.map(({ merchantId }) => merchantId) };
    await this.#harm?.begin();
    const asked = await this.client.post('/v1/settlement_runs', OPERATOR_KEY, { business_date: date, ...some }, true);
    if (asked.status !== 202) throw new Error(`the night of ${date}: ${tellOf(asked)}`);
    const run = await until(`the night of ${date}`, () => this.#ended(asked.body.id), RUN_LIMIT_MS);
    await this.#harm?.end();
    this.runs.push({ date, shops, run });
    for (const shop of shops) this.nights.get(shop)?.push({ date, seen: seen.get(shop.merchantId) ?? new Map() });
  }

  async #ended(id: string): Promise<Json> {
    await this.#harm?.strike();
    await sleep(LOOK_MS);
    const { body } = await this.client.get(`/v1/settlement_runs/${id}`, OPERATOR_KEY);
    return ['completed', 'failed'].includes(body.status) && body;
  }

  /** By merchant and currency: how far merchant_payable has come. */
  async #heads(): Promise<Map<string, Map<string, number>>> {
    const { rows } = await asAdmin(this.#fleet.on.ownerUrl, (owner) => owner.query(HEADS));
    const heads = new Map<string, Map<string, number>>();
    for (const { merchant, currency, version } of rows)
      heads.set(merchant, (heads.get(merchant) ?? new Map<string, number>()).set(currency, version));
    return heads;
  }

  /** What can only be refused, or is done already. */
  async #askAmiss(shops: readonly Shop[]): Promise<void> {
    const { date } = this.#quarter.steps.at(-1) as Step;
    await this.#night(date, shops);
    await this.#night(dayAfter(date, -7), shops.slice(0, 1));
    const shop = shops[0] as Shop;
    this.offences.push(...(await this.plans.changeThePast(shop, nightMs(dayAfter(date, -9)))));
    const refused = [
      { business_date: dayAfter(new Date().toISOString().slice(0, 10), 3) },
      { business_date: '2011-02-29' },
      { business_date: date, merchant_ids: ['1'] },
    ];
    for (const body of refused) {
      const answer = await this.client.post('/v1/settlement_runs', OPERATOR_KEY, body, true);
      if (answer.status !== 422) this.offences.push(`${JSON.stringify(body)}: ${tellOf(answer)}`);
    }
  }
}

function entryOf(name: string, currency: string, amount: bigint): Record<string, string> {
  const direction = amount < 0n ? 'debit' : 'credit';
  return { account_code: `${name}:${currency}`, currency, direction, amount: String(amount < 0n ? -amount : amount) };
}
