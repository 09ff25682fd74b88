import type {
  Acknowledgement,
  Balance,
  Cut,
  Fees,
  History,
  LedgerEntry,
  Read,
  Refusal,
  SettledDay,
  Sums,
  ToldVersions,
} from './history.js';
import { addsTo, type Expected, expectedOf, isMove, nameOf, originOf } from './oracle.js';

export interface CheckOptions {
  /** BALANCE_TTL_MS and BALANCE_L1_MAX_AGE_MS of the run. */
  readonly ttlMs: number;
  readonly l1MaxAgeMs: number;
  /**
   * When one process may have been cut off from a Redis that others reached: the one exception that is named (X2 of
   * docs/glossary.md). A `cached` read in there may be stale, for less than a TTL. Empty with
   * CACHE_WRITE_POLICY=strict, which excuses nothing.
   */
  readonly cut: readonly Cut[];
}

export interface Violation {
  readonly rule: string;
  readonly account: string | undefined;
  /** Around which time to look. */
  readonly at: number;
  readonly text: string;
}

export interface Verdict {
  /** Reads older than what had been told before they began. */
  readonly stale: readonly Violation[];
  /** Anything else that is wrong. */
  readonly wrong: readonly Violation[];
  /** Stale reads within the named exception. */
  readonly excused: readonly Excused[];
}

export interface Excused extends Violation {
  /** The fault that excuses it. */
  readonly cause: string;
  readonly behindMs: number;
}

/** A time at which somebody had been told a version. */
interface Told {
  readonly at: number;
  /** The greatest version told by then. */
  readonly version: number;
}

const NOTHING: Sums = [0n, 0n, 0n, 0n];

/** What a run left behind, by SQL of the judge's own. */
export interface Ledger {
  readonly entries: readonly LedgerEntry[];
  readonly balances: readonly Balance[];
  /** What settlements posted. */
  readonly fees: readonly Fees[];
}

/** Judges a history by the ledger that it left behind, and both by what clients asked for. */
export function check(history: History, ledger: Ledger, options: CheckOptions): Verdict {
  const { entries, balances } = ledger;
  const expected = expectedOf(history.asked, entries);
  const books = booksOf(entries, expected);
  const settled = settledVersions(history, ledger);
  const told = toldOf(history, settled);
  const stale: Violation[] = [];
  const wrong: Violation[] = [
    ...checkEffects(history, entries, expected),
    ...checkAnswers(history, entries),
    ...settled.filter(({ versions }) => versions.length === 0).map(lostDay),
    ...lostPayouts(history, books),
    ...checkRefusals(history, entries, expected),
    ...checkBatches(history, entries),
    ...checkBalances(balances, books),
  ];
  const excused: Excused[] = [];
  for (const read of history.reads) {
    const complain = (rule: string, text: string) =>
      wrong.push({ rule, account: read.account, at: read.completedAt, text });
    checkValue(read, books.get(read.account) ?? [], history, complain);
    if (read.version < read.minVersion) {
      complain('min_version', `asked for ${read.minVersion} at least: ${describeRead(read)}`);
    }
    const line = told.get(read.account) ?? [];
    const since = read.invokedAt - (read.consistency === 'bounded' ? options.l1MaxAgeMs : 0);
    const required = toldBefore(line, since);
    if (read.version >= required) continue;
    const behindMs = read.invokedAt - (line.find(({ version }) => version > read.version)?.at ?? read.invokedAt);
    const cut = options.cut.find(({ from, to }) => read.invokedAt <= to && read.completedAt >= from);
    const text = `${required} had been told, for ${behindMs.toFixed(1)} ms: ${describeRead(read)}`;
    const violation = { rule: 'stale', account: read.account, at: read.completedAt, text };
    if (read.consistency !== 'strong' && cut && behindMs < options.ttlMs) {
      excused.push({ ...violation, cause: cut.cause, behindMs });
    } else {
      stale.push(violation);
    }
  }
  return { stale, wrong, excused };
}

type Books = ReadonlyMap<string, readonly { entry: LedgerEntry; sums: Sums }[]>;

/** Each account's entries; at index v − 1 the sums at version v, of what was asked for. */
function booksOf(ledger: readonly LedgerEntry[], { effects }: Expected): Books {
  const books = new Map<string, { entry: LedgerEntry; sums: Sums }[]>();
  for (const entry of [...ledger].sort((left, right) => left.version - right.version)) {
    const book = books.get(entry.account) ?? [];
    const before = book.at(-1)?.sums ?? NOTHING;
    const effect = effects.get(nameOf(entry));
    const [pd, pc, hd, hc] = effect ? addsTo(entry.account, effect) : entry.adds;
    book.push({ entry, sums: [before[0] + pd, before[1] + pc, before[2] + hd, before[3] + hc] });
    if (book.length !== entry.version) throw new Error(`account ${entry.account} has no version ${book.length}`);
    books.set(entry.account, book);
  }
  return books;
}

type SettledVersions = SettledDay & ToldVersions;

/** What days that are settled have posted. */
function settledVersions({ settled }: History, { entries, fees }: Ledger): SettledVersions[] {
  const posted = Map.groupBy(entries, ({ transaction }) => transaction);
  const byDay = Map.groupBy(fees, ({ merchant, date }) => `${merchant} ${date}`);
  return settled.map((day) => {
    const transactions = byDay.get(`${day.merchant} ${day.date}`) ?? [];
    return { ...day, versions: transactions.flatMap(({ transaction }) => posted.get(transaction) ?? []) };
  });
}

function lostDay({ merchant, date, completedAt }: SettledDay): Violation {
  const text = `${date} of ${merchant} was settled, and has posted nothing`;
  return { rule: 'settled and lost', account: undefined, at: completedAt, text };
}

function lostPayouts({ payouts }: History, books: Books): Violation[] {
  return payouts.flatMap(({ versions, completedAt: at }) =>
    versions
      .filter(({ account, version }) => version > (books.get(account)?.length ?? 0))
      .map(({ account, version }) => ({ rule: 'paid out and lost', account, at, text: `version ${version} was told` })),
  );
}

/** What anybody had been told, by account, in the order of time and of version. */
function toldOf(
  { reads, acknowledgements, payouts }: History,
  settled: readonly SettledVersions[],
): Map<string, Told[]> {
  const events = [
    ...reads.map(({ account, version, completedAt }) => ({ account, version, at: completedAt })),
    ...[...acknowledgements, ...settled, ...payouts].flatMap(({ versions, completedAt }) =>
      versions.map((one) => ({ ...one, at: completedAt })),
    ),
  ].sort((left, right) => left.at - right.at);
  const told = new Map<string, Told[]>();
  for (const { account, version, at } of events) {
    const line = told.get(account) ?? [];
    if (version > (line.at(-1)?.version ?? 0)) line.push({ at, version });
    told.set(account, line);
  }
  return told;
}

/** The greatest version told before `at`. */
function toldBefore(line: readonly Told[], at: number): number {
  let low = 0;
  let high = line.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((line[middle]?.at ?? Number.POSITIVE_INFINITY) < at) low = middle + 1;
    else high = middle;
  }
  return line[low - 1]?.version ?? 0;
}

/** Its version exists, was not there before somebody asked for it, and has that value. */
function checkValue(
  read: Read,
  book: readonly { entry: LedgerEntry; sums: Sums }[],
  history: History,
  complain: (rule: string, text: string) => void,
): void {
  const at = book[read.version - 1];
  if (read.version > 0 && !at) {
    complain('never committed', `the ledger ends at ${book.length}: ${describeRead(read)}`);
    return;
  }
  const sums = at?.sums ?? NOTHING;
  if (sums.some((sum, index) => sum !== read.sums[index])) {
    complain('value', `the entries up to there make ${sums.join('/')}: ${describeRead(read)}`);
  }
  const asked = at && history.asked.get(at.entry.expiryOf ?? at.entry.key);
  if (asked && asked.invokedAt > read.completedAt) {
    complain('from the future', `${nameOf(at.entry)}: sent only at ${time(asked.invokedAt)}: ${describeRead(read)}`);
  }
}

/** Each key has one effect at most, that which it asked for. */
function checkEffects(history: History, ledger: readonly LedgerEntry[], { effects }: Expected): Violation[] {
  const wrong: Violation[] = [];
  const askedFor = ledger.filter(({ isAdjustment }) => !isAdjustment);
  for (const [name, entries] of Map.groupBy(askedFor, nameOf)) {
    const { account, key, expiryOf } = entries[0] as LedgerEntry;
    const asked = history.asked.get(expiryOf ?? key);
    if (!asked || (expiryOf !== undefined && !('expiresAt' in asked))) {
      wrong.push({ rule: 'unasked', account, at: 0, text: `nobody sent ${name}` });
      continue;
    }
    const effect = effects.get(name);
    const should = effect
      ? [effect.from, effect.to].map((one) => `${one} ${addsTo(one, effect).join('/')}`).sort()
      : ['nothing'];
    const found = entries.map((entry) => `${entry.account} ${entry.adds.join('/')}`).sort();
    if (`${should}` === `${found}` && new Set(entries.map(({ transaction }) => transaction)).size === 1) continue;
    const text = `${name} should have made ${should.join(', ')} once, and made ${found.join(', ')}`;
    wrong.push({ rule: 'effect', account: originOf(history.asked, asked)?.from ?? account, at: asked.invokedAt, text });
  }
  return wrong;
}

/** What was acknowledged is there, and is always the same. */
function checkAnswers(history: History, ledger: readonly LedgerEntry[]): Violation[] {
  const byKey = Map.groupBy(ledger, ({ key }) => key);
  return history.acknowledgements.flatMap((acknowledgement): Violation[] => {
    const { key, transaction, versions, completedAt: at } = acknowledgement;
    const text = describeAcknowledgement(acknowledgement);
    const entries = byKey.get(key) ?? [];
    const isThere = ({ account, version }: { account: string; version: number }) =>
      entries.some((one) => one.account === account && one.version === version && one.transaction === transaction);
    const lost = versions.filter((one) => !isThere(one));
    return [
      ...lost.map(({ account }) => ({ rule: 'acknowledged and lost', account, at, text })),
      ...(versions.length === 2 ? [] : [{ rule: 'answer', account: versions[0]?.account, at, text }]),
    ];
  });
}

/** All of a batch is there, or nothing. */
function checkBatches({ batches }: History, ledger: readonly LedgerEntry[]): Violation[] {
  const done = new Set(ledger.map(({ key }) => key));
  return [...batches].flatMap(([batch, keys]) => {
    const made = keys.filter((key) => done.has(key)).length;
    if (made === 0 || made === keys.length) return [];
    return [
      { rule: 'batch', account: undefined, at: 0, text: `${made} of ${keys.length} of batch ${batch} were made` },
    ];
  });
}

/** What was refused is not there, and could not have been: what is left of a hold or a posting only becomes less. */
function checkRefusals(history: History, ledger: readonly LedgerEntry[], expected: Expected): Violation[] {
  const done = new Set(ledger.map(({ key }) => key));
  return history.refusals.flatMap(({ key, code, completedAt }) => {
    const rule = done.has(key) ? 'refused and done' : isJust(history, { key, code }, expected) ? '' : 'refused';
    const asked = history.asked.get(key);
    const account = asked && originOf(history.asked, asked)?.from;
    return rule === '' ? [] : [{ rule, account, at: completedAt, text: `${key} was refused with ${code}` }];
  });
}

function isJust(
  history: History,
  { key, code }: Pick<Refusal, 'key' | 'code'>,
  { held, reversible }: Expected,
): boolean {
  // What was left above a floor in that moment is not told here: that it is never crossed is (books.ts).
  if (code === 'insufficient_funds') return true;
  const move = history.asked.get(key);
  if (!move || !isMove(move)) return false;
  const left = (move.kind === 'reverse' ? reversible : held).get(move.parent);
  if (left === undefined) return false;
  if (code === 'amount_exceeds_remaining') return (move.amount ?? 0n) > left;
  return left === 0n && code === (move.kind === 'reverse' ? 'already_reversed' : 'not_pending');
}

/** In the end every account has what was asked for. */
function checkBalances(balances: readonly Balance[], books: Books): Violation[] {
  return balances.flatMap(({ account, version, sums }) => {
    const book = books.get(account) ?? [];
    const should = book.at(-1)?.sums ?? NOTHING;
    if (version === book.length && sums.every((sum, index) => sum === should[index])) return [];
    const text = `ends with version ${version} = ${sums.join('/')}, and should with ${book.length} = ${should.join('/')}`;
    return [{ rule: 'end', account, at: 0, text }];
  });
}

/** What clients saw of an account in the seconds before a violation. */
export function storyOf(history: History, account: string, at: number, beforeMs = 3_000): string[] {
  const near = (one: { invokedAt: number; completedAt: number }) =>
    one.completedAt >= at - beforeMs && one.invokedAt <= at + 100;
  const lines = [
    ...history.reads
      .filter((read) => read.account === account && near(read))
      .map((read) => ({ at: read.completedAt, text: describeRead(read) })),
    ...history.acknowledgements
      .filter((one) => one.versions.some((touched) => touched.account === account) && near(one))
      .map((one) => ({ at: one.completedAt, text: describeAcknowledgement(one) })),
  ];
  return lines.sort((left, right) => left.at - right.at).map(({ text }) => text);
}

function describeRead(read: Read): string {
  const { account, consistency, minVersion, api, version, sums, source } = read;
  const least = minVersion > 0 ? `, at least ${minVersion}` : '';
  return `${span(read)} ${api} read ${account} (${consistency}${least}) version ${version} = ${sums.join('/')} from ${source}`;
}

function describeAcknowledgement(one: Acknowledgement): string {
  const versions = one.versions.map(({ account, version }) => `${account} version ${version}`).join(', ');
  return `${span(one)} ${one.api} ${one.replayed ? 'replayed' : 'posted'} ${one.key} as ${one.transaction}: ${versions}`;
}

function span({ invokedAt, completedAt }: { invokedAt: number; completedAt: number }): string {
  return `[${time(invokedAt)}, ${time(completedAt)}]`;
}

function time(at: number): string {
  return at.toFixed(1);
}
