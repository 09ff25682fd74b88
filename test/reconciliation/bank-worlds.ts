import fc from 'fast-check';
import { DAY_MS, sum, type ToldPayout, type ToldReport, type ToldRow, type ToldStatement } from './oracle/told.js';

/** Small, crowded accounts: few payouts, few batches under few names, few amounts; processors and banks report them in any order. */

const BANK = 'camt053';
const PROCESSORS = { adyen_settlement_detail: 'adyen', stripe_payout_reconciliation: 'stripe', generic: undefined };
const START_MS = Math.floor(Date.now() / 3_600_000) * 3_600_000 - 12 * DAY_MS;
/** Names of payouts; whoever tells the world gives them ids. */
const PAYOUTS = ['o0', 'o1', 'o2', 'o3'];

const amount = fc.constantFrom(100n, 200n, 300n);
const currency = fc.constantFrom('EUR', 'EUR', 'EUR', 'EUR', 'USD');
/** Half a day apart, so that nothing is at a limit of days; the last are expected still. */
const atMs = fc.oneof(
  { weight: 6, arbitrary: fc.nat(3).map((half) => START_MS + half * (DAY_MS / 2)) },
  { weight: 1, arbitrary: fc.constantFrom(START_MS + 11 * DAY_MS, START_MS - 8 * DAY_MS) },
);

const payout = fc
  .record({
    id: fc.constantFrom(...PAYOUTS),
    amount,
    currency,
    status: fc.constantFrom('paid', 'paid', 'returned', 'failed', 'instructed'),
    paidAtMs: atMs,
  })
  .map(({ status, paidAtMs, ...one }): ToldPayout => {
    // Asked for when it is told, which is now.
    if (status === 'failed' || status === 'instructed') return { ...one, status, paidAtMs: Date.now() };
    if (status === 'paid') return { ...one, status, paidAtMs };
    return { ...one, status: 'returned', paidAtMs, returnedAtMs: paidAtMs + DAY_MS / 2 };
  });

const identity = fc.option(fc.nat(5), { nil: undefined, freq: 5 });
const batched = fc.record({
  type: fc.constantFrom('other', 'other', 'fee', 'payment', 'payout'),
  gross: fc.tuple(amount, fc.constantFrom(1n, 1n, 1n, -1n)).map(([size, sign]) => size * sign),
  fee: fc.constantFrom(0n, 0n, 3n),
  currency,
  atMs,
  batch: fc.constantFrom('b0', 'b0', 'b1', 'b 2', undefined),
  identity,
});

/** What the remittance says, and by which rows the credit was reckoned. */
const TEXTS = ['b0', 'b1', 'b 2', 'ADYEN BATCH b0', 'b0/b1', 'b0,EUR', 'xb0', 'b0-1', '', undefined];
const credit = fc.record({
  way: fc.constantFrom('credit', 'credit', 'credit', 'reversal'),
  reference: fc.constantFrom(undefined, undefined, 'b0', 'o0', 'elsewhere'),
  batch: fc.constantFrom(...TEXTS),
  /** The amount of the first batch of that name there is, if there is one, or another one. */
  isOf: fc.constantFrom('b0', 'b0', 'b1', 'b 2', undefined),
});
const moved = fc.record({
  way: fc.constantFrom('payout', 'payout', 'payout', 'return'),
  reference: fc.constantFrom(...PAYOUTS, ...PAYOUTS, ...PAYOUTS, '0', '99999999999999999999', 'b0', undefined),
  batch: fc.constant(undefined),
  /** The amount of the payout there is. */
  isOf: fc.constantFrom('itself', 'itself', undefined),
});
const booked = fc
  .tuple(fc.oneof(credit, moved), fc.record({ amount, currency, atMs, identity }))
  .map(([of, more]) => ({ ...of, ...more }));

const balance = fc.constantFrom(undefined, 100n, 100n, 130n);
const statement = fc
  .record({ id: fc.constantFrom('s0', 's1'), opening: balance, closing: balance, entries: fc.constantFrom(0n, 30n) })
  .map(({ id, opening, closing, entries }): ToldStatement => {
    const told = { ...(opening !== undefined && { opening }), ...(closing !== undefined && { closing }) };
    return { account: 'A', id, entries, ...told };
  });

const ofProcessor = fc.record({
  source: fc.constantFrom('adyen_settlement_detail', 'stripe_payout_reconciliation', 'generic'),
  rows: fc.array(batched, { minLength: 1, maxLength: 6 }),
});
const ofBank = fc.record({
  rows: fc.array(booked, { minLength: 1, maxLength: 12 }),
  statements: fc.array(statement, { maxLength: 2 }),
});

export interface BankWorld {
  readonly payouts: readonly ToldPayout[];
  /** What is told only after the first report. */
  readonly later: readonly ToldPayout[];
  readonly reports: readonly ToldReport[];
}

export const bankWorld: fc.Arbitrary<BankWorld> = fc
  .record({
    payouts: fc.uniqueArray(payout, { maxLength: 4, selector: ({ id }) => id }),
    told: fc.nat(4),
    processors: fc.array(ofProcessor, { minLength: 1, maxLength: 2 }),
    banks: fc.array(ofBank, { minLength: 1, maxLength: 3 }),
    /** Whether the first statement comes before the processors' reports. */
    isEarly: fc.boolean(),
  })
  .map(({ payouts, told, processors, banks, isEarly }) => {
    const period = { fromMs: START_MS - 20 * DAY_MS, toMs: START_MS + 20 * DAY_MS, slaDays: 3, nowMs: Date.now() };
    const batches = processors.map(({ source, rows }, nth): ToldReport => {
      return { ...period, source, provider: PROCESSORS[source as keyof typeof PROCESSORS], rows: rowsOf(rows, nth) };
    });
    const statements = banks.map(({ rows, statements }, nth): ToldReport => {
      const of = rows.map((row, index) => bankRow(row, `${nth}/${index}`, 2 * index + 2, payouts, batches));
      return { ...period, source: BANK, provider: undefined, rows: of, statements };
    });
    const [first, ...rest] = statements;
    const early = isEarly && first !== undefined ? [first] : [];
    const reports = [...early, ...batches, ...(isEarly ? rest : statements)];
    return { payouts: payouts.slice(0, told), later: payouts.slice(told), reports };
  });

type Drawn<Of> = Of extends fc.Arbitrary<infer T> ? T : never;

const nameOf = (again: number | undefined, own: string) => (again === undefined ? own : `again ${again}`);

function rowsOf(drawn: readonly Drawn<typeof batched>[], nth: number): ToldRow[] {
  return drawn.map((one, index) => {
    // Nobody knows its payment: it is in its batch all the same.
    const reference = one.type === 'payment' ? `p${index}` : undefined;
    const told = {
      line: 2 * index + 2,
      identity: nameOf(one.identity, `${nth}/${index}`),
      reference,
      objectRef: undefined,
    };
    return { ...one, ...told } as ToldRow;
  });
}

function bankRow(
  { way, isOf, batch, ...one }: Drawn<typeof booked>,
  own: string,
  line: number,
  payouts: readonly ToldPayout[],
  batches: readonly ToldReport[],
): ToldRow {
  const ofBatch = sizeOfBatch(batches, isOf, one.currency);
  const paid = isOf === 'itself' ? payouts.find(({ id }) => id === one.reference) : undefined;
  const size = ofBatch ?? paid?.amount ?? one.amount;
  const isOut = way === 'payout' || way === 'reversal';
  return {
    ...{ line, identity: nameOf(one.identity, own), reference: one.reference, objectRef: undefined, fee: 0n },
    ...{ type: way === 'credit' || way === 'reversal' ? 'other' : 'payout', gross: isOut ? -size : size },
    ...{ currency: paid?.currency ?? one.currency, atMs: one.atMs, batch: batch === '' ? undefined : batch },
  };
}

/** What a processor's rows of a batch come to, where that is a credit. */
function sizeOfBatch(batches: readonly ToldReport[], name: string | undefined, currency: string): bigint | undefined {
  for (const { rows } of batches) {
    const own = rows.filter((row) => row.batch === name && row.currency === currency && row.type !== 'payout');
    const net = sum(own.map(({ gross, fee }) => gross - fee));
    if (name !== undefined && net > 0n) return net;
  }
  return undefined;
}
