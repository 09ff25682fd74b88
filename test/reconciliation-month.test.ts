import { expect, test } from 'vitest';
import { STATEMENT_FAULTS } from '../apps/bank-simulator/src/statement-faults.js';
import { REPORT_FAULTS } from '../apps/provider-simulator/src/reports/faults.js';
import type { MonthOptions } from './reconciliation/month/month.js';
import { reportOf } from './reconciliation/month/result.js';
import { type MonthOutcome, runMonth } from './reconciliation/month/run.js';

/** Set by `npm run test:faults -- reconciliation-month --payments M --seed S`; `npm test` has some days of three shops. */
const { MONTH_PAYMENTS = '', MONTH_SEED = '20111001' } = process.env;
const isLong = MONTH_PAYMENTS !== '';
const seed = Number(MONTH_SEED);
const LONG: MonthOptions = {
  seed,
  rounds: 1,
  shops: 6,
  payments: Number(MONTH_PAYMENTS),
  everyNight: true,
  afterwards: 18,
};
/** A weekend and the end of the month. */
const SHORT: MonthOptions = { seed, rounds: 1, shops: 3, payments: 8, everyNight: false, afterwards: 0 };
const options = isLong ? LONG : SHORT;
const LIMIT_MS = isLong ? 3_600_000 : 120_000;

async function reconciled(isFaulty: boolean): Promise<MonthOutcome> {
  const outcome = await runMonth(options, isFaulty);
  process.stdout.write(`${reportOf(outcome, seed)}\n`);
  return outcome;
}

/** Those of reports, and those of statements. */
const ALL_FAULTS = [
  ...REPORT_FAULTS.map((fault) => `report ${fault}`),
  ...STATEMENT_FAULTS.map((fault) => `statement ${fault}`),
].sort();

const sorted = (lists: readonly (readonly string[])[]): string[] => lists.flat().sort();

test(
  'a month is reconciled three ways: all that the ledger, the processors and the bank have is matched, and what is open is what nobody has told yet',
  async () => {
    const { shops, offences } = await reconciled(false);
    expect(offences).toEqual([]);
    expect(sorted(shops.map(({ found }) => found))).toEqual(sorted(shops.map(({ waiting }) => waiting)));
    expect(shops.every(({ counts }) => counts.items > 0)).toBe(true);
  },
  LIMIT_MS,
);

if (isLong)
  test(
    'of a month in which reports and statements are wrong in every way, these breaks are open, and no others',
    async () => {
      const { shops, offences } = await reconciled(true);
      expect(offences).toEqual([]);
      const planted = shops.flatMap(({ faults }) => faults.flatMap(({ found }) => found));
      expect(sorted(shops.map(({ found }) => found))).toEqual(
        sorted([...shops.map(({ waiting }) => waiting), planted]),
      );
      const kinds = new Set(shops.flatMap(({ faults }) => faults.map(({ of, fault }) => `${of} ${fault}`)));
      expect([...kinds].sort()).toEqual(ALL_FAULTS);
    },
    LIMIT_MS,
  );
