import type pg from 'pg';
import { dayAfter, Wall } from '../../night/clocks.js';
import type { LivedQuarter } from '../../night/lived.js';
import { listOf } from '../../night/payouts.js';
import type { Quarter } from '../../night/quarter.js';
import { bankingDayAfter } from './month.js';
import type { ShopMonth } from './shop-month.js';
import { type Item, isKnown, isKnownUndone, paidIn, settledSums } from './truth.js';

/** What must be left of a shop's month, and what is. */

export interface Judged {
  readonly found: readonly string[];
  /** What is open although nothing was wrong with any report: what nobody has told yet. */
  readonly waiting: readonly string[];
  readonly offences: readonly string[];
  readonly sums: readonly Sums[];
  readonly counts: Readonly<Record<'rows' | 'items' | 'ended', number>>;
}

export interface Sums {
  readonly shop: string;
  readonly currency: string;
  readonly settled: bigint;
  /** Reported and not settled yet, less what is settled and will not be reported. */
  readonly onTheWay: bigint;
  readonly reported: bigint;
  /** What processors keep of it, but for what disputes cost; and what they owe, or are owed where that is below zero. */
  readonly fees: bigint;
  readonly atProcessor: bigint;
  readonly banked: bigint;
}

export interface Sources {
  readonly lived: LivedQuarter;
  readonly quarter: Quarter;
  readonly owner: pg.Client;
}

const DAY_MS = 86_400_000;

export async function judge(month: ShopMonth, sources: Sources): Promise<Judged> {
  const { quarter, owner } = sources;
  const { shop, desk, faults, lastReport } = month;
  if (!lastReport) throw new Error(`${shop.plan.name} has no report`);
  const { waiting, expected } = left(month, quarter.steps.at(-1)?.date as string);
  const all = await desk.breaks();
  const found = all
    .filter(({ status }) => status === 'open')
    .map(({ kind, reference, actual }) => `${kind} ${isBanks(reference) ? `credit of ${actual.amount}` : reference}`);
  const offences = [...month.offences];
  if (lastReport.report.expected !== expected)
    offences.push(`${lastReport.report.expected} are expected and should be ${expected}`);
  const items = await itemsIn(owner, shop.merchantId);
  const sums = await sumsOf(month, sources);
  if (faults.length === 0) {
    offences.push(...differing('matched', items, matchable(month, sources)), ...wrongSums(sums, month, sources));
    const unmatched = await owner.query('SELECT FROM report_rows WHERE merchant_id = $1 AND rule IS NULL', [
      shop.merchantId,
    ]);
    const lacking = waiting.filter((one) => one.startsWith('missing_in_ledger')).length;
    if (unmatched.rowCount !== lacking)
      offences.push(`${unmatched.rowCount} rows are not matched and should be ${lacking}`);
  }
  const { rows } = await owner.query('SELECT count(*)::int AS n FROM report_rows WHERE merchant_id = $1', [
    shop.merchantId,
  ]);
  const ended = all.filter(({ status }) => status === 'auto_resolved').length;
  return {
    found,
    waiting,
    offences: offences.map((offence) => `${shop.plan.name}: ${offence}`),
    sums,
    counts: { rows: rows[0].n, items: items.length, ended },
  };
}

/** What the processor has told of a day that it has reported, unless it was asked to be silent of it. */
const isReported = ({ isUndone, atMs }: Item, to: string): boolean => !isUndone && atMs < Date.parse(to);

function left({ items, told, lastReport }: ShopMonth, last: string): { waiting: string[]; expected: number } {
  const { to = '', report } = lastReport ?? {};
  const dueMs = Date.parse(report.completed_at) - report.sla_days * DAY_MS;
  const waiting: string[] = [];
  let expected = 0;
  for (const item of items) {
    const known = isKnown(item, told, last);
    if (isReported(item, to) && !known) waiting.push(`missing_in_ledger ${item.ref}`);
    const isAbsent = known && !isReported(item, to) && !isKnownUndone(item, told, last) && !item.isWon;
    if (!isAbsent || item.atMs >= Date.parse(to)) continue;
    if (item.atMs <= dueMs) waiting.push(`missing_in_report ${item.ref}`);
    else expected += 1;
  }
  return { waiting, expected };
}

/** What others pay in is called by the bank's own name of it, which nobody here knows. */
const isBanks = (reference: string | null): boolean => reference?.startsWith('COUNTERFOIL-') ?? false;

async function itemsIn(owner: pg.Client, merchantId: string): Promise<string[]> {
  const { rows } = await owner.query('SELECT item FROM reconciled_items WHERE merchant_id = $1', [merchantId]);
  return rows.map(({ item }) => item);
}

/** What is there on both of its sides: with its payment, at the bank, or both. */
function matchable(
  { items, told, lastReport, credits, payouts, format }: ShopMonth,
  { lived, quarter }: Sources,
): string[] {
  const last = quarter.steps.at(-1)?.date as string;
  return [
    ...items
      .filter((item) => isReported(item, lastReport?.to ?? '') && isKnown(item, told, last))
      .map(({ ref, kind, object }) => `payment/${lived.paymentIds.get(ref)}/${kind}/${object}`),
    ...credits
      .filter(({ date }) => date <= dayAfter(last, 1))
      .map(({ batch, currency }) => `batch/${format}/${batch}/${currency}`),
    ...payouts.flatMap(({ id, status }) => {
      if (status === 'returned') return [`payout/${id}`, `return/${id}`];
      return status === 'paid' ? [`payout/${id}`] : [];
    }),
  ];
}

function differing(what: string, is: readonly string[], should: readonly string[]): string[] {
  const [one, other] = [new Set(is), new Set(should)];
  return [
    ...[...other.difference(one)].map((name) => `${name} is not ${what}`),
    ...[...one.difference(other)].map((name) => `${name} is ${what}`),
    ...(is.length === one.size ? [] : [`something is ${what} twice`]),
  ];
}

// ---- sums

const TOLD = `
SELECT currency, source = 'camt053' AS is_bank,
       sum(gross - CASE WHEN type = 'dispute' THEN fee ELSE 0 END)::text AS amount
  FROM report_rows
 WHERE merchant_id = $1 AND CASE WHEN source = 'camt053' THEN type = 'other' ELSE type IN ('payment', 'refund', 'dispute', 'dispute_reversed') END
 GROUP BY 1, 2`;

async function sumsOf(month: ShopMonth, sources: Sources): Promise<Sums[]> {
  const { shop } = month;
  const { rows } = await sources.owner.query(TOLD, [shop.merchantId]);
  const told = (currency: string, isBank: boolean): bigint =>
    BigInt(rows.find((row) => row.currency === currency && row.is_bank === isBank)?.amount ?? 0);
  return Promise.all(
    shop.plan.currencies.map(async (currency) => ({
      shop: shop.plan.name,
      currency,
      settled: await settledOf(month, currency, sources),
      onTheWay: onTheWay(month, currency, sources),
      reported: told(currency, false),
      ...atProcessor(month, currency, sources),
      banked: told(currency, true),
    })),
  );
}

async function settledOf({ shop }: ShopMonth, currency: string, { lived }: Sources): Promise<bigint> {
  let settled = 0n;
  for (const { id } of await listOf(lived.client, `/v1/settlements?currency=${currency}&`, shop.key))
    for (const { kind, amount } of await listOf(lived.client, `/v1/settlements/${id}/lines?`, shop.key))
      if (['payment', 'refund', 'dispute'].includes(kind)) settled += BigInt(amount);
  return settled;
}

const endOf = ({ shop }: ShopMonth, { quarter }: Sources): number =>
  new Wall(shop.plan.clock).day(quarter.steps.at(-1)?.date as string).toMs;

/** What was reported and not paid in, told from what happened. */
function atProcessor(month: ShopMonth, currency: string, sources: Sources): Pick<Sums, 'fees' | 'atProcessor'> {
  const { items, lastReport } = month;
  const to = lastReport?.to ?? '';
  const fees = paidIn(items, Date.parse(to)).fees.get(currency) ?? 0n;
  const paid = paidIn(items, Date.parse(paidUntil(lastNight(sources)))).paid.get(currency) ?? 0n;
  const reported = items
    .filter((item) => item.currency === currency && isReported(item, to))
    .reduce((sum, item) => sum + grossOf(item), 0n);
  return { fees, atProcessor: reported - fees - paid };
}

const lastNight = ({ quarter }: Sources): string => quarter.steps.at(-1)?.date as string;

/** What a dispute costs is taken from the merchant with it. */
const grossOf = ({ kind, amount, fee }: Item): bigint => amount - (kind === 'dispute' ? fee : 0n);

/** Item by item: what is reported of it, less what is settled of it. */
function onTheWay(month: ShopMonth, currency: string, sources: Sources): bigint {
  const last = lastNight(sources);
  const endMs = endOf(month, sources);
  const { items, told, lastReport } = month;
  let sum = 0n;
  for (const item of items.filter((one) => one.currency === currency)) {
    if (isReported(item, lastReport?.to ?? '')) sum += grossOf(item);
    sum -= settledOfItem(item, { told, last, endMs });
  }
  return sum;
}

interface Until {
  readonly told: ReadonlyMap<string, string>;
  readonly last: string;
  readonly endMs: number;
}

function settledOfItem(item: Item, { told, last, endMs }: Until): bigint {
  const isThere = (facts: readonly { id: string; occurredAtMs: number }[]): boolean =>
    facts.some(({ id, occurredAtMs }) => (told.get(id) ?? '9') <= last && occurredAtMs < endMs);
  const fee = isThere(item.charges) ? item.fee : 0n;
  if (!isKnown(item, told, last) || item.atMs >= endMs) return -fee;
  return (isThere(item.undoing) ? 0n : item.amount) - fee;
}

/** The three sides are what happened, and nothing that is on two of them differs. */
function wrongSums(all: readonly Sums[], month: ShopMonth, sources: Sources): string[] {
  const { quarter } = sources;
  const { shop, items, credits } = month;
  const last = quarter.steps.at(-1)?.date as string;
  const should = settledSums(quarter.stories.get(shop.plan) ?? [], endOf(month, sources));
  const { paid } = paidIn(items, Date.parse(paidUntil(last)));
  const seen = (currency: string): bigint =>
    credits
      .filter((one) => one.currency === currency && one.date <= dayAfter(last, 1))
      .reduce((sum, { amount }) => sum + amount, 0n);
  return all.flatMap(({ currency, settled, onTheWay: way, reported, fees, atProcessor: owed, banked }) => [
    ...(settled === (should.get(currency) ?? 0n)
      ? []
      : [`${settled} ${currency} are settled and should be ${should.get(currency)}`]),
    ...(settled + way === reported
      ? []
      : [`${settled} ${currency} are settled, ${way} on the way, and ${reported} reported`]),
    ...(reported - fees - owed === banked
      ? []
      : [`${reported} ${currency} are reported, ${fees} of it fees, ${owed} owed, and ${banked} banked`]),
    ...(banked === (paid.get(currency) ?? 0n) && banked === seen(currency)
      ? []
      : [
          `${banked} ${currency} are banked, and should be ${paid.get(currency)}, of which ${seen(currency)} were paid in`,
        ]),
  ]);
}

/** The end of the last day whose money the bank has booked by the night of a date. */
function paidUntil(last: string): string {
  let day = last;
  while (bankingDayAfter(day) > dayAfter(last, 1)) day = dayAfter(day, -1);
  return dayAfter(day, 1);
}
