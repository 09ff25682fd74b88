import type { Client, Json } from '../payments/client.js';
import { tellOf } from '../payments/teller.js';
import { OPERATOR_KEY } from './fleet.js';
import { PLAN_VERSIONS, type ShopPlan } from './shops.js';
import type { PlanVersion, Rule } from './tariff.js';

/** A shop of the quarter at the service. */
export interface Shop {
  readonly plan: ShopPlan;
  readonly merchantId: string;
  readonly key: string;
  readonly openedMs: number;
  /** By code. */
  readonly accounts: ReadonlyMap<string, string>;
}

/** What is planned for later is said when its time has come: plans change while days are settled by them. */
export class Plans {
  readonly #client: Client;
  readonly #versions: readonly PlanVersion[];
  readonly #ids = new Map<string, string>();
  #later: { readonly fromMs: number; readonly say: () => Promise<void> }[] = [];
  /** How far in the quarter plans have been said, by the clock of this machine. */
  readonly #said: { readonly untilMs: number; readonly nowMs: number }[] = [];

  constructor(client: Client, versions: readonly PlanVersion[] = PLAN_VERSIONS) {
    this.#client = client;
    this.#versions = versions;
  }

  async open(shopPlans: readonly ShopPlan[]): Promise<Shop[]> {
    for (const version of this.#versions) {
      if (version.version === 1) this.#ids.set(version.plan, (await this.#post('/v1/fee_plans', bodyOf(version))).id);
      else this.#plan(version.validFromMs, () => this.#addVersion(version));
    }
    const shops: Shop[] = [];
    for (const plan of shopPlans) shops.push(await this.#open(plan));
    return shops;
  }

  /** What the service calls it. */
  idOf(plan: string): string {
    return this.#ids.get(plan) as string;
  }

  /** Says what begins before that. */
  async sayUntil(atMs: number): Promise<void> {
    const due = this.#later.filter(({ fromMs }) => fromMs < atMs).sort((one, other) => one.fromMs - other.fromMs);
    this.#later = this.#later.filter((one) => !due.includes(one));
    for (const { say } of due) await say();
    this.#said.push({ untilMs: atMs, nowMs: Date.now() });
  }

  /** What began so late in the quarter had not been said yet by that time. */
  saidBy(nowMs: number): number {
    return this.#said.findLast((one) => one.nowMs <= nowMs)?.untilMs ?? -Infinity;
  }

  /** Both would change days that are settled: answers what did not refuse them. */
  async changeThePast({ merchantId }: Shop, atMs: number): Promise<string[]> {
    const first = this.#versions[0] as PlanVersion;
    const id = this.#ids.get(first.plan) as string;
    const other = this.#ids.get('flat');
    const valid_from = new Date(atMs).toISOString();
    const answers = [
      await this.#client.post(`/v1/fee_plans/${id}/versions`, OPERATOR_KEY, {
        ...bodyOf(first),
        valid_from,
        name: undefined,
      }),
      await this.#client.put(`/v1/merchants/${merchantId}/fee_plan`, OPERATOR_KEY, { fee_plan_id: other, valid_from }),
    ];
    return answers
      .filter(({ body }) => body.code !== 'invalid_transition')
      .map((answer) => `a plan of a settled day: ${tellOf(answer)}`);
  }

  async #open(plan: ShopPlan): Promise<Shop> {
    const { name, clock, currencies, plans } = plan;
    const first = plans[0]?.validFromMs === -Infinity ? this.#ids.get(plans[0].plan) : undefined;
    const body = await this.#post('/v1/merchants', {
      name,
      time_zone: clock.zone,
      settlement_cutoff: clock.cutoff,
      currencies,
      ...(first !== undefined && { fee_plan_id: first }),
    });
    for (const { plan: name, validFromMs } of plans) {
      if (validFromMs !== -Infinity) this.#plan(validFromMs, () => this.#assign(body.id, name, validFromMs));
    }
    if (plan.daily !== undefined) await this.#payDaily(body.id, plan.daily);
    return {
      plan,
      merchantId: body.id,
      key: body.api_key.secret,
      openedMs: Date.parse(body.created_at),
      accounts: new Map(body.accounts.map(({ code, id }: Json) => [code, id])),
    };
  }

  #plan(fromMs: number, say: () => Promise<void>): void {
    this.#later.push({ fromMs, say });
  }

  async #addVersion(version: PlanVersion): Promise<void> {
    await this.#post(`/v1/fee_plans/${this.#ids.get(version.plan)}/versions`, { ...bodyOf(version), name: undefined });
  }

  async #assign(merchantId: string, plan: string, validFromMs: number): Promise<void> {
    const body = { fee_plan_id: this.#ids.get(plan), valid_from: new Date(validFromMs).toISOString() };
    said(await this.#client.put(`/v1/merchants/${merchantId}/fee_plan`, OPERATOR_KEY, body));
  }

  async #payDaily(merchantId: string, destination: string): Promise<void> {
    const body = { schedule: 'daily', destination };
    said(await this.#client.put(`/v1/merchants/${merchantId}/payout_schedule`, OPERATOR_KEY, body));
  }

  async #post(path: string, body: object): Promise<Json> {
    return said(await this.#client.post(path, OPERATOR_KEY, body, true));
  }
}

function said(answer: { status: number; body: Json }): Json {
  if (answer.status >= 300) throw new Error(tellOf(answer));
  return answer.body;
}

function bodyOf({ plan, validFromMs, refundReturnsFee, rules }: PlanVersion): object {
  return {
    name: plan,
    ...(validFromMs !== -Infinity && { valid_from: new Date(validFromMs).toISOString() }),
    refund_returns_fee: refundReturnsFee,
    rules: rules.map(ruleBodyOf),
  };
}

function ruleBodyOf({ appliesTo, currency, percentBps, fixed, min, max, tierFrom }: Rule): object {
  return {
    applies_to: appliesTo,
    currency,
    percent_bps: percentBps,
    fixed: String(fixed),
    ...(min !== undefined && { min: String(min) }),
    ...(max !== undefined && { max: String(max) }),
    ...(tierFrom !== undefined && { tier_from: String(tierFrom) }),
  };
}
