import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ADYEN_HEADER, GENERIC_HEADER, type Read, readAll, reportFixture } from '../../../../test/support/reports.js';
import { SEED } from '../../../../test/support/seed.js';
import { ROW_TYPES } from '../report-row.js';
import { SOURCES, type Source } from './sources.js';
import { UnreadableReport } from './unreadable-report.js';

const FIXTURES: readonly (readonly [Source, string])[] = [
  ['generic', 'generic.csv'],
  ['adyen_settlement_detail', 'adyen-settlement-detail.csv'],
  ['stripe_payout_reconciliation', 'stripe-payout-reconciliation.csv'],
  ['camt053', 'camt053-001-08.xml'],
  ['camt053', 'camt053-001-02.xml'],
];

/** Cuts bytes at given places. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const at = [0, ...places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end));
}

const name = fc.string({ unit: 'grapheme', maxLength: 40 }).map((text) => text.replaceAll(/[\p{C}\p{Z}]/gu, '') || 'x');
const minor = fc.bigInt({ min: -9_007_199_254_740_991n, max: 9_007_199_254_740_991n });

/** What a row of the generic form says, with net as gross less fee. */
const generic = fc.record({
  reference: name,
  objectRef: fc.option(name, { nil: undefined }),
  type: fc.constantFrom(...ROW_TYPES),
  gross: minor.map((amount) => amount / 2n),
  fee: minor.map((amount) => amount / 2n),
  currency: fc.constantFrom('EUR', 'JPY', 'KWD'),
  occurredAtMs: fc.integer({ min: Date.parse('2000-01-02T00:00:00Z'), max: Date.parse('2099-12-30T00:00:00Z') }),
  batch: fc.option(name, { nil: undefined }),
});
const quotes = fc.constantFrom('never', 'always');

function cell(text: string, separator: string, whether: string): string {
  const isNeeded = whether === 'always' || /["\r\n]/.test(text) || text.includes(separator);
  return isNeeded ? `"${text.replaceAll('"', '""')}"` : text;
}

describe('a report that is written by our rules', () => {
  it('is read as it was written, whatever separates its cells, rows and pieces', async () => {
    const form = fc.record({
      separator: fc.constantFrom(',', ';', '\t'),
      newline: fc.constantFrom('\n', '\r\n'),
      whether: quotes,
      places: fc.array(fc.nat(), { maxLength: 20 }),
      columns: fc.shuffledSubarray(GENERIC_HEADER.split(','), { minLength: 9 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(generic, { maxLength: 30 }),
        form,
        async (rows, { separator, newline, whether, places, columns }) => {
          const lines = rows.map((row) => {
            const at = new Date(row.occurredAtMs).toISOString();
            const cells: Record<string, string> = {
              ...{
                reference: row.reference,
                object_ref: row.objectRef ?? '',
                type: row.type,
                gross: String(row.gross),
              },
              ...{ fee: String(row.fee), net: String(row.gross - row.fee), currency: row.currency, occurred_at: at },
              batch: row.batch ?? '',
            };
            return columns.map((column) => cell(cells[column] ?? '', separator, whether)).join(separator);
          });
          const bytes = Buffer.from([columns.join(separator), ...lines].join(newline));
          const read = await readAll('generic', cut(bytes, places));
          expect(read.bad).toEqual([]);
          expect(read.rows).toMatchObject(rows.map((row) => ({ ...row, net: row.gross - row.fee })));
        },
      ),
      { seed: SEED, numRuns: 200 },
    );
  });
});

describe('a report', () => {
  it.each(FIXTURES)('of %s is read alike in pieces of any size', async (source, fixture) => {
    const bytes = Buffer.from(reportFixture(fixture));
    const whole = await readAll(source, bytes);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(), { maxLength: 200 }), async (places) => {
        expect(await readAll(source, cut(bytes, places))).toEqual(whole);
      }),
      { seed: SEED, numRuns: 50 },
    );
  });

  it('is read alike over the pieces that it is read in, byte by byte too', async () => {
    const [header = '', ...lines] = reportFixture('adyen-settlement-detail.csv').trimEnd().split('\n');
    const rows = Array.from({ length: 700 }, (_, at) => lines[at % lines.length]);
    const bytes = Buffer.from([header, ...rows].join('\n'));
    const { rows: found, bad } = await readAll(
      'adyen_settlement_detail',
      [...bytes].map((byte) => Uint8Array.of(byte)),
    );
    expect(bad).toEqual([]);
    expect(found.map(({ line }) => line)).toEqual(rows.map((_, at) => at + 2));
  });

  it('of whatever bytes is read, listed or refused, and nothing else happens', async () => {
    const garbage = fc.oneof(
      fc.uint8Array({ maxLength: 4_000 }),
      fc
        .string({ unit: fc.constantFrom(...',;"\n\r\t <>&![]-/x1.'), maxLength: 2_000 })
        .map((text) => Buffer.from(text)),
    );
    const given = fc.tuple(
      fc.constantFrom(...(Object.keys(SOURCES) as Source[])),
      garbage,
      fc.constantFrom(...FIXTURES),
      fc.nat(),
      fc.nat(),
    );
    await fc.assert(
      fc.asyncProperty(given, async ([any, bytes, [source, fixture], place, length]) => {
        // Alone, after a header of its own, and in the middle of a report instead of some of it.
        await readOrRefused(any, bytes);
        await readOrRefused('generic', Buffer.concat([Buffer.from(`${GENERIC_HEADER}\n`), bytes]));
        await readOrRefused('adyen_settlement_detail', Buffer.concat([Buffer.from(`${ADYEN_HEADER}\n`), bytes]));
        const whole = Buffer.from(reportFixture(fixture));
        const at = place % whole.length;
        const rest = whole.subarray(at + (length % 200));
        await readOrRefused(source, Buffer.concat([whole.subarray(0, at), bytes.subarray(0, length % 200), rest]));
      }),
      { seed: SEED, numRuns: 500 },
    );
  });
});

async function readOrRefused(source: Source, bytes: Uint8Array): Promise<void> {
  const read: Read | undefined = await readAll(source, bytes).catch((error: unknown) => {
    if (error instanceof UnreadableReport) return undefined;
    throw error;
  });
  for (const told of [read?.rows ?? [], read?.bad ?? []]) {
    const lines = told.map(({ line }) => line);
    expect(lines).toEqual([...new Set(lines)].sort((a, b) => a - b));
  }
  for (const { gross, fee, net } of read?.rows ?? []) expect(net).toBe(gross - fee);
  for (const { excerpt } of read?.bad ?? []) {
    expect(excerpt.length).toBeLessThanOrEqual(200);
    expect(excerpt).not.toMatch(/\0/);
  }
}
