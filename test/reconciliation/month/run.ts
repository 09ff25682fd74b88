import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inject } from 'vitest';
import { Dice } from '../../histories/history.js';
import { dayAfter } from '../../night/clocks.js';
import { LivedQuarter } from '../../night/lived.js';
import type { Shop } from '../../night/open-shops.js';
import type { Step } from '../../night/quarter.js';
import { Client } from '../../payments/client.js';
import { TestApi } from '../../support/api.js';
import { asAdmin } from '../../support/database.js';
import { NO_CALENDAR } from '../../support/no-calendar.js';
import { SimulatedBank } from '../../support/simulated-bank.js';
import { startWorker } from '../../support/worker.js';
import { Desk } from './desk.js';
import { type Judged, judge } from './judge.js';
import { type Month, type MonthOptions, monthOf, VERSIONS } from './month.js';
import { Processor } from './processor.js';
import { type Fault, ShopMonth } from './shop-month.js';

/** A month is lived through at a real API and worker, with a bank in a process of its own; each night is reconciled. */

export interface MonthOutcome {
  readonly name: string;
  readonly reports: number;
  readonly seconds: number;
  readonly shops: readonly (Judged & { readonly faults: readonly Fault[] })[];
  readonly offences: readonly string[];
}

const DELAY_MS = '300';
/** Longer than a month takes to be lived through. */
const NEVER_MS = '36000000';
const SETTINGS = { PAYOUT_ASK_SCHEDULE_S: '1,2', RECONCILIATION_UPLOADS: '24' };
const WORKS = { RECONCILIATION_INTERVAL_MS: '200', SETTLEMENT_INTERVAL_MS: '500', RECONCILIATION_CONCURRENCY: '4' };
/** What each shop pays out in the end, one after the other: the bank has something to be wrong about. */
const LAST_PAYOUTS = [
  ['bank_contradicts', 'failed'],
  ['bank_ok', 'paid'],
  ['bank_ok', 'paid'],
  ['bank_ok', 'paid'],
] as const;
const LAST_FAULTS = ['missing_row', 'duplicate', 'amount', 'status'] as const;

export async function runMonth(options: MonthOptions, isFaulty: boolean): Promise<MonthOutcome> {
  const month = monthOf(options, Date.now());
  const cleanup: (() => unknown)[] = [];
  try {
    const folder = mkdtempSync(join(tmpdir(), 'counterfoil-month-'));
    cleanup.push(() => rmSync(folder, { recursive: true }));
    const delays = { BANK_DELAY_MS: DELAY_MS, BANK_RETURN_DELAY_MS: DELAY_MS };
    const bank = await SimulatedBank.start({ BANK_STATE: join(folder, 'bank.jsonl'), ...delays });
    cleanup.push(() => bank.end());
    const queue = inject('redisQueueUrl');
    const environment = { ...SETTINGS, ...bank.settings, REDIS_QUEUE_URL: queue };
    const api = await TestApi.start({ environment });
    cleanup.push(() => api.stop());
    bank.callBack(`${api.url}/v1/bank/callbacks`);
    await asAdmin(api.on.ownerUrl, (owner) => owner.query(NO_CALENDAR));
    cleanup.push(await startWorker(api.on, { ...environment, ...WORKS }));
    return await new MonthRun({ api, bank, month, seed: options.seed, isFaulty }).run();
  } finally {
    for (const step of cleanup.reverse()) await step();
  }
}

interface Running {
  readonly api: TestApi;
  readonly bank: SimulatedBank;
  readonly month: Month;
  readonly seed: number;
  readonly isFaulty: boolean;
}

class MonthRun {
  readonly #of: Running;
  readonly #lived: LivedQuarter;
  readonly #months = new Map<Shop, ShopMonth>();
  readonly #firstDay = today();

  constructor(of: Running) {
    this.#of = of;
    const { api, month, seed } = of;
    const client = new Client([api], new Dice(seed));
    const afterStep = (step: Step, shops: readonly Shop[]) => this.#reconcile(step, shops);
    this.#lived = new LivedQuarter({ client, on: api.on }, month.quarter, { versions: VERSIONS, afterStep });
  }

  async run(): Promise<MonthOutcome> {
    const { api, isFaulty, month } = this.#of;
    const from = performance.now();
    await this.#lived.run();
    if (isFaulty) await this.#payOutWrong();
    else await this.#each((one) => this.#statementsOfToday(one));
    const seconds = (performance.now() - from) / 1_000;
    const months = [...this.#months.values()];
    const shops = await asAdmin(api.on.ownerUrl, async (owner) => {
      const judged: MonthOutcome['shops'][number][] = [];
      for (const one of months) {
        one.payouts = await this.#lived.payouts.all(one.shop);
        judged.push({
          ...(await judge(one, { lived: this.#lived, quarter: month.quarter, owner })),
          faults: one.faults,
        });
      }
      return judged;
    });
    const reports = months.reduce((sum, one) => sum + one.reports, 0);
    const offences = [...this.#lived.offences, ...shops.flatMap((one) => one.offences), ...api.errors];
    return { name: month.name, reports, seconds, shops, offences };
  }

  async #reconcile(step: Step, shops: readonly Shop[]): Promise<void> {
    for (const shop of shops) if (!this.#months.has(shop)) this.#months.set(shop, this.#begin(shop));
    await this.#each(async (one) => {
      await one.night(step);
      // What was paid out was paid today, whatever night it is.
      if (step.payouts.has(one.shop.plan) || one.shop.plan.daily !== undefined) await this.#statementsOfToday(one);
    });
  }

  #begin(shop: Shop): ShopMonth {
    const { api, bank, month, seed, isFaulty } = this.#of;
    const stories = month.quarter.happened.get(shop.plan) ?? [];
    const processor = new Processor(stories, month.formats.get(shop.plan) ?? 'generic', seed);
    const dice = new Dice(seed + 104_729 * (this.#months.size + 1));
    const desk = new Desk(api, bank, shop.merchantId);
    return new ShopMonth(shop, desk, processor, { quarter: month.quarter, dice, isFaulty });
  }

  async #each(work: (one: ShopMonth) => Promise<void>): Promise<void> {
    await Promise.all([...this.#months.values()].map(work));
  }

  /** As far as they go, once more each time: what is paid out is booked when it is, and that is today. */
  async #statementsOfToday(one: ShopMonth): Promise<void> {
    for (let day = this.#firstDay; day <= today(); day = dayAfter(day, 1))
      await one.statement({ day, from: day, slaDays: 0, faults: [] });
  }

  /** What nobody was shown yet is shown wrong. A payout that failed stays so: its bank says otherwise, but it says it late. */
  async #payOutWrong(): Promise<void> {
    const { bank, api } = this.#of;
    await bank.end();
    await bank.start({ BANK_DELAY_MS: NEVER_MS });
    bank.callBack(`${api.url}/v1/bank/callbacks`);
    await this.#each(async (one) => {
      await this.#statementsOfToday(one);
      const currency = await this.#stillOwed(one);
      if (currency === undefined) return;
      for (const [destination, end] of LAST_PAYOUTS)
        await this.#lived.payouts.payOne(one.shop, currency, destination, end);
      await one.statement({ day: today(), from: today(), slaDays: 0, faults: LAST_FAULTS, currency });
    });
  }

  /** The currency of which there is enough to pay out. */
  async #stillOwed({ shop }: ShopMonth): Promise<string | undefined> {
    for (const currency of shop.plan.currencies)
      if ((await this.#lived.payouts.left(shop, currency)) >= BigInt(LAST_PAYOUTS.length)) return currency;
    return undefined;
  }
}

const today = (): string => new Date().toISOString().slice(0, 10);
