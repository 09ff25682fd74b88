import type { Life, ProviderFact } from '../life.js';
import type { Happened } from './row.js';

/** The share that the processor keeps where it has told no fee of its own, in percent. */
const FEE_PERCENT = 1n;

/** What moved money in a payment's life, as its processor books it. */
export interface Told {
  readonly rows: Happened[];
  /** Refunds that came to nothing in the end. */
  readonly undone: Happened[];
  /** What the ledger was told that the processor kept. */
  readonly toldFee: bigint | undefined;
}

/** Reads a life in its order. What failed or was taken back is in no report. */
export function happenedIn(life: Life): Told {
  const books = new Books(life);
  for (const fact of life.facts) READ[fact.type]?.(books, fact);
  return { rows: charged([...books.rows.values()], books.toldFee), undone: books.undone, toldFee: books.toldFee };
}

class Books {
  readonly rows = new Map<string, Happened>();
  readonly undone: Happened[] = [];
  toldFee: bigint | undefined;

  constructor(private readonly life: Life) {}

  /** Of what is told of one object there is one row, of when it was told first. */
  book(type: Happened['type'], fact: ProviderFact, gross: bigint, key = keyOf(fact)): void {
    const { ref: reference, currency } = this.life;
    const atMs = this.rows.get(key)?.atMs ?? Date.parse(fact.occurred_at);
    this.rows.set(key, { type, reference, objectRef: fact.object_ref ?? '', gross, fee: 0n, currency, atMs });
  }

  takeBack(fact: ProviderFact): void {
    const row = this.rows.get(keyOf(fact));
    if (row?.type === 'refund') this.undone.push(row);
    this.rows.delete(keyOf(fact));
  }

  giveBack(fact: ProviderFact): void {
    const taken = this.rows.get(keyOf(fact));
    if (taken) this.book('dispute_reversed', fact, -taken.gross, `${keyOf(fact)} reversed`);
  }

  charge(fact: ProviderFact): void {
    const row = this.rows.get(keyOf(fact));
    if (row) this.rows.set(keyOf(fact), { ...row, fee: row.fee + amountOf(fact) });
  }
}

const amountOf = ({ amount = '0' }: ProviderFact): bigint => BigInt(amount);

const keyOf = ({ type, object_ref: object }: ProviderFact): string =>
  object ?? (type === 'refunded' ? 'refunds' : 'captures');

type Read = (books: Books, fact: ProviderFact) => void;

const takeBack: Read = (books, fact) => books.takeBack(fact);
const giveBack: Read = (books, fact) => books.giveBack(fact);
/** An inquiry moves nothing yet. */
const dispute: Read = (books, fact) => {
  if (fact.stage !== 'inquiry') books.book('dispute', fact, -amountOf(fact));
};

const READ: Partial<Record<ProviderFact['type'], Read>> = {
  captured: (books, fact) => books.book('payment', fact, amountOf(fact)),
  capture_failed: takeBack,
  refunded: (books, fact) => books.book('refund', fact, -amountOf(fact)),
  refund_failed: takeBack,
  refund_reversed: takeBack,
  dispute_opened: dispute,
  dispute_funds_withdrawn: dispute,
  dispute_funds_reinstated: giveBack,
  dispute_won: giveBack,
  dispute_fee: (books, fact) => books.charge(fact),
  settled: (books, fact) => {
    books.toldFee = (books.toldFee ?? 0n) + BigInt(fact.fee ?? 0);
  },
};

/** A payment's first capture bears the fee of them all: what was told of it, or the usual share. */
function charged(rows: Happened[], toldFee: bigint | undefined): Happened[] {
  const captures = rows.filter(({ type }) => type === 'payment');
  const captured = captures.reduce((sum, { gross }) => sum + gross, 0n);
  const fee = toldFee ?? (captured * FEE_PERCENT) / 100n;
  return rows.map((row) => (row === captures[0] ? { ...row, fee } : row));
}
