import { isDeepStrictEqual } from 'node:util';
import type pg from 'pg';
import type { Client, Json } from '../payments/client.js';
import type { LivedQuarter } from './lived.js';
import type { Shop } from './open-shops.js';
import {
  type Amounts,
  amountsOf,
  type Line,
  type Outcome,
  type Posted,
  type Settled,
  type Settlement,
  settle,
} from './oracle.js';
import { listOf } from './payouts.js';
import type { Quarter } from './quarter.js';
import { type Recorded, recordOf } from './record.js';
import { PLAN_VERSIONS } from './shops.js';
import type { Story } from './stories.js';

/** One shop's quarter: what the service says of it, and what the ledger has. */
export interface Ledgered {
  readonly shop: Shop;
  readonly stories: readonly Story[];
  readonly settlements: readonly Json[];
  /** By settlement. */
  readonly lines: ReadonlyMap<string, readonly Json[]>;
  readonly payouts: readonly Json[];
  readonly recorded: Recorded;
}

const AT_ONCE = 8;

export async function readShop(
  shop: Shop,
  sources: { lived: LivedQuarter; quarter: Quarter; client: Client; owner: pg.Client },
): Promise<Ledgered> {
  const { lived, quarter, client, owner } = sources;
  const stories = quarter.stories.get(shop.plan) ?? [];
  const settlements = await listOf(client, '/v1/settlements?', shop.key);
  const payouts = (await lived.payouts.all(shop)).toReversed();
  const lines = new Map<string, Json[]>();
  const left = settlements.map(({ id }) => id as string);
  const read = async (): Promise<void> => {
    for (let id = left.pop(); id; id = left.pop())
      lines.set(id, await listOf(client, `/v1/settlements/${id}/lines?`, shop.key));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, read));
  const recorded = await recordOf(shop, { stories, lived, settlements, payouts, owner });
  return { shop, stories, settlements, lines, payouts, recorded };
}

/** A planted one answers otherwise. */
export interface Oracle {
  readonly settle: typeof settle;
  readonly amountsOf: typeof amountsOf;
}

/** What is wrong with a shop's settlements, and what they should be. */
export function judgeShop(
  ledgered: Ledgered,
  lived: LivedQuarter,
  oracle: Oracle = { settle, amountsOf },
): [string[], Settled] {
  const { shop, recorded } = ledgered;
  const { clock, plans } = shop.plan;
  const terms = { clock, plans, versions: PLAN_VERSIONS, openedMs: shop.openedMs };
  const should = oracle.settle(terms, recorded.posted, lived.nights.get(shop) ?? []);
  const offences = [
    ...recorded.offences,
    ...wrongSettlements(ledgered, should, { lived, amounts: oracle.amountsOf }),
    ...wrongFees(ledgered),
    ...wrongUnsettled(ledgered, should),
  ];
  return [offences.map((offence) => `${shop.plan.name}: ${offence}`), should];
}

function wrongSettlements(
  ledgered: Ledgered,
  { settlements }: Settled,
  { lived, amounts }: { lived: LivedQuarter; amounts: Oracle['amountsOf'] },
): string[] {
  const is = new Map(ledgered.settlements.map((one) => [`${one.business_date} ${one.currency}`, one]));
  const offences: string[] = is.size === ledgered.settlements.length ? [] : ['a day was settled twice'];
  for (const settlement of settlements) {
    const name = `${settlement.day.date} ${settlement.currency}`;
    const found = is.get(name);
    is.delete(name);
    offences.push(...differences(name, found && shownOf(found), shouldBe(settlement, amounts(settlement))));
    if (!found) continue;
    const lines = (ledgered.lines.get(found.id) ?? []).map(lineOf).sort(byVersion);
    const wanted = settlement.lines.map((line) => lineShouldBe(line, lived)).sort(byVersion);
    for (let index = 0; index < Math.max(lines.length, wanted.length); index += 1)
      offences.push(...differences(`line ${index} of ${name}`, lines[index], wanted[index]));
  }
  return [...offences, ...[...is.keys()].map((name) => `${name} should not be settled`)];
}

const byVersion = (left: { version: number }, right: { version: number }): number => left.version - right.version;

/** What does not depend on how it was made. */
export function shownOf(settlement: Json): Json {
  const { business_date, currency, period, status, gross, refunds, disputes, other, adjustments, fees, net, items } =
    settlement;
  const amounts = { gross, refunds, disputes, other, adjustments, fees, net };
  return { business_date, currency, period, status, ...amounts, items, has_fees: settlement.transaction_id !== null };
}

function shouldBe({ day, currency }: Settlement, { items, ...amounts }: Amounts): Json {
  return {
    business_date: day.date,
    currency,
    period: { from: isoOf(day.fromMs), to: isoOf(day.toMs) },
    status: 'posted',
    ...Object.fromEntries(Object.entries(amounts).map(([name, amount]) => [name, String(amount)])),
    items,
    has_fees: amounts.fees !== 0n,
  };
}

function lineOf(line: Json): { version: number } & Json {
  const { kind, payment_id, transaction_id, account_version, amount, fee, effective_at, business_date } = line;
  return {
    version: Number(account_version),
    kind,
    payment_id,
    transaction_id,
    amount,
    fee,
    effective_at,
    business_date,
    plan: line.fee_plan_id === null ? null : `${line.fee_plan_id} ${line.fee_plan_version}`,
  };
}

function lineShouldBe(line: Line, { plans }: LivedQuarter): { version: number } & Json {
  const { kind, payment, transaction, version, amount, charged, atMs, date, plan } = line;
  return {
    version,
    kind,
    payment_id: kind === 'other' || kind === 'payout' ? null : (payment ?? null),
    transaction_id: transaction,
    amount: String(amount),
    fee: String(charged),
    effective_at: isoOf(atMs),
    business_date: date,
    plan: plan ? `${plans.idOf(plan.plan)} ${plan.version}` : null,
  };
}

/** A settlement's fees are what its transaction took. */
function wrongFees({ settlements, recorded }: Ledgered): string[] {
  return settlements.flatMap(({ business_date, currency, fees, transaction_id }) => {
    const took = transaction_id === null ? 0n : recorded.fees.get(transaction_id);
    return took === BigInt(fees) ? [] : [`${business_date} ${currency} has fees of ${fees}, and ${took} was taken`];
  });
}

/** What is on the account and in no line. */
function wrongUnsettled({ recorded, lines, settlements }: Ledgered, { unsettled }: Settled): string[] {
  const currencies = new Map(settlements.map(({ id, currency }) => [id, currency]));
  const taken = new Set<string>();
  const offences: string[] = [];
  for (const [id, all] of lines)
    for (const { account_version } of all) {
      const name = `${currencies.get(id)} ${account_version}`;
      if (taken.has(name)) offences.push(`entry ${name} was settled twice`);
      taken.add(name);
    }
  const nameOf = ({ currency, version }: Posted): string => `${currency} ${version}`;
  const is = recorded.posted.map(nameOf).filter((name) => !taken.has(name));
  return [...offences, ...differences('what is unsettled', is.sort(), unsettled.map(nameOf).sort())];
}

/** What each run said of its merchants. */
export function wrongRuns(lived: LivedQuarter, settled: ReadonlyMap<Shop, Settled>): string[] {
  const next = new Map<Shop, number>();
  return lived.runs.flatMap(({ date, shops, run }) => {
    const outcomes = shops.map((shop): Outcome => {
      const night = next.get(shop) ?? 0;
      next.set(shop, night + 1);
      return settled.get(shop)?.outcomes[night] ?? 'not_due';
    });
    const count = (outcome: Outcome): number => outcomes.filter((one) => one === outcome).length;
    const merchants = { settled: count('settled'), empty: count('empty'), not_due: count('not_due'), failed: 0 };
    const should = { status: 'completed', merchants: { total: shops.length, ...merchants } };
    return differences(`the run of ${date}`, { status: run.status, merchants: run.merchants }, should);
  });
}

/** One line, of the members that differ where both are objects. */
export function differences(what: string, is: unknown, should: unknown): string[] {
  if (isDeepStrictEqual(is, should)) return [];
  const both = [is, should].map((one) => (isObject(one) ? one : { '': one }));
  const names = new Set(both.flatMap((one) => Object.keys(one)));
  const wrong = [...names].filter((name) => !isDeepStrictEqual(both[0]?.[name], both[1]?.[name]));
  const [one, other] = both.map((all) => wrong.map((name) => `${name} ${JSON.stringify(all[name])}`).join(', '));
  return [`${what} is ${one} and should be ${other}`];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

const isoOf = (atMs: number): string => new Date(atMs).toISOString();
