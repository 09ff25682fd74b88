import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  ADYEN_HEADER,
  adyenReport,
  adyenRow,
  GENERIC_HEADER,
  genericRow,
  readAll,
  reportFixture,
} from '../../../../test/support/reports.js';
import { READING_LIMITS } from './limits.js';
import { readReport } from './read-report.js';
import { UnreadableReport } from './unreadable-report.js';

const ADYEN = 'adyen_settlement_detail';
const FIXTURE = reportFixture('adyen-settlement-detail.csv');
const generic = (...rows: string[]) => readAll('generic', `${[GENERIC_HEADER, ...rows].join('\n')}\n`);

async function refusal(source: Parameters<typeof readAll>[0], sent: string | Uint8Array): Promise<string> {
  const error = await readAll(source, sent).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UnreadableReport);
  return (error as Error).message;
}

/** The rows as they are without what only a line says. */
const withoutLines = ({ rows }: Awaited<ReturnType<typeof readAll>>) => rows.map((row) => ({ ...row, line: 0 }));

describe('the form of a file does not matter:', () => {
  const asTable = FIXTURE.split('\n').map((line) => line.split(','));

  it.each([
    ['a byte-order mark', `\u{feff}${FIXTURE}`],
    ['CRLF', FIXTURE.replaceAll('\n', '\r\n')],
    ['returns alone', FIXTURE.replaceAll('\n', '\r')],
    ['semicolons', FIXTURE.replaceAll(',', ';')],
    ['tabs', FIXTURE.replaceAll(',', '\t')],
    ['quotes around every cell', FIXTURE.replaceAll(/[^,\n]+/g, '"$&"')],
    ['quotes and CRLF', FIXTURE.replaceAll(/[^,\n]+/g, '"$&"').replaceAll('\n', '\r\n')],
    ['no newline at the end', FIXTURE.trimEnd()],
    ['empty lines and rows of separators', FIXTURE.replaceAll('\n', `\n\n${','.repeat(36)}\n`)],
    ['columns the other way round', asTable.map((cells) => cells.toReversed().join(',')).join('\n')],
    ['columns more', asTable.map((cells) => (cells.length > 1 ? ['extra', ...cells].join(',') : '')).join('\n')],
    [
      'columns without a name',
      asTable.map((cells) => (cells.length > 1 ? [...cells, '', ''].join(',') : '')).join('\n'),
    ],
    ['capitals in the header', FIXTURE.replace(ADYEN_HEADER, ADYEN_HEADER.toUpperCase())],
    ['spaces around cells', FIXTURE.replaceAll(',', ' , ')],
  ])('%s', async (_, text) => {
    const read = await readAll(ADYEN, text);
    expect(read.bad).toEqual([]);
    expect(withoutLines(read)).toEqual(withoutLines(await readAll(ADYEN, FIXTURE)));
  });

  it('newlines, separators and quotes within quotes; lines are those of the file', async () => {
    const memo = '"two\nlines, a ""quote""\r\nand a third"';
    const rows = [adyenRow({ 'Merchant Reference': memo }), adyenRow({ 'Psp Reference': '8816178914079739' })];
    const read = await readAll(ADYEN, adyenReport(...rows));
    expect(read.bad).toEqual([]);
    expect(read.rows.map(({ line, reference }) => [line, reference])).toEqual([
      [2, '8816178914079738'],
      [5, '8816178914079739'],
    ]);
  });

  it('Latin-1 beside UTF-8: the money is read, and each name as what it is', async () => {
    const latin = Buffer.from(`${genericRow({ reference: 'Zahlung Möwe' })}\n`, 'latin1');
    const utf8 = Buffer.from(`${genericRow({ reference: 'Zahlung Möwe' })}\n`);
    const { rows, bad } = await readAll('generic', Buffer.concat([Buffer.from(`${GENERIC_HEADER}\n`), latin, utf8]));
    expect(bad).toEqual([]);
    expect(rows.map(({ reference, gross }) => [reference, gross])).toEqual([
      ['Zahlung Möwe', 1999n],
      ['Zahlung Möwe', 1999n],
    ]);
  });

  it('Latin-1 in the header’s other columns', async () => {
    const text = Buffer.from(adyenReport(adyenRow()).replace('Acquirer', 'Händler'), 'latin1');
    expect((await readAll(ADYEN, text)).rows).toHaveLength(1);
  });

  it('a byte-order mark before a column that is needed', async () => {
    const { rows, bad } = await generic(genericRow());
    expect(await readAll('generic', `\u{feff}${GENERIC_HEADER}\n${genericRow()}\n`)).toMatchObject({ rows, bad });
  });
});

describe('what is no report of its source is refused as a whole:', () => {
  it('without columns that it needs: all of them are named', async () => {
    const text = FIXTURE.replace('Psp Reference', 'PSP').replace('Net Debit (NC)', 'Net');
    expect(await refusal(ADYEN, text)).toBe(
      'Psp Reference: is missing in the header; Net Debit (NC): is missing in the header',
    );
    const error = await readAll(ADYEN, text).catch((thrown: UnreadableReport) => thrown);
    expect(error).toMatchObject({
      code: 'validation_failed',
      errors: [{ path: 'Psp Reference' }, { path: 'Net Debit (NC)' }],
    });
  });

  it('but not without columns of fees: then they are what the net amount is less', async () => {
    const text = adyenReport(adyenRow({ 'Net Credit (NC)': '19.48' })).replaceAll(
      /(Commission|Markup|Interchange|Scheme Fees)/g,
      'No $1',
    );
    expect((await readAll(ADYEN, text)).rows[0]).toMatchObject({ gross: 1999n, fee: 51n, net: 1948n });
  });

  it('with a column twice', async () => {
    expect(await refusal(ADYEN, FIXTURE.replace('Reserved4', 'Batch Number'))).toBe(
      'Batch Number: stands in the header 2 times',
    );
  });

  it.each([
    ['nothing', '', 'is empty'],
    ['nothing but newlines', '\n\r\n\n', 'is empty'],
    ['something else', '{"hello": [1, 2]}', 'begins with "{'],
    ['gzip', gzipSync(FIXTURE), 'compressed with gzip'],
    ['zip', Buffer.from('PK\x03\x04 whatever follows'), 'a zip archive'],
    ['UTF-16', Buffer.from(`\u{feff}${FIXTURE}`, 'utf16le'), 'UTF-16'],
    ['a first line without end', 'x'.repeat(1_000_000), 'a first line of more than 65536 bytes'],
  ])('%s', async (_, sent, problem) => {
    expect(await refusal(ADYEN, sent)).toContain(problem);
  });
});

describe('what cannot be read is listed, and the rest is read:', () => {
  it.each([
    ['1,234.56', 'is no amount'],
    ['1.234,56', 'is no amount'],
    ['12,50', 'is no amount'],
    ['1e3', 'is no amount'],
    ['0x10', 'is no amount'],
    ['+5.00', 'is no amount'],
    ['.50', 'is no amount'],
    ['5.', 'is no amount'],
    ['€5.00', 'is no amount'],
    ['NaN', 'is no amount'],
    ['12.345', 'has more decimals than EUR has: 2'],
    ['1.000', 'has more decimals than EUR has: 2'],
    ['90071992547409.92', 'is larger than an amount can be'],
    ['99999999999999999999.00', 'is no amount'],
    ['-19.99', 'has a sign'],
    ['-0', 'has a sign'],
    ['', 'has no gross amount'],
  ])('an amount of %j', async (amount, problem) => {
    const row = adyenRow({ 'Gross Credit (GC)': `"${amount}"`, 'Net Credit (NC)': '' });
    const { rows, bad } = await readAll(ADYEN, adyenReport(adyenRow(), row, adyenRow({ 'Psp Reference': '2' })));
    expect(rows.map(({ line }) => line)).toEqual([2, 4]);
    expect(bad).toEqual([{ line: 3, problem: expect.stringContaining(problem), excerpt: row }]);
  });

  it.each([
    [
      '12.5 in JPY',
      { 'Gross Currency': 'JPY', 'Net Currency': 'JPY', 'Gross Credit (GC)': '12.5' },
      'has more decimals than JPY has: 0',
    ],
    ['an unknown currency', { 'Gross Currency': 'EUX', 'Net Currency': 'EUX' }, '"EUX" is no currency of ISO 4217'],
    ['no currency', { 'Gross Currency': '', 'Net Currency': '' }, '"" is no currency'],
    ['another currency in net than in gross', { 'Net Currency': 'USD' }, '"EUR" and "USD" in one row'],
    ['debit and credit', { 'Gross Debit (GC)': '1.00' }, 'Gross Debit (GC) and Gross Credit (GC) are both filled'],
    [
      'net that is not gross less fee',
      { 'Commission (NC)': '0.02' },
      'net is not gross less fee: 1999 is not 1999 − 2',
    ],
    [
      'a day that is none',
      { 'Creation Date': '2026-02-29 10:00:00' },
      'Creation Date: "2026-02-29 10:00:00" is no time',
    ],
    ['a month that is none', { 'Creation Date': '2026-13-01 10:00:00' }, 'is no time'],
    ['an hour that is none', { 'Creation Date': '2026-11-25 24:00:00' }, 'is no time'],
    ['a day the American way', { 'Creation Date': '11/25/2026 10:00' }, 'is no time'],
    ['a year of long ago', { 'Creation Date': '0026-11-25 10:00:00' }, 'is no time'],
    ['no time', { 'Creation Date': '' }, 'Creation Date: "" is no time'],
    ['a zone that is several', { TimeZone: 'CST' }, '"CST" is not known as a time zone'],
    ['no zone', { TimeZone: '' }, '"" is not known as a time zone'],
    ['no type', { Type: '' }, 'Type: "" is not one of Settled'],
    ['a reference of control characters', { 'Psp Reference': 'a\0b' }, 'has control characters'],
    ['a reference of a page', { 'Psp Reference': 'x'.repeat(256) }, 'is longer than 255 characters'],
  ])('%s', async (_, cells, problem) => {
    const { rows, bad } = await readAll(ADYEN, adyenReport(adyenRow(cells), adyenRow()));
    expect(bad).toMatchObject([{ line: 2, problem: expect.stringContaining(problem) }]);
    expect(rows.map(({ line }) => line)).toEqual([3]);
  });

  it('a type of the generic form that is not ours, and a time that does not say its zone', async () => {
    const { rows, bad } = await generic(
      genericRow({ type: 'sale' }),
      genericRow({ occurred_at: '2026-11-26T13:02:11' }),
      genericRow({ occurred_at: '26/11/2026' }),
      genericRow(),
    );
    expect(bad).toMatchObject([
      { line: 2, problem: 'type: "sale" is not one of payment, refund, dispute, dispute_reversed, fee, payout, other' },
      { line: 3, problem: expect.stringContaining('does not say its zone') },
      { line: 4, problem: expect.stringContaining('"26/11/2026" is no time: YYYY-MM-DDTHH:MM:SSZ was expected') },
    ]);
    expect(rows).toHaveLength(1);
  });

  it('a decimal where minor units are told', async () => {
    expect((await generic(genericRow({ gross: '19.99' }))).bad).toMatchObject([
      {
        line: 2,
        problem: 'gross: "19.99" is no amount: a count of minor units of EUR was expected, digits alone',
      },
    ]);
  });

  it('rows of too few and too many cells', async () => {
    const { rows, bad } = await generic('pay_1,,payment,1999', `${genericRow()},more`, genericRow());
    expect(bad).toMatchObject([
      { line: 2, problem: expect.stringContaining('has 4 cells where the header has 9') },
      { line: 3, problem: expect.stringContaining('has 10 cells where the header has 9') },
    ]);
    expect(rows.map(({ line }) => line)).toEqual([4]);
  });

  it('the header once more, as in reports put one behind the other', async () => {
    const { rows, bad } = await generic(genericRow(), GENERIC_HEADER, genericRow());
    expect(rows.map(({ line }) => line)).toEqual([2, 4]);
    expect(bad).toMatchObject([{ line: 3, problem: 'is the header once more' }]);
  });

  it.each([
    ['an amount', { gross: '12.50 €' }, '"12.50 €" is no amount'],
    ['a type', { type: 'Zahlung für Käse' }, '"Zahlung für Käse" is not one of'],
    ['a currency', { currency: 'Ĉ' }, '"Ĉ" is no currency'],
    [
      'a time',
      { occurred_at: 'gestern früh um zehn nach zwölf vielleicht später' },
      '"gestern früh um zehn nach zwölf vielleic…" is no time',
    ],
  ])('quoting %s as the file says it', async (_, cells, problem) => {
    const { bad } = await generic(genericRow(cells));
    expect(bad).toMatchObject([{ problem: expect.stringContaining(problem) }]);
  });

  it('a row that is cut off with the file', async () => {
    const text = adyenReport(adyenRow(), adyenRow());
    const { rows, bad } = await readAll(ADYEN, text.slice(0, text.length - 40));
    expect(rows.map(({ line }) => line)).toEqual([2]);
    expect(bad).toMatchObject([{ line: 3, problem: expect.stringContaining('cut off') }]);
  });

  it('a quote that is never closed costs its line alone', async () => {
    const { rows, bad } = await generic(genericRow({ reference: '"open' }), genericRow(), genericRow());
    expect(bad).toMatchObject([{ line: 2, problem: 'has a quote that is not closed' }]);
    expect(rows.map(({ line }) => line)).toEqual([3, 4]);
  });

  it('a quote that is closed in the middle of a cell', async () => {
    const { rows, bad } = await generic(genericRow({ reference: '"pay"_1' }), genericRow());
    expect(bad).toMatchObject([{ line: 2, problem: 'has a quote in the middle of a cell' }]);
    expect(rows.map(({ line }) => line)).toEqual([3]);
  });

  it('a line of megabytes, quoted or not', async () => {
    const long = 'x'.repeat(3_000_000);
    for (const reference of [long, `"${long}`, `"${long}"`]) {
      const { rows, bad } = await generic(genericRow(), genericRow({ reference }), genericRow());
      expect(rows.map(({ line }) => line)).toEqual([2, 4]);
      expect(bad).toMatchObject([{ line: 3 }]);
      expect(bad[0]?.excerpt).toHaveLength(200);
    }
  });

  it('a row of a byte more than a row may have, wherever it lies in its piece', async () => {
    const limits = { ...READING_LIMITS, rowBytes: 200 };
    const fits = genericRow({ reference: 'x'.repeat(200 - genericRow({ reference: '' }).length) });
    const rows = [fits, fits.replace('x', 'xx'), fits];
    const read = await readAll('generic', `${[GENERIC_HEADER, ...rows].join('\n')}\n`, limits);
    expect(read.rows.map(({ line }) => line)).toEqual([2, 4]);
    expect(read.bad).toMatchObject([{ line: 3, problem: 'is longer than 200 bytes' }]);
  });

  it('an open quote is given up after as much as a row may have, not at the end of the file', async () => {
    let sent = 0;
    async function* file(): AsyncGenerator<Uint8Array> {
      yield Buffer.from(`${GENERIC_HEADER}\n"open\n`);
      for (; sent < 100; sent += 1) yield Buffer.from(`${genericRow()}\n`.repeat(200));
    }
    for await (const { bad } of readReport('generic', file())) {
      if (bad.length > 0) break;
    }
    expect(sent).toBeLessThan(50);
  });

  it('with excerpts that PostgreSQL takes, whatever stands there', async () => {
    const { bad } = await readAll(
      'generic',
      Buffer.concat([Buffer.from(`${GENERIC_HEADER}\n`), Buffer.from([0, 1, 0xff, 0xc3, 10])]),
    );
    expect(bad[0]?.excerpt).toBe('··ÿÃ');
    const emoji = (await generic('🦆'.repeat(500))).bad[0]?.excerpt ?? '';
    expect(emoji.isWellFormed()).toBe(true);
    expect(emoji.length).toBeLessThanOrEqual(200);
    expect(emoji.startsWith('🦆🦆')).toBe(true);
  });
});

describe('amounts are read exactly:', () => {
  it.each([
    ['19.99', 'EUR', 1999n],
    ['1.15', 'EUR', 115n],
    ['0.29', 'EUR', 29n],
    ['7.5', 'EUR', 750n],
    ['7', 'EUR', 700n],
    ['007.00', 'EUR', 700n],
    ['0', 'EUR', 0n],
    ['90071992547409.91', 'EUR', 9_007_199_254_740_991n],
    ['12', 'JPY', 12n],
    ['1.234', 'KWD', 1234n],
    ['1.2', 'KWD', 1200n],
    // Adyen counts these with other digits than ISO 4217.
    ['1200.00', 'ISK', 1200n],
    ['1200', 'IDR', 120000n],
  ])('%s %s', async (amount, currency, minor) => {
    const cells = {
      'Gross Currency': currency,
      'Net Currency': currency,
      'Gross Credit (GC)': amount,
      'Net Credit (NC)': '',
    };
    const { rows, bad } = await readAll(ADYEN, adyenReport(adyenRow(cells)));
    expect(bad).toEqual([]);
    expect(rows[0]).toMatchObject({ gross: minor, net: minor, fee: 0n, currency });
  });

  it('-0 is nothing, and the sign of the generic form is its own', async () => {
    const { rows } = await generic(genericRow({ gross: '-0' }), genericRow({ gross: '-1999' }));
    expect(rows.map(({ gross }) => gross)).toEqual([0n, -1999n]);
  });
});

describe('times', () => {
  it.each([
    ['2026-10-25 02:30:00', 'CEST', '2026-10-25T00:30:00Z'],
    ['2026-10-25 02:30:00', 'CET', '2026-10-25T01:30:00Z'],
    ['2026-07-01 12:00:00', 'CET', '2026-07-01T11:00:00Z'],
    ['2026-07-01 12:00:00', 'BST', '2026-07-01T11:00:00Z'],
    ['2026-07-01 12:00:00', 'PDT', '2026-07-01T19:00:00Z'],
    ['2026-07-01 12:00:00', 'UTC', '2026-07-01T12:00:00Z'],
    ['2024-02-29 23:59:59', 'AEDT', '2024-02-29T12:59:59Z'],
  ])('%s %s', async (at, TimeZone, utc) => {
    const { rows } = await readAll(ADYEN, adyenReport(adyenRow({ 'Creation Date': at, TimeZone })));
    expect(new Date(rows[0]?.occurredAtMs ?? 0).toISOString()).toBe(new Date(utc).toISOString());
  });
});

describe('the identity of a row', () => {
  const identityOf = async (cells: Record<string, string>) =>
    (await readAll(ADYEN, adyenReport(adyenRow(cells)))).rows[0]?.identity;

  it.each(['Merchant Account', 'Psp Reference', 'Modification Reference', 'Batch Number'])(
    'is another with another %s',
    async (name) => {
      expect(await identityOf({ [name]: '1' })).not.toBe(await identityOf({}));
    },
  );

  it('is another of the other side, type or amount', async () => {
    const own = await identityOf({});
    expect(await identityOf({ 'Gross Credit (GC)': '', 'Gross Debit (GC)': '19.99', 'Net Credit (NC)': '' })).not.toBe(
      own,
    );
    expect(await identityOf({ Type: 'SettledReversed' })).not.toBe(own);
    expect(await identityOf({ 'Gross Credit (GC)': '19.98', 'Net Credit (NC)': '19.98' })).not.toBe(own);
  });

  it('is the same whatever else is written otherwise', async () => {
    const own = await identityOf({});
    expect(await identityOf({ 'Merchant Reference': 'renamed', Reserved4: 'x' })).toBe(own);
    expect(await identityOf({ 'Gross Credit (GC)': '019.990', 'Net Credit (NC)': '' })).toBeUndefined();
    expect(await identityOf({ 'Gross Credit (GC)': '019.99', 'Net Credit (NC)': '' })).toBe(own);
  });

  it('of Stripe’s rows is their balance transaction', async () => {
    const text = reportFixture('stripe-payout-reconciliation.csv');
    const [first] = (await readAll('stripe_payout_reconciliation', text)).rows;
    const moved = await readAll('stripe_payout_reconciliation', text.replaceAll('po_1QNordwind0417', 'po_other'));
    expect(moved.rows[0]?.identity).toBe(first?.identity);
    const nameless = await readAll('stripe_payout_reconciliation', text.replace('txn_3QA1', ''));
    expect(nameless.bad).toMatchObject([{ line: 2, problem: 'balance_transaction_id: nothing names the row' }]);
  });
});
