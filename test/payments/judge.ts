import { isDeepStrictEqual } from 'node:util';
import type pg from 'pg';
import { ACCOUNTS, type AccountName, type Standing } from './books.js';
import type { Client, Json } from './client.js';
import type { Life } from './lives.js';
import { PROVIDER, type Shop } from './teller.js';

export type Ended = ReadonlyMap<Shop, readonly Life[]>;

/** What each payment's transactions come to; debits count up. */
const MOVED = `
SELECT p.provider_ref AS ref, a.code, sum(e.direction * e.posted_amount)::text AS posted, sum(e.direction * e.pending_amount)::text AS pending
  FROM (SELECT merchant_id, provider_ref, unnest(transactions) AS transaction_id FROM payments WHERE merchant_id = $1) p
  JOIN entries e USING (merchant_id, transaction_id)
  JOIN accounts a ON a.merchant_id = e.merchant_id AND a.id = e.account_id
 GROUP BY 1, 2`;

const FACTS = `SELECT subject, fact_id, outcome FROM payment_facts WHERE merchant_id = $1 AND source = 'provider'`;

/** Facts with another number of events than they should have, and events of none. */
const EVENTS = `
WITH told AS (
  SELECT data #>> '{payment,id}' AS payment, data #>> '{fact,event_id}' AS event_id, type, count(*) AS times
    FROM events WHERE merchant_id = $1 AND type LIKE 'payment.%' GROUP BY 1, 2, 3
), should AS (
  SELECT p.id::text AS payment, f.event_id, 'payment.' || f.type AS type, f.outcome
    FROM payment_facts f JOIN payments p USING (merchant_id, subject) WHERE f.merchant_id = $1
)
SELECT payment, event_id, type, outcome, coalesce(times, 0) AS times FROM should FULL JOIN told USING (payment, event_id, type)
 WHERE coalesce(times, 0) <> CASE WHEN outcome = 'applied' THEN 1 ELSE 0 END`;

const AMOUNTS = ['authorised', 'capturable', 'captured', 'refunded', 'disputed', 'settled'] as const;
const PAGE = 200;
const AT_ONCE = 8;

/** Whether every payment, every account and the log are what happened: told by the lives, not by \`position\`. */
export async function judge(ended: Ended, client: Client, owner: pg.Client): Promise<string[]> {
  const offences: string[] = [];
  for (const [shop, lives] of ended) {
    offences.push(...(await wrongPayments(shop, lives, client)));
    offences.push(...(await wrongTransactions(shop, lives, owner)));
    offences.push(...(await wrongBalances(shop, lives, client)));
    offences.push(...(await wrongFacts(shop, lives, owner)));
    const { rows } = await owner.query(EVENTS, [shop.merchantId]);
    offences.push(...rows.map((row) => `events: ${JSON.stringify(row)}`));
  }
  return offences;
}

async function wrongPayments({ key }: Shop, lives: readonly Life[], client: Client): Promise<string[]> {
  const shown = new Map<string, Json>();
  for (let cursor = ''; ; ) {
    const { body } = await client.get(`/v1/payments?limit=${PAGE}${cursor}`, key);
    for (const payment of body.data) shown.set(payment.provider_ref, payment);
    if (!body.next_cursor) break;
    cursor = `&cursor=${encodeURIComponent(body.next_cursor)}`;
  }
  const wrong = lives.flatMap(({ ref, seed, currency, end }) => {
    const payment = shown.get(ref);
    const should = {
      currency,
      status: end.status,
      ...Object.fromEntries(AMOUNTS.map((name) => [name, String(end[name])])),
    };
    const is = payment && {
      currency: payment.currency,
      status: payment.status,
      ...Object.fromEntries(AMOUNTS.map((name) => [name, payment[`amount_${name}`]])),
    };
    if (isDeepStrictEqual(is, should)) return [];
    return [`${ref} (life ${seed}) is ${JSON.stringify(is)} and should be ${JSON.stringify(should)}`];
  });
  return shown.size === lives.length ? wrong : [...wrong, `there are ${shown.size} payments of ${lives.length} lives`];
}

async function wrongTransactions({ merchantId }: Shop, lives: readonly Life[], owner: pg.Client): Promise<string[]> {
  const { rows } = await owner.query<Record<string, string>>(MOVED, [merchantId]);
  const moved = new Map<string, string[]>();
  for (const { ref = '', code, posted, pending } of rows) {
    if (posted !== '0' || pending !== '0') moved.set(ref, [...(moved.get(ref) ?? []), `${code} ${posted} ${pending}`]);
  }
  return lives.flatMap(({ ref, seed, currency, end }) => {
    const is = (moved.get(ref) ?? []).sort().join(', ');
    const should = ACCOUNTS.map((name) => ({ name, ...end.accounts[name] }))
      .filter(({ posted, pending }) => posted !== 0n || pending !== 0n)
      .map(({ name, posted, pending }) => `${name}:${currency} ${posted} ${pending}`)
      .sort()
      .join(', ');
    return is === should ? [] : [`${ref} (life ${seed}) has moved ${is}, and should have ${should}`];
  });
}

async function wrongBalances({ key, accounts }: Shop, lives: readonly Life[], client: Client): Promise<string[]> {
  const sums = new Map<string, { posted: bigint; pending: bigint }>();
  for (const { currency, end } of lives) {
    for (const [name, { posted, pending }] of Object.entries(end.accounts) as [
      AccountName,
      Standing['accounts'][AccountName],
    ][]) {
      const sum = sums.get(`${name}:${currency}`) ?? { posted: 0n, pending: 0n };
      sums.set(`${name}:${currency}`, { posted: sum.posted + posted, pending: sum.pending + pending });
    }
  }
  const codes = [...accounts.keys()];
  const wrong: string[] = [];
  const one = async (): Promise<void> => {
    for (let code = codes.pop(); code; code = codes.pop()) {
      const { body } = await client.get(`/v1/accounts/${accounts.get(code)}/balance?consistency=strong`, key);
      const is = [body.posted, body.pending].map(({ debits, credits }: Json) => BigInt(debits) - BigInt(credits));
      const { posted, pending } = sums.get(code) ?? { posted: 0n, pending: 0n };
      if (is[0] !== posted || is[1] !== pending) wrong.push(`${code} has ${is}, and should have ${[posted, pending]}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  return wrong;
}

/** Everything that was told is known once, and nothing waits. */
async function wrongFacts({ merchantId }: Shop, lives: readonly Life[], owner: pg.Client): Promise<string[]> {
  const { rows } = await owner.query<Record<string, string>>(FACTS, [merchantId]);
  const known = new Map(rows.map(({ subject, fact_id, outcome }) => [`${subject} ${fact_id}`, outcome]));
  const wrong: string[] = [];
  for (const { ref, facts, rejected } of lives) {
    for (const { id, source } of facts) {
      if (source === 'request') continue;
      const name = `${PROVIDER}/${ref} ${id}`;
      const outcome = known.get(name);
      known.delete(name);
      const should = rejected.includes(id) ? ['rejected'] : ['applied', 'stale'];
      if (!should.includes(outcome ?? '')) wrong.push(`fact ${name} is ${outcome ?? 'lost'}`);
    }
  }
  return [...wrong, ...[...known.keys()].map((name) => `nobody told ${name}`)];
}
