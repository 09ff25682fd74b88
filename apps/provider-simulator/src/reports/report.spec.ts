import { describe, expect, test } from 'vitest';
import type { ReportRow } from '#reconciliation/report-row.js';
import { type Read, readAll } from '../../../../test/support/reports.js';
import { endingOf } from '../ending.js';
import { type Life, liveALife } from '../life.js';
import { Random } from '../random.js';
import { REPORT_FAULTS, type ReportFault } from './faults.js';
import { REPORT_FORMATS, type ReportFormat, type ReportOptions, reportOf } from './report.js';

/** Written here, and read by those who know nothing of the writer. */

const SINCE = Date.UTC(2026, 10, 20);
const FAR = { from: '2026-11-21', to: '2026-11-22' };

const livesIn = (currency: string, seed: string): Life[] =>
  Array.from({ length: 400 }, (_, n) => {
    const random = new Random(seed, n);
    return liveALife({ ref: `p${n}`, currency, sinceMs: SINCE + random.between(0, 3 * 86_400_000) }, random);
  });

const LIVES = livesIn('EUR', 'lives');

const DAY_MS = 86_400_000;
const day = (n: number): string => new Date(SINCE + n * DAY_MS).toISOString();
/** On the second day more goes back than comes in. */
const OWING: readonly Life[] = [
  lifeOf('a', { type: 'captured', amount: '4000', at: day(0) }, { type: 'refunded', amount: '3000', at: day(0) }),
  lifeOf('b', { type: 'captured', amount: '5000', at: day(2) }, { type: 'refunded', amount: '3000', at: day(1) }),
];

function lifeOf(ref: string, ...facts: { type: 'captured' | 'refunded'; amount: string; at: string }[]): Life {
  const told = facts.map(({ type, amount, at }, n) => {
    return {
      event_id: `${ref}-${n}`,
      payment_ref: ref,
      type,
      currency: 'EUR',
      amount,
      object_ref: `${ref}-o${n}`,
      occurred_at: at,
    };
  });
  return { ref, currency: 'EUR', plot: 'purchase', facts: told };
}

function write(options: ReportOptions, lives: readonly Life[] = LIVES) {
  const { lines, planted } = reportOf(lives, options, new Random('report'));
  return { text: [...lines].join(''), planted };
}

async function read(options: ReportOptions, lives?: readonly Life[]): Promise<Read> {
  return readAll(options.format, write(options, lives).text);
}

const sum = (amounts: Iterable<bigint>): bigint => [...amounts].reduce((total, amount) => total + amount, 0n);

function sumsByBatch(rows: readonly ReportRow[]): Map<string, bigint> {
  const batches = Map.groupBy(rows, ({ batch, currency }) => `${batch} ${currency}`);
  return new Map([...batches].map(([batch, of]) => [batch, sum(of.map(({ net }) => net))]));
}

const secondOf = (ms: number): number => Math.floor(ms / 1_000);

const grossOf = (rows: readonly ReportRow[], ...types: ReportRow['type'][]): number =>
  Number(sum(rows.filter(({ type }) => types.includes(type)).map(({ gross }) => gross)));

describe.each(REPORT_FORMATS)('a report as %s', (format) => {
  test.each(['EUR', 'JPY', 'KWD'])(
    'tells in %s what each payment came to, and every row can be read',
    async (currency) => {
      const lives = livesIn(currency, currency);
      const { rows, bad } = await read({ format }, lives);
      expect(bad).toEqual([]);
      const told = Map.groupBy(rows, ({ reference }) => reference);
      for (const life of lives) {
        const { captured, refunded, disputed, settled } = endingOf(life).shown;
        const of = told.get(life.ref) ?? [];
        const sums = [grossOf(of, 'payment'), grossOf(of, 'refund'), grossOf(of, 'dispute', 'dispute_reversed')];
        expect([life.plot, ...sums], life.ref).toEqual([life.plot, captured, 0 - refunded, 0 - disputed]);
        const fees = Number(sum(of.filter(({ type }) => type === 'payment').map(({ fee }) => fee)));
        const times = new Set(life.facts.map(({ occurred_at }) => secondOf(Date.parse(occurred_at))));
        expect(of.filter(({ occurredAtMs }) => !times.has(secondOf(occurredAtMs)))).toEqual([]);
        if (settled > 0) expect(fees).toBe(endingOf(life).posted.provider_fees);
      }
      expect(new Set(rows.map((row) => row.currency))).toEqual(new Set([currency]));
    },
  );

  test('has a fee and a payout for each batch, which comes to nothing with them', async () => {
    const { rows } = await read({ format });
    const batches = sumsByBatch(rows);
    expect(batches.size).toBeGreaterThan(2);
    expect(new Set(batches.values())).toEqual(new Set([0n]));
    for (const type of ['fee', 'payout'] as const)
      expect(rows.filter((row) => row.type === type).length).toBe(batches.size);
  });

  test('carries over what comes to less than nothing, so that each batch is what its payout is', async () => {
    const { rows, bad } = await read({ format }, OWING);
    expect(bad).toEqual([]);
    expect(new Set(sumsByBatch(rows).values())).toEqual(new Set([0n]));
    const carried = rows.filter(({ type }) => type === 'other').map(({ batch, gross }) => [batch, Number(gross)]);
    const [first, second, third] = new Set(rows.map(({ batch }) => batch));
    // 4,000 less 3,000, less a percent of what came in, and 10 for each row; then 3,000 go back, and then 5,000 come in.
    expect(carried).toEqual([
      [second, 3_010],
      [third, -3_010],
    ]);
    const paid = rows.filter(({ type }) => type === 'payout').map(({ batch, gross }) => [batch, Number(gross)]);
    expect(paid).toEqual([
      [first, -940],
      [third, -1_930],
    ]);
  });

  test('names each row otherwise, and the same ones each time', async () => {
    const { rows } = await read({ format });
    expect(new Set(rows.map(({ identity }) => identity)).size).toBe(rows.length);
    expect(await read({ format })).toEqual({ rows, bad: [], statements: [] });
  });

  test('has the days that are asked for, as whole batches, or one batch alone', async () => {
    const { rows } = await read({ format, ...FAR });
    const [batch, ...more] = new Set(rows.map((row) => row.batch));
    expect(more).toEqual([]);
    const all = await read({ format });
    const own = all.rows.filter((row) => row.batch === batch);
    const [first] = own;
    expect(rows.map(({ identity }) => identity)).toEqual(own.map(({ identity }) => identity));
    expect((await read({ format, batch })).rows.length).toBe(own.length);
    expect(first?.occurredAtMs).toBeGreaterThanOrEqual(Date.UTC(2026, 10, 21));
    expect((await read({ format, from: '2026-12-31' })).rows).toEqual([]);
  });
});

describe.each(REPORT_FORMATS)('a wrong report as %s', (format) => {
  /** Rows that are not in the right one, and those that are in it alone; a row told twice is there twice. */
  async function differences(faults: ReportFault[]) {
    const [wrong, right] = [await read({ format, faults }), await read({ format })];
    expect(wrong.bad).toEqual([]);
    return { more: without(wrong.rows, right.rows), fewer: without(right.rows, wrong.rows) };
  }

  const comparable = ({ line: _, identity: __, ...row }: ReportRow): string =>
    JSON.stringify(row, (_key, value) => (typeof value === 'bigint' ? String(value) : value));

  function without(rows: readonly ReportRow[], others: readonly ReportRow[]): ReportRow[] {
    const left = others.map(comparable);
    return rows.filter((row) => {
      const at = left.indexOf(comparable(row));
      if (at !== -1) left.splice(at, 1);
      return at === -1;
    });
  }

  const isOfPayment = ({ type }: ReportRow): boolean => !['fee', 'payout'].includes(type);

  test.each([
    ['missing_row', 0, 1],
    ['duplicate', 1, 0],
    ['amount', 1, 1],
    ['currency', 1, 1],
    ['fee', 1, 1],
    ['date', 1, 1],
    ['status', 1, 0],
    ['unknown', 1, 0],
    ['batch', 0, 0],
  ] as const)('%s: one row of a payment is, and the header says which', async (fault, more, fewer) => {
    const is = await differences([fault]);
    const [own, others] = [is.more.filter(isOfPayment), is.fewer.filter(isOfPayment)];
    expect([own.length, others.length]).toEqual([more, fewer]);
    const { planted } = write({ format, faults: [fault] });
    expect(planted.map((one) => one.fault)).toEqual([fault]);
    for (const { reference } of [...own, ...others]) expect(reference).toBe(planted[0]?.reference);
  });

  test('every fault at once is of a payment of its own, and all but the batch add up', async () => {
    const { planted } = write({ format, faults: [...REPORT_FAULTS] });
    expect(planted.map(({ fault }) => fault).sort()).toEqual([...REPORT_FAULTS].sort());
    expect(new Set(planted.map(({ reference }) => reference)).size).toBe(REPORT_FAULTS.length);
    expect(write({ format, faults: [...REPORT_FAULTS] }).planted).toEqual(planted);
    const { rows } = await read({ format, faults: [...REPORT_FAULTS] });
    const once = [...new Map(rows.map((row) => [row.identity, row])).values()];
    const wrong = [...sumsByBatch(once)].filter(([, of]) => of !== 0n);
    expect(wrong).toEqual([[`${planted.find(({ fault }) => fault === 'batch')?.batch} EUR`, 1n]]);
  });

  test('a batch that another fault leaves with nothing to pay out is not wrong besides', () => {
    const life = lifeOf('a', { type: 'captured', amount: '4000', at: day(0) });
    const of = (faults: ReportFault[]) => write({ format, faults }, [life]).planted.map(({ fault }) => fault);
    expect([of(['batch']), of(['missing_row', 'batch'])]).toEqual([['batch'], ['missing_row']]);
  });

  test('what finds nothing to befall is not planted', () => {
    const life: Life = { ref: 'p', currency: 'EUR', plot: 'abandoned', facts: [] };
    expect(write({ format, faults: [...REPORT_FAULTS] }, [life]).planted).toEqual([]);
  });
});

test('a report is written as it is asked for, row by row', () => {
  const format: ReportFormat = 'adyen_settlement_detail';
  const [header, first] = reportOf(LIVES, { format }, new Random('report')).lines;
  expect([header?.split(',').length, first?.split(',').length]).toEqual([37, 37]);
});
