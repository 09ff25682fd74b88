import type { StatementFault } from '../../../apps/bank-simulator/src/statement-faults.js';
import { REPORT_FAULTS, type ReportFault } from '../../../apps/provider-simulator/src/reports/faults.js';
import type { Planted, ReportFormat } from '../../../apps/provider-simulator/src/reports/report.js';
import type { Dice } from '../../histories/history.js';
import { dayAfter } from '../../night/clocks.js';
import type { Shop } from '../../night/open-shops.js';
import type { Quarter, Step } from '../../night/quarter.js';
import type { Json } from '../../support/api.js';
import type { Desk, PlantedEntry } from './desk.js';
import { daysOf, slaOf } from './month.js';
import type { Credit, Processor } from './processor.js';
import { type Item, isKnown, isKnownUndone, itemsOf, toldIn } from './truth.js';

/** A fault of a report, or of a statement, and the break that it must come to. */
export interface Fault {
  readonly of: 'report' | 'statement';
  readonly fault: string;
  readonly found: readonly string[];
}

/** A shop's month at the desk: in each night the processor's report, what it pays in, and the bank's statement of the next banking day. */

const [SLA_DAYS, BANK_SLA_DAYS] = [3, 5];
/** How often a fault is planted that was planted before; and how often the bank is faster than the processor. */
const [AGAIN, BANK_FIRST] = [0.15, 0.2];

export class ShopMonth {
  readonly items: readonly Item[];
  readonly told: ReadonlyMap<string, string>;
  readonly credits: Credit[] = [];
  readonly faults: Fault[] = [];
  readonly offences: string[] = [];
  /** The last that the processor and the bank told, with what its report said of itself. */
  lastReport: { readonly to: string; readonly report: Json } | undefined;
  reports = 0;
  /** As they ended. */
  payouts: readonly Json[] = [];
  #statementsTo: string;
  readonly #stories: Map<string, Item[]>;

  constructor(
    readonly shop: Shop,
    readonly desk: Desk,
    private readonly processor: Processor,
    private readonly with_: { quarter: Quarter; dice: Dice; isFaulty: boolean },
  ) {
    const { quarter } = with_;
    const stories = quarter.happened.get(shop.plan) ?? [];
    this.#stories = new Map(stories.map((story) => [story.ref, itemsOf(story)]));
    this.items = [...this.#stories.values()].flat();
    this.told = toldIn(quarter, shop.plan);
    this.#statementsTo = quarter.since;
  }

  get format(): ReportFormat {
    return this.processor.format;
  }

  async night({ date }: Step): Promise<void> {
    const { quarter, dice } = this.with_;
    const days = daysOf(quarter, date);
    const faults = this.#chosen(days, date);
    const credits = this.processor.credits({ ...days, faults });
    for (const credit of credits) await this.desk.payIn(credit);
    this.credits.push(...credits);
    const report = () => this.#report(date, { ...days, faults });
    const isBankFirst = dice.next() < BANK_FIRST;
    if (!isBankFirst) await report();
    await this.#statements(date, days.to, isBankFirst);
    if (isBankFirst) await report();
  }

  async #report(date: string, days: { from: string; to: string; faults: readonly ReportFault[] }): Promise<void> {
    const { text } = this.processor.report(days);
    const { since } = this.with_.quarter;
    const slaDays = slaOf(date, SLA_DAYS, Date.now());
    const report = await this.desk.upload({ source: this.processor.format, from: since, to: days.to, slaDays }, text);
    if (report.rows_bad > 0) this.offences.push(`${date}: ${report.rows_bad} bad rows`);
    this.lastReport = { to: days.to, report };
    this.reports += 1;
  }

  /** Those of the banking days that have come by the night. */
  async #statements(date: string, until: string, isBankFirst: boolean): Promise<void> {
    const { quarter } = this.with_;
    const days = [...new Set(this.credits.map((credit) => credit.date))].filter(
      (day) => day > this.#statementsTo && day <= until,
    );
    for (const day of days.sort()) {
      const slaDays = slaOf(date, BANK_SLA_DAYS, Date.now());
      await this.statement({ day, from: quarter.since, slaDays, faults: this.#chosenOfBank(day, isBankFirst) });
      this.#statementsTo = day;
    }
  }

  /** `currency`: of that account alone. */
  async statement(asked: {
    day: string;
    from: string;
    slaDays: number;
    faults: readonly StatementFault[];
    currency?: string;
  }): Promise<void> {
    const { day, from, slaDays, faults, currency } = asked;
    const statement = await this.desk.statement({ day, faults, currency });
    if (!statement) return;
    const report = await this.desk.upload({ source: 'camt053', from, to: dayAfter(day, 1), slaDays }, statement.text);
    if (report.rows_bad > 0) this.offences.push(`statement of ${day}: ${report.rows_bad} bad rows`);
    this.faults.push(
      ...statement.planted.map((planted): Fault => ({ of: 'statement', ...breakOfEntry(planted, day, this.credits) })),
    );
    this.reports += 1;
  }

  // ---- faults

  /** A kind that is not yet there, wherever it comes to what it must; and now and then one again. */
  #chosen(days: { from: string; to: string }, date: string): ReportFault[] {
    if (!this.with_.isFaulty) return [];
    const { planted } = this.processor.report({ ...days, faults: [...REPORT_FAULTS] });
    const chosen = planted.flatMap((one) => {
      const found = this.#breaksOf(one, date);
      const isNew = !this.faults.some(({ of, fault }) => of === 'report' && fault === one.fault);
      return found && (isNew || this.with_.dice.next() < AGAIN)
        ? [{ of: 'report' as const, fault: one.fault, found }]
        : [];
    });
    const faults = chosen.map(({ fault }) => fault);
    // Of some alone another one may have nothing to befall.
    const there = new Set(this.processor.report({ ...days, faults }).planted.map(({ fault }) => fault));
    this.faults.push(...chosen.filter(({ fault }) => there.has(fault)));
    return faults;
  }

  /** Undefined: what is told late, or changes later, would make something else of it. */
  #breaksOf({ fault, reference, batch }: Planted, date: string): string[] | undefined {
    if (fault === 'unknown') return [`missing_in_ledger ${reference}`];
    if (fault === 'batch') return [`payout_mismatch ${batch}`];
    const items = this.#stories.get(reference) ?? [];
    if (fault === 'status') return this.#isUndone(items, date) ? [`status_mismatch ${reference}`] : undefined;
    const [capture, ...more] = items.filter(({ kind }) => kind === 'payment');
    // Stripe does not say which capture a row is of.
    if (!capture || more.length > 0 || !isKnown(capture, this.told, date)) return undefined;
    if (fault === 'fee') return this.#isSettled(capture, date) ? [`fee_mismatch ${reference}`] : undefined;
    if (fault === 'missing_row') return this.#isDueSoon(capture) ? undefined : [`missing_in_report ${reference}`];
    if (fault !== 'currency') return [`${fault === 'duplicate' ? fault : `${fault}_mismatch`} ${reference}`];
    if (this.processor.format !== 'stripe_payout_reconciliation') return [`currency_mismatch ${reference}`];
    return this.#isDueSoon(capture) ? undefined : [`currency_mismatch ${reference}`, `missing_in_report ${reference}`];
  }

  #isUndone(items: readonly Item[], date: string): boolean {
    return items
      .filter(({ kind, isUndone }) => kind === 'refund' && isUndone)
      .every((item) => isKnown(item, this.told, date) && isKnownUndone(item, this.told, date));
  }

  /** The provider had told by then what it kept of this and no other money. */
  #isSettled({ ref, amount }: Item, date: string): boolean {
    const story = this.with_.quarter.happened.get(this.shop.plan)?.find((one) => one.ref === ref);
    const settled = story?.happenings.filter(({ fact }) => fact.type === 'settled') ?? [];
    const [only, ...more] = settled;
    return (
      only !== undefined &&
      more.length === 0 &&
      only.fact.amount === amount &&
      (this.told.get(only.fact.id) ?? '9') <= date
    );
  }

  /** It would still be expected when the month is over. */
  #isDueSoon({ atMs }: Item): boolean {
    const last = this.with_.quarter.steps.at(-1)?.date as string;
    return atMs >= Date.parse(dayAfter(last, -SLA_DAYS));
  }

  /** What a processor pays in that it has not told of yet is nowhere in the ledger, whatever it comes to. */
  #chosenOfBank(day: string, isBankFirst: boolean): StatementFault[] {
    if (!this.with_.isFaulty || !this.credits.some(({ date }) => date === day)) return [];
    const faults: readonly StatementFault[] = isBankFirst ? ['balance', 'unknown'] : ['batch', 'balance', 'unknown'];
    return faults.filter(
      (fault) =>
        !this.faults.some((one) => one.of === 'statement' && one.fault === fault) || this.with_.dice.next() < AGAIN,
    );
  }
}

/** Payouts are called by their ids, and a statement by its day and currency. */
function breakOfEntry({ fault, reference }: PlantedEntry, day: string, credits: readonly Credit[]): Omit<Fault, 'of'> {
  const kinds: Record<string, string> = {
    missing_row: 'missing_in_report',
    duplicate: 'duplicate',
    status: 'status_mismatch',
    unknown: 'missing_in_ledger',
  };
  const kind = kinds[fault] ?? 'payout_mismatch';
  if (fault === 'balance') return { fault, found: [`${kind} ${day}-${reference}`] };
  const credit = credits.find((one) => reference.startsWith(`${one.reference} of `));
  // It is shown with a unit more than was paid in.
  if (fault === 'batch') return { fault, found: [`${kind} credit of ${(credit?.amount ?? 0n) + 1n}`] };
  return { fault, found: [`${kind} ${reference}`] };
}
