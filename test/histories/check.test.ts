import { describe, expect, test } from 'vitest';
import { type CheckOptions, check, storyOf } from './check.js';
import type {
  Acknowledgement,
  Asked,
  Balance,
  Fees,
  History,
  LedgerEntry,
  Read,
  Refusal,
  SettledDay,
  Sums,
  ToldVersions,
} from './history.js';

/** Planted violations: a checker that finds none of them would find nothing in a run either. */

const OPTIONS: CheckOptions = { ttlMs: 1_000, l1MaxAgeMs: 300, cut: [] };
const POSTINGS: readonly [string, Asked][] = [
  ['k1', { kind: 'transfer', from: 'a', to: 'b', amount: 5n, invokedAt: 10 }],
  ['k2', { kind: 'transfer', from: 'a', to: 'c', amount: 7n, invokedAt: 30 }],
];
const LEDGER: readonly LedgerEntry[] = [
  { account: 'a', version: 1, adds: [5n, 0n, 0n, 0n], transaction: 't1', key: 'k1' },
  { account: 'b', version: 1, adds: [0n, 5n, 0n, 0n], transaction: 't1', key: 'k1' },
  { account: 'a', version: 2, adds: [7n, 0n, 0n, 0n], transaction: 't2', key: 'k2' },
  { account: 'c', version: 1, adds: [0n, 7n, 0n, 0n], transaction: 't2', key: 'k2' },
];
const SUMS: readonly Sums[] = [
  [0n, 0n, 0n, 0n],
  [5n, 0n, 0n, 0n],
  [12n, 0n, 0n, 0n],
];

/** A read of account `a`. */
function read(version: number, [invokedAt, completedAt]: [number, number], more: Partial<Read> = {}): Read {
  const sums = SUMS[version] ?? [99n, 0n, 0n, 0n];
  return {
    account: 'a',
    consistency: 'cached',
    minVersion: 0,
    api: 'api-1',
    invokedAt,
    completedAt,
    version,
    sums,
    source: 'cache',
    ...more,
  };
}

function acknowledged(key: 'k1' | 'k2', completedAt: number, more: Partial<Acknowledgement> = {}): Acknowledgement {
  const [transaction, version, other] = key === 'k1' ? ['t1', 1, 'b'] : ['t2', 2, 'c'];
  const versions = [
    { account: 'a', version: Number(version) },
    { account: String(other), version: 1 },
  ];
  const invokedAt = key === 'k1' ? 10 : 30;
  return {
    key,
    api: 'api-1',
    invokedAt,
    completedAt,
    transaction: String(transaction),
    replayed: false,
    versions,
    ...more,
  };
}

function judged(parts: {
  reads?: Read[];
  acknowledgements?: Acknowledgement[];
  ledger?: readonly LedgerEntry[];
  balances?: readonly Balance[];
  refusals?: Refusal[];
  asked?: readonly (readonly [string, Asked])[];
  batches?: readonly (readonly [string, readonly string[]])[];
  settled?: SettledDay[];
  payouts?: ToldVersions[];
  fees?: readonly Fees[];
  options?: Partial<CheckOptions>;
}) {
  const history: History = {
    reads: parts.reads ?? [],
    acknowledgements: parts.acknowledgements ?? [],
    refusals: parts.refusals ?? [],
    asked: new Map(parts.asked ?? POSTINGS),
    batches: new Map(parts.batches),
    settled: parts.settled ?? [],
    payouts: parts.payouts ?? [],
  };
  const ledger = { entries: parts.ledger ?? LEDGER, balances: parts.balances ?? [], fees: parts.fees ?? [] };
  const verdict = check(history, ledger, { ...OPTIONS, ...parts.options });
  return {
    stale: verdict.stale.length,
    wrong: verdict.wrong.map(({ rule }) => rule),
    excused: verdict.excused.length,
    excusedMs: verdict.excused.map(({ cause, behindMs }) => `${cause} ${behindMs}`),
  };
}

/** A settlement's fees, as the third version of account `a`. */
const WITH_FEES: readonly LedgerEntry[] = [
  ...LEDGER,
  { account: 'a', version: 3, adds: [3n, 0n, 0n, 0n], transaction: 't3', key: '', isAdjustment: true },
  { account: 'f', version: 1, adds: [0n, 3n, 0n, 0n], transaction: 't3', key: '', isAdjustment: true },
];
const NIGHT = { merchant: 'm', date: '2026-11-26' };
const SETTLED = {
  ledger: WITH_FEES,
  settled: [{ ...NIGHT, completedAt: 50 }],
  fees: [{ ...NIGHT, transaction: 't3' }],
};

const RIGHT = { stale: 0, wrong: [], excused: 0, excusedMs: [] };

describe('a history is right', () => {
  test('when reads follow what was told', () => {
    const reads = [read(0, [1, 5]), read(1, [21, 25]), read(2, [41, 45])];
    expect(judged({ reads, acknowledgements: [acknowledged('k1', 20), acknowledged('k2', 40)] })).toEqual(RIGHT);
  });

  test('when a read began before the acknowledgement, and saw either version', () => {
    const reads = [read(1, [39, 60]), read(2, [39, 60])];
    expect(judged({ reads, acknowledgements: [acknowledged('k2', 40)] })).toEqual(RIGHT);
  });

  test('when a posting was never answered, whether it is in the ledger or not', () => {
    expect(judged({})).toEqual(RIGHT);
    expect(judged({ ledger: LEDGER.slice(0, 2) })).toEqual(RIGHT);
  });

  test('when a bounded read is no older than it may be', () => {
    const acknowledgements = [acknowledged('k2', 40)];
    expect(judged({ reads: [read(1, [339, 345], { consistency: 'bounded' })], acknowledgements })).toEqual(RIGHT);
    expect(judged({ reads: [read(1, [341, 345], { consistency: 'bounded' })], acknowledgements }).stale).toBe(1);
  });
});

describe('a settlement', () => {
  const fees = (version: number, at: [number, number]) =>
    read(version, at, { sums: version === 3 ? [15n, 0n, 0n, 0n] : [12n, 0n, 0n, 0n] });

  test('is right when its fees are read once its day is settled, and may be read before', () => {
    expect(judged({ ...SETTLED, reads: [fees(2, [49, 60]), fees(3, [51, 61])] })).toEqual(RIGHT);
    expect(judged({ ...SETTLED, reads: [fees(3, [40, 45])] })).toEqual(RIGHT);
  });

  test('makes a read stale that does not know its fees, on either account', () => {
    const none = read(0, [51, 61], { account: 'f' });
    expect(judged({ ...SETTLED, reads: [fees(2, [51, 61]), none] })).toEqual({ ...RIGHT, stale: 2 });
  });

  test('is lost when its day was settled and nothing is there of it', () => {
    expect(judged({ ...SETTLED, ledger: LEDGER }).wrong).toEqual(['settled and lost']);
    expect(judged({ ...SETTLED, fees: [{ ...NIGHT, merchant: 'n', transaction: 't3' }] }).wrong).toEqual([
      'settled and lost',
    ]);
  });
});

describe('a payout', () => {
  const told = (version: number) => [{ completedAt: 50, versions: [{ account: 'a', version }] }];

  test('makes a read stale that does not know what it reserved', () => {
    expect(judged({ payouts: told(2), reads: [read(2, [51, 60]), read(1, [49, 60])] })).toEqual(RIGHT);
    expect(judged({ payouts: told(2), reads: [read(1, [51, 60])] })).toEqual({ ...RIGHT, stale: 1 });
  });

  test('is lost when nothing is there of it', () => {
    expect(judged({ payouts: told(3) }).wrong).toEqual(['paid out and lost']);
  });
});

describe('a read is stale', () => {
  test('below an acknowledged version', () => {
    expect(judged({ reads: [read(1, [41, 45])], acknowledgements: [acknowledged('k2', 40)] }).stale).toBe(1);
  });

  test('below what another read had seen, of whatever consistency', () => {
    for (const consistency of ['cached', 'strong', 'bounded'] as const) {
      expect(judged({ reads: [read(2, [35, 38], { consistency }), read(1, [39, 45], { api: 'api-2' })] }).stale).toBe(
        1,
      );
    }
  });

  test('below what a replay had told', () => {
    const replay = acknowledged('k2', 50, { invokedAt: 45, replayed: true });
    expect(judged({ reads: [read(1, [51, 52])], acknowledgements: [replay] }).stale).toBe(1);
  });

  test('though a strong one', () => {
    const reads = [read(1, [41, 45], { consistency: 'strong', source: 'database' })];
    expect(judged({ reads, acknowledgements: [acknowledged('k2', 40)] }).stale).toBe(1);
  });
});

describe('the named exception', () => {
  const acknowledgements = [acknowledged('k2', 40)];
  const options = { cut: [{ from: 100, to: 2_000, cause: 'a cut' }] };

  test('excuses a cached read near a cut, for less than a TTL, and says for how long', () => {
    expect(judged({ reads: [read(1, [140, 141])], acknowledgements, options })).toEqual({
      ...RIGHT,
      excused: 1,
      excusedMs: ['a cut 100'],
    });
  });

  test('excuses nothing before or after, nothing that lasts longer, and no strong read', () => {
    for (const one of [
      read(1, [90, 95]),
      read(1, [2_001, 2_002]),
      read(1, [1_040, 1_041]),
      read(1, [140, 141], { consistency: 'strong' }),
    ]) {
      expect(judged({ reads: [one], acknowledgements, options })).toMatchObject({ stale: 1, excused: 0 });
    }
  });
});

describe('a read is wrong', () => {
  test('with a value that its version does not have', () => {
    expect(judged({ reads: [read(1, [41, 45], { sums: [6n, 0n, 0n, 0n] })] }).wrong).toEqual(['value']);
  });

  test('with a version that was never committed', () => {
    expect(judged({ reads: [read(3, [41, 45])] }).wrong).toEqual(['never committed']);
  });

  test('with a version that nobody had asked for yet', () => {
    expect(judged({ reads: [read(2, [25, 29])] }).wrong).toEqual(['from the future']);
  });

  test('below its min_version, near a cut as well', () => {
    const reads = [read(1, [140, 145], { minVersion: 2 })];
    expect(judged({ reads, options: { cut: [{ from: 0, to: 900, cause: 'a cut' }] } }).wrong).toEqual(['min_version']);
  });
});

describe('the ledger is wrong', () => {
  const withFirst = (more: Partial<LedgerEntry>) => [{ ...(LEDGER[0] as LedgerEntry), ...more }, ...LEDGER.slice(1)];

  test('when an acknowledged posting is not there', () => {
    const acknowledgements = [acknowledged('k2', 40)];
    const { wrong } = judged({ acknowledgements, ledger: LEDGER.slice(0, 2) });
    expect(wrong).toEqual(['acknowledged and lost', 'acknowledged and lost']);
  });

  test('when a replay names another transaction, or other versions', () => {
    const other = acknowledged('k1', 50, { transaction: 't9', replayed: true });
    expect(judged({ acknowledgements: [acknowledged('k1', 20), other] }).wrong).toContain('acknowledged and lost');
    const versions = [
      { account: 'a', version: 2 },
      { account: 'b', version: 1 },
    ];
    expect(judged({ acknowledgements: [acknowledged('k1', 20, { versions })] }).wrong).toEqual([
      'acknowledged and lost',
    ]);
  });

  test('when a key had two effects', () => {
    const again: LedgerEntry[] = [
      { account: 'a', version: 3, adds: [5n, 0n, 0n, 0n], transaction: 't3', key: 'k1' },
      { account: 'b', version: 2, adds: [0n, 5n, 0n, 0n], transaction: 't3', key: 'k1' },
    ];
    expect(judged({ ledger: [...LEDGER, ...again] }).wrong).toEqual(['effect']);
  });

  test('when a posting did something else, or half of it, or was never sent', () => {
    expect(judged({ ledger: withFirst({ adds: [6n, 0n, 0n, 0n] }) }).wrong).toEqual(['effect']);
    expect(judged({ ledger: LEDGER.slice(0, 1) }).wrong).toEqual(['effect']);
    expect(judged({ ledger: withFirst({ key: 'k9' }) }).wrong).toContain('unasked');
  });

  test('when an account ends with something else', () => {
    const end = (version: number, ...sums: [bigint, bigint, bigint, bigint]) =>
      judged({ balances: [{ account: 'a', version, sums }] }).wrong;
    expect(end(2, 12n, 0n, 0n, 0n)).toEqual([]);
    expect(end(2, 12n, 0n, 1n, 0n)).toEqual(['end']);
    expect(end(3, 12n, 0n, 0n, 0n)).toEqual(['end']);
  });

  test('when a version is missing', () => {
    expect(() => judged({ ledger: LEDGER.slice(2) })).toThrow('account a has no version 1');
  });
});

describe('holds', () => {
  const hold = { kind: 'hold', from: 'a', to: 'b', amount: 10n, invokedAt: 1 } as const;
  const expiring = { ...hold, expiresAt: new Date(0) };
  const capture = { kind: 'capture', parent: 'h', parentId: 't1', amount: 4n, final: false, invokedAt: 2 } as const;
  /** Both entries of each transaction: what it posts and what it holds; `expiry` is nobody's. */
  const book = (...of: [key: string, posted: bigint, pending: bigint][]): LedgerEntry[] =>
    of.flatMap(([key, posted, pending], index) => {
      const whose = key === 'expiry' ? { key: '', expiryOf: 'h' } : { key };
      const one = { ...whose, version: index + 1, transaction: `t${index + 1}` };
      const back = posted < 0n;
      return [
        { ...one, account: 'a', adds: back ? [0n, -posted, 0n, pending] : [posted, 0n, pending, 0n] },
        { ...one, account: 'b', adds: back ? [-posted, 0n, pending, 0n] : [0n, posted, 0n, pending] },
      ] satisfies LedgerEntry[];
    });
  const wrong = (asked: Record<string, Asked>, ledger: LedgerEntry[], more: object = {}) =>
    judged({ asked: Object.entries({ h: hold, ...asked }), ledger, ...more }).wrong;

  test('are captured in parts, and the last one releases the rest', () => {
    const last = { ...capture, amount: 1n, final: true };
    expect(wrong({ c: capture, d: last }, book(['h', 0n, 10n], ['c', 4n, -4n], ['d', 1n, -6n]))).toEqual([]);
    expect(wrong({ c: capture, d: last }, book(['h', 0n, 10n], ['c', 4n, -4n], ['d', 1n, -1n]))).toEqual(['effect']);
    expect(wrong({ c: capture }, book(['h', 0n, 10n], ['c', 4n, 0n]))).toEqual(['effect']);
    expect(wrong({ c: capture }, book(['h', 0n, 10n], ['c', 10n, -10n]))).toEqual(['effect']);
  });

  test('end once, by a void or an expiry that somebody wanted', () => {
    const gone = { kind: 'void', parent: 'h', parentId: 't1', invokedAt: 2 } as const;
    expect(wrong({ v: gone }, book(['h', 0n, 10n], ['v', 0n, -10n]))).toEqual([]);
    expect(wrong({ v: gone, c: capture }, book(['h', 0n, 10n], ['v', 0n, -10n], ['c', 4n, -4n]))).toEqual(['effect']);
    expect(wrong({ h: expiring, c: capture }, book(['h', 0n, 10n], ['c', 4n, -4n], ['expiry', 0n, -6n]))).toEqual([]);
    expect(wrong({ h: expiring }, book(['h', 0n, 10n], ['expiry', 0n, -9n]))).toEqual(['effect']);
    expect(wrong({}, book(['h', 0n, 10n], ['expiry', 0n, -10n]))).toEqual(['unasked']);
  });

  test('are reversed as far as they were captured', () => {
    const back = { kind: 'reverse', parent: 'c', parentId: 't2', invokedAt: 3 } as const;
    const asked = { c: capture, r: { ...back, amount: 3n }, s: back };
    const upTo = book(['h', 0n, 10n], ['c', 4n, -4n], ['r', -3n, 0n]);
    expect(wrong(asked, upTo)).toEqual([]);
    expect(wrong(asked, book(['h', 0n, 10n], ['c', 4n, -4n], ['r', -3n, 0n], ['s', -1n, 0n]))).toEqual([]);
    expect(wrong(asked, book(['h', 0n, 10n], ['c', 4n, -4n], ['r', -3n, 0n], ['s', -4n, 0n]))).toEqual(['effect']);
    expect(
      wrong(
        { ...asked, s: { ...back, amount: 2n } },
        book(['h', 0n, 10n], ['c', 4n, -4n], ['r', -3n, 0n], ['s', -2n, 0n]),
      ),
    ).toEqual(['effect']);
  });

  test('are read as they were asked for, whatever the entries say', () => {
    const ledger = book(['h', 0n, 10n], ['c', 4n, 0n]);
    const seen = read(2, [41, 45], { sums: [4n, 0n, 10n, 0n] });
    expect(wrong({ c: capture }, ledger, { reads: [seen] })).toEqual(['effect', 'value']);
    const right = read(2, [41, 45], { sums: [4n, 0n, 6n, 0n] });
    expect(wrong({ c: capture }, book(['h', 0n, 10n], ['c', 4n, -4n]), { reads: [right] })).toEqual([]);
    const swapped = read(2, [41, 45], { sums: [4n, 0n, 0n, 6n] });
    expect(wrong({ c: capture }, book(['h', 0n, 10n], ['c', 4n, -4n]), { reads: [swapped] })).toEqual(['value']);
  });

  test('refuse what is more than is left, and nothing else', () => {
    const refused = (code: string, asked: Asked, ledger: LedgerEntry[], key = 'd') =>
      wrong({ c: capture, [key]: asked }, ledger, { refusals: [{ key, code, completedAt: 9 }] });
    const open = book(['h', 0n, 10n], ['c', 4n, -4n]);
    expect(refused('amount_exceeds_remaining', { ...capture, amount: 7n }, open)).toEqual([]);
    expect(refused('amount_exceeds_remaining', { ...capture, amount: 6n }, open)).toEqual(['refused']);
    expect(refused('not_pending', { ...capture, amount: 6n }, open)).toEqual(['refused']);
    expect(refused('not_pending', capture, open, 'c')).toEqual(['refused and done']);
  });
});

test('a batch is made whole or not at all', () => {
  expect(judged({ batches: [['b', ['k1', 'k2']]] }).wrong).toEqual([]);
  expect(judged({ batches: [['b', ['k8', 'k9']]] }).wrong).toEqual([]);
  expect(judged({ batches: [['b', ['k1', 'k9']]] }).wrong).toEqual(['batch']);
});

test('the story of an account is what clients saw of it, in the order of the answers', () => {
  const history: History = {
    reads: [read(1, [41, 45]), read(1, [41, 43], { account: 'b' })],
    acknowledgements: [acknowledged('k2', 40)],
    refusals: [],
    asked: new Map(),
    batches: new Map(),
    settled: [],
    payouts: [],
  };
  expect(storyOf(history, 'a', 45)).toEqual([
    '[30.0, 40.0] api-1 posted k2 as t2: a version 2, c version 1',
    '[41.0, 45.0] api-1 read a (cached) version 1 = 5/0/0/0 from cache',
  ]);
});
