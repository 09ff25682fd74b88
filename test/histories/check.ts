import type { Acknowledgement, Cut, History, LedgerEntry, Read, Sums } from './history.js';

export interface CheckOptions {
  /** BALANCE_TTL_MS and BALANCE_L1_MAX_AGE_MS of the run. */
  readonly ttlMs: number;
  readonly l1MaxAgeMs: number;
  /**
   * When one process may have been cut off from a Redis that others reached: the one exception that is named (X2 of
   * balance-cache-model.md). A `cached` read in there may be stale, for less than a TTL. Empty with
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

/** Judges a history by the ledger that it left behind. */
export function check(history: History, ledger: readonly LedgerEntry[], options: CheckOptions): Verdict {
  const books = booksOf(ledger);
  const told = toldOf(history);
  const stale: Violation[] = [];
  const wrong: Violation[] = [...checkPostings(history, ledger)];
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

/** Each account's entries; at index v − 1 the sums at version v. */
function booksOf(ledger: readonly LedgerEntry[]): Map<string, { entry: LedgerEntry; sums: Sums }[]> {
  const books = new Map<string, { entry: LedgerEntry; sums: Sums }[]>();
  for (const entry of [...ledger].sort((left, right) => left.version - right.version)) {
    const book = books.get(entry.account) ?? [];
    const before = book.at(-1)?.sums ?? NOTHING;
    const [pd, pc, hd, hc] = entry.adds;
    book.push({ entry, sums: [before[0] + pd, before[1] + pc, before[2] + hd, before[3] + hc] });
    if (book.length !== entry.version) throw new Error(`account ${entry.account} has no version ${book.length}`);
    books.set(entry.account, book);
  }
  return books;
}

/** What anybody had been told, by account, in the order of time and of version. */
function toldOf({ reads, acknowledgements }: History): Map<string, Told[]> {
  const events = [
    ...reads.map(({ account, version, completedAt }) => ({ account, version, at: completedAt })),
    ...acknowledgements.flatMap(({ versions, completedAt }) => versions.map((one) => ({ ...one, at: completedAt }))),
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
  const posting = at && history.postings.get(at.entry.key);
  if (posting && posting.invokedAt > read.completedAt) {
    complain('from the future', `${at.entry.key} was sent only at ${time(posting.invokedAt)}: ${describeRead(read)}`);
  }
}

/** Each key has one effect at most, that of its posting; what was acknowledged is there, and is always the same. */
function checkPostings(history: History, ledger: readonly LedgerEntry[]): Violation[] {
  const wrong: Violation[] = [];
  const byKey = Map.groupBy(ledger, ({ key }) => key);
  const complain = (rule: string, account: string | undefined, at: number, text: string) =>
    wrong.push({ rule, account, at, text });
  for (const [key, entries] of byKey) {
    const posting = history.postings.get(key);
    const first = entries[0] as LedgerEntry;
    if (!posting) {
      complain('unasked', first.account, 0, `nobody sent ${key}`);
      continue;
    }
    const { from, to, amount, invokedAt } = posting;
    const expected = [`${from} ${amount}/0/0/0`, `${to} 0/${amount}/0/0`].sort().join(', ');
    const found = entries.map(({ account, adds }) => `${account} ${adds.join('/')}`);
    if (found.sort().join(', ') !== expected || new Set(entries.map(({ transaction }) => transaction)).size !== 1) {
      complain('effect', from, invokedAt, `${key} should have made ${expected} once, and made ${found.join(', ')}`);
    }
  }
  for (const acknowledgement of history.acknowledgements) {
    const { key, transaction, versions, completedAt } = acknowledgement;
    const entries = byKey.get(key) ?? [];
    for (const { account, version } of versions) {
      const there = entries.some(
        (entry) => entry.account === account && entry.version === version && entry.transaction === transaction,
      );
      if (!there) {
        complain('acknowledged and lost', account, completedAt, describeAcknowledgement(acknowledgement));
      }
    }
    if (versions.length !== 2) {
      complain('answer', versions[0]?.account, completedAt, describeAcknowledgement(acknowledgement));
    }
  }
  return wrong;
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
