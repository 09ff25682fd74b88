import { type Amounts, amountsOf, type Posted, type Settled, type Settlement, settle } from './oracle.js';
import { type Fraction, fraction, halfEven, whole } from './rationals.js';

/** The oracle with a mistake that settlements are made with: a quarter in which none of them shows proves little. */

export interface Bent {
  readonly name: string;
  readonly settle: typeof settle;
  readonly amountsOf: (settlement: Settlement) => Amounts;
}

export const BENT: readonly Bent[] = [
  {
    name: 'the calendar day instead of the business day',
    settle: (terms, ...rest) => settle({ ...terms, clock: { ...terms.clock, cutoff: '00:00' } }, ...rest),
    amountsOf,
  },
  { name: 'fees rounded once for each settlement', settle, amountsOf: roundedOnce },
  { name: 'late entries put into the day that they belong to', settle: intoClosedDays, amountsOf },
  {
    name: 'all that had been told by then, whenever it happened',
    settle: (terms, posted, nights) => settle(terms, posted.map(happenedFirst(posted)), nights),
    amountsOf,
  },
];

function roundedOnce(settlement: Settlement): Amounts {
  const amounts = amountsOf(settlement);
  const fees = halfEven(settlement.lines.flatMap(({ exact }) => exact).reduce(plus, whole(0n)));
  return { ...amounts, fees, net: amounts.net + amounts.fees - fees };
}

const plus = (left: Fraction, right: Fraction): Fraction =>
  fraction(left.top * right.bottom + right.top * left.bottom, left.bottom * right.bottom);

function intoClosedDays(...[terms, posted, nights]: Parameters<typeof settle>): Settled {
  const settled = settle(terms, posted, nights);
  const lines = settled.settlements.flatMap(({ day, currency, lines: all }) =>
    all.map((line) => {
      const isClosed = settled.settlements.some((one) => one.day.date === line.date && one.currency === currency);
      return { line, in: `${isClosed ? line.date : day.date} ${currency}` };
    }),
  );
  const settlements = settled.settlements.map((one): Settlement => {
    const name = `${one.day.date} ${one.currency}`;
    return { ...one, lines: lines.filter((line) => line.in === name).map(({ line }) => line) };
  });
  return { ...settled, settlements };
}

/** As if everything had happened when the first thing did. */
function happenedFirst(posted: readonly Posted[]): (one: Posted) => Posted {
  const atMs = Math.min(...posted.map((one) => one.atMs));
  return (one) => ({ ...one, atMs: one.kind === 'payout' ? one.atMs : atMs });
}
