import type { Fact, FactType } from '../../libs/payments/src/facts.js';
import { Books } from './books.js';
import type { Life } from './lives.js';

type Said = [type: FactType, amount: bigint | undefined, more?: Partial<Fact>];

interface Failure {
  readonly title: string;
  readonly facts: readonly Said[];
  readonly end: Partial<Omit<Life['end'], 'accounts'>> & { readonly status: string };
  /** The end by hand, from a capture of all of it on. */
  readonly book: (books: Books) => void;
}

const ALL = 100n;
const PAID: readonly Said[] = [
  ['authorised', ALL],
  ['captured', ALL, { objectRef: 'c' }],
];
const [PR, MP, DR] = ['provider_receivable', 'merchant_payable', 'dispute_reserve'] as const;
const pay = (books: Books): void => books.post(PR, MP, ALL);
const refund = (books: Books): void => books.post(MP, PR, ALL);
const DAY_MS = 86_400_000;

/** What others' users reported of their providers, with where it must end. */
export const FAILURES: readonly Failure[] = [
  {
    title: 'a late failure after success',
    facts: [...PAID, ['authorisation_failed', undefined]],
    end: { status: 'captured', captured: ALL },
    book: pay,
  },
  {
    title: 'an authorisation told after its capture',
    facts: [
      ['captured', 60n, { objectRef: 'c' }],
      ['authorised', ALL],
    ],
    end: { status: 'partially_captured', captured: 60n, capturable: 40n },
    book: (books) => {
      books.post(PR, MP, 60n);
      books.hold(40n);
    },
  },
  {
    title: 'authorisation false, then true',
    facts: [
      ['authorisation_failed', undefined],
      ['authorised', ALL],
    ],
    end: { status: 'authorised', capturable: ALL },
    book: (books) => books.hold(ALL),
  },
  {
    title: 'capture failed after captured',
    facts: [...PAID, ['capture_failed', undefined, { objectRef: 'c' }]],
    end: { status: 'authorised', capturable: ALL },
    book: (books) => books.hold(ALL),
  },
  {
    title: 'funds reinstated although the dispute was lost',
    facts: [
      ...PAID,
      ['dispute_opened', ALL, { objectRef: 'd' }],
      ['dispute_funds_withdrawn', ALL, { objectRef: 'd' }],
      ['dispute_lost', undefined, { objectRef: 'd' }],
      ['dispute_funds_reinstated', ALL, { objectRef: 'd' }],
    ],
    end: { status: 'captured', captured: ALL, disputed: ALL },
    book: (books) => {
      pay(books);
      books.post(MP, DR, ALL);
    },
  },
  {
    title: 'a partial dispute, lost, beside a full refund',
    facts: [
      ...PAID,
      ['refunded', ALL, { objectRef: 'r' }],
      ['dispute_opened', 40n, { objectRef: 'd' }],
      ['dispute_lost', undefined, { objectRef: 'd' }],
    ],
    end: { status: 'refunded', captured: ALL, refunded: ALL, disputed: 40n },
    book: (books) => {
      pay(books);
      refund(books);
      books.post(MP, PR, 40n);
    },
  },
  {
    title: 'a refund told twice under two event ids',
    facts: [...PAID, ['refunded', 30n, { objectRef: 'r' }], ['refunded', 30n, { objectRef: 'r' }]],
    end: { status: 'partially_refunded', captured: ALL, refunded: 30n },
    book: (books) => {
      pay(books);
      books.post(MP, PR, 30n);
    },
  },
  {
    title: 'lost, next day won',
    facts: [
      ...PAID,
      ['dispute_opened', ALL, { objectRef: 'd' }],
      ['dispute_lost', undefined, { objectRef: 'd' }],
      ['dispute_won', undefined, { objectRef: 'd' }],
    ],
    end: { status: 'captured', captured: ALL },
    book: pay,
  },
  {
    title: 'chargeback and refund for the same money',
    facts: [...PAID, ['refunded', ALL, { objectRef: 'r' }], ['dispute_opened', ALL, { objectRef: 'd' }]],
    end: { status: 'refunded', captured: ALL, refunded: ALL, disputed: ALL },
    book: (books) => {
      pay(books);
      refund(books);
      books.post(MP, DR, ALL);
    },
  },
  {
    title: 'settlement told before the capture',
    facts: [['authorised', ALL], ['settled', ALL, { fee: 3n, objectRef: 's' }], PAID[1] as Said],
    end: { status: 'captured', captured: ALL, settled: ALL },
    book: (books) => {
      pay(books);
      books.post('cash', PR, 97n);
      books.post('provider_fees', PR, 3n);
    },
  },
];

/** A payment to which it happens: each fact a day after the one before, and under an id of its own. */
export function failureLife({ facts, end, book }: Failure, ref: string, untilMs: number): Life {
  const books = new Books();
  book(books);
  const told = facts.map(([type, amount, more], index): Fact => {
    const occurredAtMs = untilMs - (facts.length - index) * DAY_MS;
    const currency = type === 'authorised' ? { currency: 'EUR' } : {};
    const said = { type, amountKind: 'delta', source: 'provider', ...(amount !== undefined && { amount }) } as const;
    return { id: `${ref}-${index + 1}`, occurredAtMs, ...said, ...currency, ...more };
  });
  const nothing = { capturable: 0n, captured: 0n, refunded: 0n, disputed: 0n, settled: 0n };
  const standing = { authorised: ALL, ...nothing, ...end, accounts: books.balances() };
  return { ref, seed: 0, currency: 'EUR', facts: told, end: standing, rejected: [] };
}
