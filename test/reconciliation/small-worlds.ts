import fc from 'fast-check';
import { DAY_MS, sum, type ToldFact, type ToldPayment, type ToldReport, type ToldRow } from './oracle/told.js';

/** Small, crowded worlds: few names, few amounts, so that everything collides with everything. */

const SOURCES = ['adyen_settlement_detail', 'stripe_payout_reconciliation', 'generic'] as const;
const PROVIDERS = { adyen_settlement_detail: 'adyen', stripe_payout_reconciliation: 'stripe', generic: undefined };
/** Whole hours, so that no text rounds them. */
const START_MS = Math.floor(Date.now() / 3_600_000) * 3_600_000 - 12 * DAY_MS;

const amount = fc.constantFrom(100n, 200n, 300n, 400n);
/** Half a day apart, so that nothing is at a limit of days; the last few are expected still. */
const atMs = fc.oneof(
  { weight: 5, arbitrary: fc.nat(3).map((half) => START_MS + half * (DAY_MS / 2)) },
  { weight: 1, arbitrary: fc.constant(START_MS + 11 * DAY_MS) },
);
const name = (prefix: string) =>
  fc.option(
    fc.nat(3).map((n) => `${prefix}${n}`),
    { nil: undefined, freq: 2 },
  );

const movements = (begins: string, ends: string, prefix: string, small: bigint) => {
  const one = fc.record({ amount, objectRef: name(prefix), atMs, ends: fc.nat(4).map((n) => n === 0) });
  const unique = { maxLength: 4, selector: ({ objectRef }: { objectRef: string | undefined }) => objectRef ?? {} };
  return fc.uniqueArray(one, unique).map((all) =>
    all.flatMap(({ objectRef, ends: isEnded, ...more }): ToldFact[] => {
      const fact = { ...more, amount: more.amount / small, ...(objectRef !== undefined && { objectRef }) };
      const end = isEnded && objectRef !== undefined ? [{ ...fact, type: ends }] : [];
      return [{ ...fact, type: begins }, ...end];
    }),
  );
};

const dispute = fc
  .record({
    objectRef: fc.constantFrom('d0', 'd1'),
    amount: amount.map((value) => value / 10n),
    atMs,
    stage: fc.constantFrom('chargeback', 'inquiry'),
    later: fc.subarray(['dispute_funds_withdrawn', 'dispute_funds_reinstated', 'dispute_won'], { maxLength: 3 }),
  })
  .map(({ later, stage, ...fact }): ToldFact[] => [
    { ...fact, type: 'dispute_opened', stage },
    ...later.map((type) => ({ ...fact, type, ...(stage === 'inquiry' && { stage }) })),
  ]);

const settled = fc
  .record({ amount, fee: fc.constantFrom(0n, 3n), objectRef: fc.constantFrom('b0', 'b1'), atMs })
  .map((fact): ToldFact[] => [{ ...fact, type: 'settled' }]);

const payment = (provider: string | undefined) =>
  fc
    .record({
      provider: provider === undefined ? fc.constantFrom('acme', 'other') : fc.constantFrom(provider, provider, 'acme'),
      ref: fc.constantFrom('P0', 'P1', 'P2', 'P3'),
      currency: fc.constantFrom('EUR', 'EUR', 'EUR', 'USD'),
      facts: fc
        .tuple(
          movements('captured', 'capture_failed', 'c', 1n),
          movements('refunded', 'refund_failed', 'r', 10n),
          fc.option(dispute, { nil: [], freq: 2 }),
          fc.option(settled, { nil: [], freq: 2 }),
        )
        .map((lists) => lists.flat()),
    })
    // Enough is captured for all that comes after it.
    .map(({ facts, ...more }): ToldPayment => {
      return { ...more, facts: [{ type: 'captured', amount: 400n, objectRef: 'c9', atMs: START_MS }, ...facts] };
    });

const row = fc.record({
  type: fc.constantFrom(
    ...(['payment', 'payment', 'payment', 'refund', 'dispute', 'dispute_reversed', 'fee', 'payout', 'other'] as const),
  ),
  reference: fc.option(fc.constantFrom('P0', 'P1', 'P2', 'P3', 'P9'), { nil: undefined, freq: 9 }),
  object: fc.option(fc.constantFrom('0', '1', '2', '3', '9', '8'), { nil: undefined, freq: 2 }),
  amount,
  fee: fc.constantFrom(0n, 0n, 3n, 4n),
  currency: fc.constantFrom('EUR', 'EUR', 'EUR', 'EUR', 'USD'),
  atMs: fc.constantFrom(START_MS, START_MS + DAY_MS, START_MS + DAY_MS / 2, START_MS - 8 * DAY_MS),
  batch: fc.option(fc.constantFrom('b0', 'b1'), { nil: undefined, freq: 2 }),
  identity: fc.option(fc.nat(5), { nil: undefined, freq: 5 }),
});

const PREFIX: Record<string, string> = { payment: 'c', refund: 'r', dispute: 'd', dispute_reversed: 'd' };

const report = fc.array(row, { minLength: 1, maxLength: 14 });

export interface SmallWorld {
  readonly payments: readonly ToldPayment[];
  /** What is told only after the first report: of payments of which nothing was known, and of others what more happened. */
  readonly later: readonly ToldPayment[];
  readonly reports: readonly ToldReport[];
}

const namesOf = ({ provider, ref }: ToldPayment) => `${provider}/${ref}`;

export const smallWorld: fc.Arbitrary<SmallWorld> = fc.constantFrom(...SOURCES).chain((source) =>
  fc
    .record({
      payments: fc.uniqueArray(payment(PROVIDERS[source]), { minLength: 1, maxLength: 4, selector: namesOf }),
      told: fc.nat(4),
      early: fc.nat(6),
      reports: fc.array(report, { minLength: 1, maxLength: 3 }),
      isWhole: fc.boolean(),
    })
    .map(({ payments, told, early, reports, isWhole }) => {
      const rows = reports.map(rowsOf);
      if (isWhole) rows.push([payoutOf(rows.flat())]);
      const period = { fromMs: START_MS - 20 * DAY_MS, toMs: START_MS + 20 * DAY_MS };
      const more = { source, provider: PROVIDERS[source], ...period, slaDays: 3, nowMs: Date.now() };
      return {
        payments: payments.slice(0, told).map((one) => ({ ...one, facts: one.facts.slice(0, early + 1) })),
        later: payments
          .map((one, nth) => ({ ...one, facts: one.facts.slice(nth < told ? early + 1 : 0) }))
          .filter(({ facts }) => facts.length > 0),
        reports: rows.map((of) => ({ ...more, rows: of })),
      };
    }),
);

type DrawnRow = typeof row extends fc.Arbitrary<infer T> ? T : never;

function rowsOf(drawn: readonly DrawnRow[], nth: number): ToldRow[] {
  return drawn.map(({ object, amount: size, identity, ...one }, index) => {
    const isSmall = one.type !== 'payment' && one.type !== 'payout';
    const gross = (isSmall ? size / 10n : size) * (['refund', 'dispute', 'payout'].includes(one.type) ? -1n : 1n);
    const objectRef = object === undefined ? undefined : `${PREFIX[one.type] ?? 'x'}${object}`;
    const told = identity === undefined ? `${nth}/${index}` : `again ${identity}`;
    return { ...one, objectRef, gross, identity: told, line: 2 * index + 2 };
  });
}

/** What makes a batch of euros whole, where each row is told once. */
function payoutOf(rows: readonly ToldRow[]): ToldRow {
  const first = new Map([...rows].reverse().map((one) => [one.identity, one]));
  const own = [...first.values()].filter(({ batch, currency }) => batch === 'b0' && currency === 'EUR');
  const gross = -sum(own.map((one) => one.gross - one.fee));
  const more = { reference: undefined, objectRef: undefined, fee: 0n, currency: 'EUR', atMs: START_MS, batch: 'b0' };
  return { ...more, type: 'payout', identity: 'payout of b0', gross, line: 2 };
}
