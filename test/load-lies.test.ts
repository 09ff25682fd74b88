import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Books, LedgerEvent } from '../k6/lib/books.ts';
import { judge, judgeFollower } from '../k6/lib/judge.ts';
import { type Merchant, type Noted, type Posting, post, postBatch } from '../k6/lib/postings.ts';
import { type Verdict, verifyMerchant } from '../k6/lib/verify.ts';
import { LIES, serveLies, TOLD_TO } from '../scripts/load/lies.mjs';
import { TestApi, transfer, WITHOUT_BUDGETS } from './support/api.js';
import { LoadWorld } from './support/load-world.js';

/** The load suite's library, without k6, in front of a service that is lied for: what it would not notice it cannot prove. */

const WALLETS = 4;
const POSTINGS = 40;
const BATCH = 5;
const POOR = 'wallet:poor';
const REFUSALS = ['insufficient_funds'];

let api: TestApi;
beforeAll(async () => {
  api = await TestApi.start({ environment: WITHOUT_BUDGETS });
});
afterAll(() => api.stop());

async function open(): Promise<Merchant> {
  const merchant = await api.merchant('EUR');
  for (let n = 0; n < WALLETS; n += 1) await merchant.open(`wallet:${n}`);
  await merchant.open(POOR, { min_available: '0' });
  return { id: merchant.id, key: merchant.apiKey.secret };
}

/** Postings by several clients at once, holds that are captured and voided, refusals, and batches of either mode. */
async function load(world: LoadWorld, merchant: Merchant): Promise<Noted[]> {
  const noted: Noted[] = [];
  const send = async (posting: Posting) => {
    const told = await post(world, merchant, posting, REFUSALS);
    noted.push(told.noted);
    return told.noted;
  };
  const one = (n: number): Posting => {
    const from = n % 10 === 9 ? POOR : `wallet:${n % WALLETS}`;
    return { merchant: merchant.id, ref: `p-${n}`, from, to: `wallet:${(n + 1) % WALLETS}`, amount: 10 + n };
  };
  await Promise.all(Array.from({ length: POSTINGS }, (_, n) => send(one(n))));
  for (const kind of ['capture', 'void'] as const) {
    const about = { ...one(1), amount: 50 };
    const { id } = await send({ ...about, ref: `hold-${kind}`, effect: { kind: 'hold' } });
    if (id !== undefined) await send({ ...about, ref: kind, amount: 20, effect: { kind, parent: id, held: 50 } });
  }
  for (const mode of ['atomic', 'independent'] as const) {
    const batch = { ref: mode, mode };
    const items = Array.from({ length: BATCH }, (_, n) => ({ ...one(n), ref: `${mode}-${n}`, batch }));
    noted.push(...(await postBatch(world, merchant, items, REFUSALS)).noted);
  }
  return noted;
}

async function runWith(lie: string): Promise<{ noted: Noted[]; verdict: Verdict; world: LoadWorld }> {
  const merchant = await open();
  const liar = await serveLies(api.url, (LIES[lie] as (typeof LIES)[string])());
  const world = new LoadWorld(liar.url);
  const noted = await load(world, merchant);
  const verdict = await verifyMerchant(world, merchant, noted, { refusals: REFUSALS });
  liar.close();
  return { noted, verdict, world };
}

const rulesOf = ({ findings }: Verdict): string[] => [...new Set(findings.map(({ rule }) => rule))];

describe('the verification of the load suite', () => {
  test('finds nothing where all is true, and counts what it found', async () => {
    const merchant = await open();
    const world = new LoadWorld(api.url);
    const noted = await load(world, merchant);
    const verdict = await verifyMerchant(world, merchant, noted, { refusals: REFUSALS });
    expect(verdict.findings).toEqual([]);
    const refused = noted.filter(({ outcome }) => outcome === 'refused').length;
    expect(refused).toBeGreaterThan(0);
    expect(verdict).toMatchObject({ acknowledged: noted.length - refused, resolved: 0 });
    expect(verdict.books.transactions).toHaveLength(noted.length - refused);
    expect(world.kinds.wrong).toBeUndefined();
  });

  test.each(['cut', 'busy'])('takes “%s” for ambiguous, and the same key tells what was done', async (lie) => {
    const { verdict, world } = await runWith(lie);
    expect(verdict.findings).toEqual([]);
    expect(world.kinds.ambiguous).toBeGreaterThan(0);
    expect(world.kinds.wrong).toBeUndefined();
  });

  test.each(['cut', 'busy'])('is told “%s” of batches as well: each is there once', async (lie) => {
    const merchant = await open();
    const liar = await serveLies(api.url, (LIES[lie] as (typeof LIES)[string])());
    const world = new LoadWorld(liar.url);
    const noted: Noted[] = [];
    for (let n = 0; n < BATCH; n += 1) {
      const about = { merchant: merchant.id, from: 'wallet:0', to: 'wallet:1', amount: 1 + n };
      const batch = { ref: `only-${n}`, mode: 'atomic' } as const;
      const items = [0, 1].map((item) => ({ ...about, ref: `${batch.ref}-${item}`, batch }));
      noted.push(...(await postBatch(world, merchant, items)).noted);
    }
    const { findings } = await verifyMerchant(world, merchant, noted);
    liar.close();
    expect(findings).toEqual([]);
    expect(world.kinds).toMatchObject({ ambiguous: 1 });
    expect(liar.lied()).toBe(1);
  });

  test('knows how often it was lied to: what is true, or nobody asked about, is not counted', async () => {
    const merchant = await open();
    const liedOf = async (lie: string) => {
      const liar = await serveLies(api.url, (LIES[lie] as (typeof LIES)[string])());
      const posting = { merchant: merchant.id, ref: lie, from: 'wallet:0', to: 'wallet:1', amount: 7 };
      await post(new LoadWorld(liar.url), merchant, posting);
      liar.close();
      return liar.lied();
    };
    for (const idle of ['gap', 'repeat', 'disorder', 'deaf', 'gross', 'stale', 'lost'])
      expect(await liedOf(idle)).toBe(0);
    expect(await liedOf('keyless')).toBe(1);
  });

  test('asks for what is open by the same key: what was done is told, what was not is done', async () => {
    const merchant = await open();
    const world = new LoadWorld(api.url);
    const one = (ref: string): Posting => ({ merchant: merchant.id, ref, from: 'wallet:0', to: 'wallet:1', amount: 7 });
    const batch = { ref: 'b', mode: 'atomic' } as const;
    const items = [0, 1].map((n) => ({ ...one(`b-${n}`), batch }));
    await post(world, merchant, one('done'));
    await postBatch(world, merchant, items);
    const noted = [one('done'), one('never-sent'), ...items].map((posting) => ({
      ...posting,
      outcome: 'open' as const,
    }));
    const verdict = await verifyMerchant(world, merchant, noted);
    expect(verdict).toMatchObject({ findings: [], acknowledged: 4, resolved: 4 });
  });

  test.each([
    ['lost', 'an acknowledged posting is there once'],
    ['twice', 'an acknowledged posting is there once'],
    ['changed', 'a posting is as it was asked for'],
    ['changed', 'balances are what was acknowledged'],
    ['disorder', 'events come in the order of their account'],
    ['error', 'the same key tells what was done'],
  ])('notices “%s”: %s', async (lie, rule) => {
    expect(rulesOf((await runWith(lie)).verdict)).toContain(rule);
  });

  test('is shown a lie for every scenario that there is', async () => {
    const { readdirSync } = await import('node:fs');
    const there = readdirSync(new URL('../k6', import.meta.url)).flatMap((file) => /^(.+)\.ts$/.exec(file)?.[1] ?? []);
    expect(Object.keys(TOLD_TO).sort()).toEqual(there.sort());
    for (const name of Object.values(TOLD_TO).flat()) expect(Object.keys(LIES)).toContain(name);
  });
});

describe('the judge', () => {
  let books: Books;
  let noted: Noted[];
  beforeAll(async () => {
    const merchant = await open();
    const world = new LoadWorld(api.url);
    noted = await load(world, merchant);
    ({ books } = await verifyMerchant(world, merchant, noted, { refusals: REFUSALS }));
  });

  const moves = (): LedgerEvent[] => books.events.filter(({ data }) => data.entries);
  /** The same books, with one account changed. */
  const withAccount = (change: (account: Books['accounts'][number]) => object): Books => {
    const at = books.accounts.findIndex(({ statement }) => statement.length > 1);
    return { ...books, accounts: books.accounts.map((one, n) => (n === at ? { ...one, ...change(one) } : one)) };
  };
  const more = (totals: { debits: string; credits: string }) => ({
    ...totals,
    debits: String(BigInt(totals.debits) + 1n),
  });

  test.each<[string, (given: Books) => Books]>([
    ['an acknowledged posting is there once', (given) => ({ ...given, transactions: given.transactions.slice(1) })],
    [
      'nothing is there that was not acknowledged',
      (given) => ({
        ...given,
        transactions: [...given.transactions, { ...given.transactions[0], external_ref: 'x' }] as never,
      }),
    ],
    ['a line is of a transaction that is listed', (given) => ({ ...given, transactions: given.transactions.slice(1) })],
    ['a statement has every version once', () => withAccount(({ statement }) => ({ statement: statement.slice(1) }))],
    [
      'a balance is the sum of its entries',
      () => withAccount(({ balance }) => ({ balance: { ...balance, posted: more(balance.posted) } })),
    ],
    [
      'events add up to the balance',
      () => withAccount(({ balance }) => ({ balance: { ...balance, pending: more(balance.pending) } })),
    ],
    [
      'a cached balance is the stored one',
      () => withAccount(({ cached }) => ({ cached: { ...cached, posted: more(cached.posted) } })),
    ],
    [
      "a merchant's balances sum to zero",
      () => withAccount(({ balance }) => ({ balance: { ...balance, posted: more(balance.posted) } })),
    ],
    [
      'balances are what was acknowledged',
      () => withAccount(({ balance }) => ({ balance: { ...balance, posted: more(balance.posted) } })),
    ],
    [
      'no balance is ever below its floor',
      () =>
        withAccount(({ statement: [line, ...rest] }) => ({
          min_available: '0',
          statement: [{ ...line, available_after: '-1' }, ...rest],
        })),
    ],
    [
      'a transaction is told by one event',
      (given) => ({ ...given, events: given.events.filter((event) => event !== moves()[3]) }),
    ],
    ['an event is told once', (given) => ({ ...given, events: [...given.events, ...moves().slice(-1)] })],
    ['events come in the order of their account', (given) => ({ ...given, events: [...given.events].reverse() })],
  ])('knows when it is not so: %s', (rule, change) => {
    expect(judge(books, noted, {})).toEqual([]);
    expect(judge(change(books), noted, {}).map((finding) => finding.rule)).toContain(rule);
  });

  test('leaves alone what others have posted, where there are others', async () => {
    const others = { isOther: ({ type }: { type: string }) => type !== 'transfer' };
    const merchant = await api.merchant('EUR');
    await merchant.open('wallet:0');
    await merchant.posted({ ...transfer('wallet:0', 'cash:EUR', '5'), type: 'settlement' });
    const own = { id: merchant.id, key: merchant.apiKey.secret };
    const verdict = await verifyMerchant(new LoadWorld(api.url), own, [], others);
    expect(verdict.findings).toEqual([]);
    expect(judge(verdict.books, []).length).toBeGreaterThan(0);
  });

  test.each([
    ['missed one', ['a', 'c']],
    ['was told one twice', ['a', 'b', 'b', 'c']],
    ['was told them the wrong way around', ['b', 'a', 'c']],
    ['came to no end', ['a', 'b']],
    ['was told of one that is not there', ['a', 'b', 'c', 'd']],
    ['was told nothing', []],
  ])('knows a follower that %s', (_what, heard) => {
    expect(judgeFollower('one', heard, ['a', 'b', 'c'])).toHaveLength(1);
    expect(judgeFollower('one', ['a', 'b', 'c'], ['a', 'b', 'c'])).toEqual([]);
  });
});
