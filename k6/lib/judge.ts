import type { AccountBook, Books, Line, Side, Transaction } from './books.ts';
import type { Noted } from './postings.ts';

/** Holds a merchant's books against what was written down, and against themselves. Pure. */
export interface Finding {
  readonly rule: string;
  readonly what: string;
}

export interface Beside {
  /** Transactions that are nobody's of the load: a night's, payments'. Where there may be some, balances are not foretold. */
  isOther?(transaction: Transaction): boolean;
}

export function judge(books: Books, noted: readonly Noted[], beside: Beside = {}): Finding[] {
  return [
    ...judgeTransactions(books, noted, beside),
    ...books.accounts.flatMap((account) => judgeAccount(account, books)),
    ...judgeSum(books),
    ...judgeLog(books),
    ...(beside.isOther ? [] : judgeTotals(books, noted)),
  ];
}

/** Each that was acknowledged is there once and as it was told; nothing else is. */
function judgeTransactions({ transactions }: Books, noted: readonly Noted[], { isOther }: Beside): Finding[] {
  const acknowledged = noted.filter(({ outcome }) => outcome === 'acknowledged');
  const byRef = grouped(transactions, ({ external_ref }) => external_ref ?? '');
  const told = new Set(acknowledged.map(({ ref }) => ref));
  return [
    ...noted
      .filter(({ outcome }) => outcome === 'open')
      .map(({ ref }) => found('the same key tells what was done', `${ref} has no definite answer`)),
    ...acknowledged.flatMap((posting) => judgePosting(posting, byRef.get(posting.ref) ?? [])),
    ...transactions
      .filter((one) => !told.has(one.external_ref ?? '') && !isOther?.(one))
      .map(({ id, external_ref }) => found('nothing is there that was not acknowledged', `${id} (${external_ref})`)),
  ];
}

function judgePosting(posting: Noted, there: readonly Transaction[]): Finding[] {
  const { ref, id, effect } = posting;
  const ids = there.map((one) => one.id);
  if (ids.length !== 1 || ids[0] !== id)
    return [
      found(
        'an acknowledged posting is there once',
        `${ref}, told as ${id}, is there as ${ids.join(', ') || 'nothing'}`,
      ),
    ];
  const entries = there[0]?.entries.map((entry) => `${entry.direction} ${entry.account_code} ${entry.amount}`) ?? [];
  const amount = effect?.kind === 'void' ? effect.held : posting.amount;
  const asked = [`debit ${posting.from} ${amount}`, `credit ${posting.to} ${amount}`];
  if (entries.sort().join() === asked.sort().join()) return [];
  return [found('a posting is as it was asked for', `${ref} has ${entries.join()}, not ${asked.join()}`)];
}

/** A balance, from the database and from the cache, is the fold of its statement, and no floor was passed. */
function judgeAccount(
  { code, balance, cached, statement, min_available: floor }: AccountBook,
  books: Books,
): Finding[] {
  const findings: Finding[] = [];
  const hold = (isSo: boolean, rule: string, what: string) => isSo || findings.push(found(rule, `${code}: ${what}`));
  const versions = statement.map((line) => line.account_version);
  const oughtToBe = statement.map((_, n) => String(statement.length - n));
  const isWhole = versions.join() === oughtToBe.join() && balance.version === String(statement.length);
  hold(isWhole, 'a statement has every version once', `${versions.length} lines at version ${balance.version}`);
  const sums = `${sumOf(statement, 'debit')} ${sumOf(statement, 'credit')}`;
  const is = `${balance.posted.debits} ${balance.posted.credits}`;
  hold(is === sums, 'a balance is the sum of its entries', `has ${is}, its entries ${sums}`);
  const [stored, seen] = [balance, cached].map(({ version, posted, pending }) =>
    JSON.stringify([version, posted, pending]),
  );
  hold(stored === seen, 'a cached balance is the stored one', `${seen}, not ${stored}`);
  const below = floor === null ? undefined : statement.find((line) => BigInt(line.available_after) < BigInt(floor));
  hold(!below, 'no balance is ever below its floor', `${below?.available_after} at version ${below?.account_version}`);
  const listed = new Set(books.transactions.map(({ id }) => id));
  const lost = statement.find(({ transaction_id }) => !listed.has(transaction_id));
  hold(!lost, 'a line is of a transaction that is listed', `${lost?.transaction_id}`);
  return findings;
}

function sumOf(statement: readonly Line[], side: Side): bigint {
  const lines = statement.filter(
    ({ direction, effect }) => direction === side && (effect === 'post' || effect === 'capture'),
  );
  return lines.reduce((sum, { amount }) => sum + BigInt(amount), 0n);
}

function judgeSum({ accounts }: Books): Finding[] {
  const sums = new Map<string, bigint>();
  for (const { balance } of accounts) {
    const { debits, credits } = balance.posted;
    sums.set(balance.currency, (sums.get(balance.currency) ?? 0n) + BigInt(debits) - BigInt(credits));
  }
  const off = [...sums].filter(([, sum]) => sum !== 0n);
  return off.map(([currency, sum]) => found("a merchant's balances sum to zero", `${sum} ${currency}`));
}

/** Each transaction is told by one event, accounts' versions come in order, and the events of an account add up to its balance. */
function judgeLog({ events, transactions, accounts }: Books): Finding[] {
  const findings: Finding[] = [];
  const moves = events.filter(({ data }) => data.entries && data.transaction_id !== undefined);
  const told = grouped(moves, ({ data }) => data.transaction_id as string);
  for (const { id } of transactions) {
    const times = told.get(id)?.length ?? 0;
    if (times !== 1) findings.push(found('a transaction is told by one event', `${id} by ${times}`));
  }
  if (new Set(events.map(({ id }) => id)).size !== events.length)
    findings.push(found('an event is told once', `${events.length} events have fewer ids`));
  const folds = new Map(accounts.map(({ id }) => [id, new Fold()]));
  for (const { data } of moves) for (const entry of data.entries ?? []) folds.get(entry.account_id)?.add(entry);
  for (const { id, code, balance } of accounts) {
    const { isInOrder, text } = folds.get(id) as Fold;
    if (!isInOrder) findings.push(found('events come in the order of their account', code));
    if (text !== totalsText(balance))
      findings.push(found('events add up to the balance', `${code}: ${text}, not ${totalsText(balance)}`));
  }
  return findings;
}

/** What was acknowledged adds up to the balances. */
function judgeTotals({ accounts }: Books, noted: readonly Noted[]): Finding[] {
  const folds = new Map(accounts.map(({ code }) => [code, new Fold()]));
  for (const { outcome, from, to, amount, effect = { kind: 'post' } } of noted) {
    if (outcome !== 'acknowledged') continue;
    const posted = effect.kind === 'post' || effect.kind === 'capture' ? amount : 0;
    const pending = effect.kind === 'hold' ? amount : 'held' in effect ? -effect.held : 0;
    folds.get(from)?.add({ direction: 'debit', posted: String(posted), pending: String(pending) });
    folds.get(to)?.add({ direction: 'credit', posted: String(posted), pending: String(pending) });
  }
  return accounts.flatMap(({ code, balance }) => {
    const { text } = folds.get(code) as Fold;
    if (text === totalsText(balance)) return [];
    return [found('balances are what was acknowledged', `${code} has ${totalsText(balance)}, not ${text}`)];
  });
}

/** Of entries of one account. */
class Fold {
  #version = 0;
  readonly #sums = { posted: { debit: 0n, credit: 0n }, pending: { debit: 0n, credit: 0n } };
  isInOrder = true;

  add(entry: { direction: Side; posted: string; pending: string; account_version?: string }): void {
    this.#version += 1;
    if (entry.account_version !== undefined && entry.account_version !== String(this.#version)) this.isInOrder = false;
    this.#sums.posted[entry.direction] += BigInt(entry.posted);
    this.#sums.pending[entry.direction] += BigInt(entry.pending);
  }

  get text(): string {
    const { posted, pending } = this.#sums;
    return `posted ${posted.debit}/${posted.credit} pending ${pending.debit}/${pending.credit}`;
  }
}

function totalsText({ posted, pending }: AccountBook['balance']): string {
  return `posted ${posted.debits}/${posted.credits} pending ${pending.debits}/${pending.credits}`;
}

/** What a follower has seen is the log, each event once and in its order. */
export function judgeFollower(name: string, heard: readonly string[], log: readonly string[]): Finding[] {
  const at = log.findIndex((id, n) => heard[n] !== id);
  if (at < 0 && heard.length === log.length) return [];
  const where = at < 0 ? log.length : at;
  return [
    found(
      'a follower sees every event once, in order',
      `${name} saw ${heard[where]} at place ${where}, where ${log[where]} is`,
    ),
  ];
}

function found(rule: string, what: string): Finding {
  return { rule, what };
}

function grouped<Item>(items: readonly Item[], by: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const key = by(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}
