import type pg from 'pg';
import { ACCOUNTS } from '../payments/books.js';
import type { Client } from '../payments/client.js';
import { differences, type Ledgered } from './judge.js';
import type { LivedQuarter } from './lived.js';
import type { Shop } from './open-shops.js';
import { amountsOf, type Posted, type Settled } from './oracle.js';
import { ENDS } from './payouts.js';
import { PLAN_VERSIONS } from './shops.js';
import { bookOf } from './stories.js';
import { chargeOf, type Rule, validAt } from './tariff.js';

const sumOf = (amounts: readonly bigint[]): bigint => amounts.reduce((sum, amount) => sum + amount, 0n);

/** Every account of a shop is explained: by what happened, by what was posted by hand, by fees, and by what was paid out. */
export async function wrongBalances(ledgered: Ledgered, settled: Settled, client: Client): Promise<string[]> {
  const { shop } = ledgered;
  const should = new Map(shop.plan.currencies.flatMap((currency) => [...shouldHave(ledgered, settled, currency)]));
  const offences: string[] = [];
  for (const [code, id] of shop.accounts) {
    const { body } = await client.get(`/v1/accounts/${id}/balance?consistency=strong`, shop.key);
    const is = BigInt(body.posted.debits) - BigInt(body.posted.credits);
    offences.push(...differences(`${shop.plan.name}: ${code}`, String(is), String(should.get(code) ?? 0n)));
  }
  return offences;
}

/** By code; debits count up. */
function shouldHave(ledgered: Ledgered, settled: Settled, currency: string): Map<string, bigint> {
  const of = <T extends { currency: string }>(all: readonly T[]): T[] => all.filter((one) => one.currency === currency);
  const book = bookOf(of(ledgered.stories).flatMap(({ happenings }) => happenings)).balances();
  const amounts = of(settled.settlements).map(amountsOf);
  const byHand = sumOf(of(ledgered.recorded.posted).map(({ kind, amount }) => (kind === 'other' ? amount : 0n)));
  const out = of(ledgered.payouts).filter(({ status }) => status === 'paid');
  const paid = sumOf(out.map(({ amount }) => BigInt(amount)));
  const open = of(settled.unsettled).map(({ kind, amount }: Posted) => (kind === 'payout' ? 0n : amount));
  // The law: what was settled and what is not, less what was paid out.
  const owed = sumOf(amounts.map(({ net }) => net)) - paid + sumOf(open);
  return new Map([
    ...ACCOUNTS.map((name) => [`${name}:${currency}`, book[name].posted] as const),
    [`cash:${currency}`, book.cash.posted - paid],
    [`suspense:${currency}`, byHand],
    [`fee_revenue:${currency}`, -sumOf(amounts.map(({ fees }) => fees))],
    [`merchant_payable:${currency}`, -owed],
  ]);
}

/** Each payout that was accepted ended where its destination says, and cost what plans said when it was asked for. */
export function wrongPayouts({ shop, payouts }: Ledgered, lived: LivedQuarter): string[] {
  return payouts.flatMap(({ id, amount, currency, destination, status, fee, transactions, created_at }) => {
    const rules = rulesOf(shop, lived.plans.saidBy(Date.parse(created_at)));
    const charge = chargeOf(rules, { kind: 'payout', currency, amount: BigInt(amount), volume: 0n });
    const should = { status: ENDS[destination], fee: String(charge?.fee ?? 0n) };
    const repeated = new Set(transactions).size !== transactions.length;
    return [
      ...differences(`${shop.plan.name}: payout ${id} to ${destination}`, { status, fee }, should),
      ...(repeated ? [`${shop.plan.name}: payout ${id} has a transaction twice`] : []),
    ];
  });
}

/** What counts today, of what had been said by then. */
function rulesOf({ plan }: Shop, saidUntilMs: number): readonly Rule[] {
  const wasSaid = ({ validFromMs }: { validFromMs: number }): boolean =>
    validFromMs === -Infinity || validFromMs < saidUntilMs;
  const on = validAt(plan.plans.filter(wasSaid), Date.now());
  const versions = PLAN_VERSIONS.filter((version) => version.plan === on?.plan && wasSaid(version));
  return validAt(versions, Date.now())?.rules ?? [];
}

/** The bank was told of each payout once, and of nothing else. */
export function wrongInstructions(instructions: readonly Record<string, string>[], all: readonly Ledgered[]): string[] {
  const told = instructions.map(({ key, amount, currency }) => `${key} ${amount} ${currency}`);
  const should = all.flatMap(({ shop, payouts }) =>
    payouts.map(({ id, amount, currency }) => `${shop.merchantId}-${id} ${amount} ${currency}`),
  );
  return differences('what the bank was told', told.sort(), should.sort());
}

const POSTED = `
SELECT data ->> 'settlement_id' AS id, data ->> 'net' AS net FROM events WHERE merchant_id = $1 AND type = 'settlement.posted'`;

/** Each settlement was told once. */
export async function wrongEvents({ shop, settlements }: Ledgered, owner: pg.Client): Promise<string[]> {
  const { rows } = await owner.query<{ id: string; net: string }>(POSTED, [shop.merchantId]);
  const [told, should] = [rows, settlements].map((all) => all.map(({ id, net }) => `${id} ${net}`).sort());
  return differences(`${shop.plan.name}: what was told of settlements`, told, should);
}
