import { describe, expect, it } from 'vitest';
import { readAll, reportFixture } from '../../../../test/support/reports.js';
import { READING_LIMITS } from './limits.js';
import { UnreadableReport } from './unreadable-report.js';

const FIXTURE = reportFixture('camt053-001-08.xml');
const NAMESPACE = 'urn:iso:std:iso:20022:tech:xsd:camt.053.001.08';
const OPENING = `<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">10.00</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>`;

const statement = (...entries: string[]): string =>
  `<?xml version="1.0" encoding="UTF-8"?><Document xmlns="${NAMESPACE}"><BkToCstmrStmt><Stmt><Id>S1</Id>` +
  `<Acct><Id><IBAN>DE02120300000000202051</IBAN></Id><Ccy>EUR</Ccy></Acct>${OPENING}${entries.join('')}</Stmt></BkToCstmrStmt></Document>`;

interface EntryParts {
  readonly amount?: string;
  readonly way?: string;
  readonly status?: string;
  readonly day?: string;
  readonly own?: string;
  readonly details?: string;
}
const entry = (parts: EntryParts = {}): string => {
  const {
    amount = '19.99',
    way = 'DBIT',
    status = 'BOOK',
    day = '2026-11-26',
    own = '<AcctSvcrRef>A1</AcctSvcrRef>',
  } = parts;
  return (
    `<Ntry><Amt Ccy="EUR">${amount}</Amt><CdtDbtInd>${way}</CdtDbtInd><Sts><Cd>${status}</Cd></Sts>` +
    `<BookgDt><Dt>${day}</Dt></BookgDt>${own}<NtryDtls>${parts.details ?? transaction()}</NtryDtls></Ntry>`
  );
};
const transaction = (reference = 'p1', more = ''): string =>
  `<TxDtls><Refs><EndToEndId>${reference}</EndToEndId></Refs>${more}</TxDtls>`;
const amount = (text: string): string => `<Amt Ccy="EUR">${text}</Amt>`;

async function refusal(text: string | Uint8Array): Promise<string> {
  const error = await readAll('camt053', text).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UnreadableReport);
  return (error as Error).message;
}

describe('what is no bank statement is refused:', () => {
  it.each([
    [
      'another message',
      FIXTURE.replaceAll('camt.053.001.08', 'camt.054.001.08'),
      'camt.053.001.02 or later was expected',
    ],
    ['another document', '<html><body/></html>', 'begins with <html>'],
    ['no XML', 'reference,type\n1,2\n', 'is no XML'],
    ['nothing but a declaration', '<?xml version="1.0"?>\n', 'is no XML'],
    [
      'entities of its own',
      `<!DOCTYPE Document [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>${statement(entry({ amount: '&b;' }))}`,
      'has a document type declaration',
    ],
    [
      'entities from elsewhere',
      `<!DOCTYPE x SYSTEM "file:///etc/passwd">${statement()}`,
      'has a document type declaration',
    ],
    [
      'statements without end',
      `<Document xmlns="${NAMESPACE}"><BkToCstmrStmt>${'<Stmt></Stmt>'.repeat(10_001)}`,
      'has more than 10000 statements',
    ],
    ['a million levels', `${statement().split('<Bal>')[0]}${'<a>'.repeat(1_000_000)}`, 'nested more than 64 deep'],
    [
      'a text without end',
      `${statement().split('<Bal>')[0]}<Bal>${'x'.repeat(1_000_000)}`,
      'goes on for more than 65536 bytes without an element',
    ],
    ['a tag without end', `${statement().split('<Bal>')[0]}<${'x'.repeat(1_000_000)}`, 'without an element'],
    ['a comment without end', `<!--${'x'.repeat(1_000_000)}`, 'without an element'],
    ['an encoding that is not read', FIXTURE.replace('UTF-8', 'EBCDIC-CP-US'), 'is in "EBCDIC-CP-US"'],
    ['a zip', Buffer.from('PK\x03\x04rest'), 'a zip archive'],
  ])('%s', async (_, text, problem) => {
    expect(await refusal(text)).toContain(problem);
  });
});

describe('what can be read is read:', () => {
  it('up to where the file is cut', async () => {
    const whole = statement(entry(), entry({ own: '<AcctSvcrRef>A2</AcctSvcrRef>' }), entry());
    const { rows, bad, statements } = await readAll('camt053', whole.slice(0, whole.lastIndexOf('<Ntry>') + 90));
    expect(rows.map(({ line }) => line)).toEqual([1, 2]);
    expect(bad).toMatchObject([{ line: 3, problem: expect.stringContaining('cannot be read from here on') }]);
    expect(statements).toEqual([]);
  });

  it('up to where it is not well-formed, or names an entity that XML does not have', async () => {
    for (const wrong of ['</Oops>', '&nbsp;', '<a b=c>', '\u{0001}']) {
      const { rows, bad } = await readAll('camt053', statement(entry(), wrong, entry()));
      expect(rows).toHaveLength(1);
      expect(bad).toMatchObject([{ line: 2, problem: expect.stringContaining('cannot be read from here on') }]);
    }
  });

  it.each([
    ['an amount of 1.234,56', { amount: '1.234,56' }, 'is no amount'],
    ['an amount of 1e3', { amount: '1e3' }, 'is no amount'],
    ['an amount below zero', { amount: '-19.99' }, 'has a sign beside CdtDbtInd'],
    ['an amount of 19.999', { amount: '19.999' }, 'has more decimals than EUR has'],
    ['no amount', { amount: '' }, 'is no amount'],
    ['no direction', { way: '' }, 'is neither CRDT nor DBIT'],
    ['a day that is none', { day: '2026-11-31' }, 'is no time'],
  ])('beside an entry with %s', async (_, parts, problem) => {
    const { rows, bad } = await readAll('camt053', statement(entry(parts), entry()));
    expect(bad).toMatchObject([{ line: 1, problem: expect.stringContaining(problem) }]);
    expect(rows.map(({ line, gross }) => [line, gross])).toEqual([[2, -1999n]]);
  });

  it('beside an entry that is not as much as its transactions', async () => {
    const details = transaction('p1', amount('1.15')) + transaction('p2', amount('0.29'));
    const { rows, bad, statements } = await readAll('camt053', statement(entry({ amount: '1.45', details })));
    expect(rows.map(({ gross }) => gross)).toEqual([-115n, -29n]);
    expect(bad).toMatchObject([{ line: 3, problem: 'its 2 transactions come to -144, not to -145, in minor units' }]);
    expect(statements).toMatchObject([{ entries: -145n }]);
  });

  it('beside one of several transactions that does not say its amount', async () => {
    const details = transaction('p1', amount('1.15')) + transaction('p2');
    const { rows, bad } = await readAll('camt053', statement(entry({ amount: '1.15', details })));
    expect(rows.map(({ reference }) => reference)).toEqual(['p1']);
    expect(bad).toMatchObject([{ line: 2, problem: expect.stringContaining('does not say its amount') }]);
  });

  it('in Latin-1, if it says so', async () => {
    const credit = entry({
      way: 'CRDT',
      details: transaction('NOTPROVIDED', '<RmtInf><Ustrd>Röstkaffee batch 4</Ustrd></RmtInf>'),
    });
    const text = statement(credit).replace('UTF-8', 'ISO-8859-1');
    expect((await readAll('camt053', Buffer.from(text, 'latin1'))).rows).toMatchObject([
      { batch: 'Röstkaffee batch 4' },
    ]);
  });

  it('with a byte-order mark, CDATA and character references', async () => {
    const text = `\u{feff}${statement(entry({ details: transaction('<![CDATA[p]]>&#49;') }))}`;
    expect((await readAll('camt053', text)).rows).toMatchObject([{ reference: 'p1' }]);
  });
});

describe('which way money went', () => {
  const returned = '<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>';
  it.each([
    ['a payout', entry(), 'payout', -1999n],
    ['a payout that came back', entry({ way: 'CRDT', details: transaction('p1', returned) }), 'payout', 1999n],
    [
      'a reversal of a payout',
      entry({ way: 'CRDT' }).replace('<Sts>', '<RvslInd>true</RvslInd><Sts>'),
      'payout',
      1999n,
    ],
    [
      'a payout that came back, by the code of what it is alone',
      entry({ way: 'CRDT' }).replace(
        '<NtryDtls>',
        '<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>ICDT</Cd><SubFmlyCd>RRTN</SubFmlyCd></Fmly></Domn></BkTxCd><NtryDtls>',
      ),
      'payout',
      1999n,
    ],
    ['a credit', entry({ way: 'CRDT' }), 'other', 1999n],
    ['a credit that was taken back', entry().replace('<Sts>', '<RvslInd>true</RvslInd><Sts>'), 'other', -1999n],
  ])('is told of %s', async (_, text, type, gross) => {
    expect((await readAll('camt053', statement(text))).rows).toMatchObject([{ type, gross, net: gross, fee: 0n }]);
  });

  it('is not told of what is pending, nor is it in the sum', async () => {
    const { rows, statements } = await readAll('camt053', statement(entry(), entry({ status: 'PDNG' })));
    expect(rows).toHaveLength(1);
    expect(statements).toMatchObject([{ id: 'S1', opening: 1000n, closing: undefined, entries: -1999n }]);
  });
});

describe('what names a transaction', () => {
  const none = transaction('NOTPROVIDED');
  it.each([
    ['the reference that we gave', entry(), 'p1'],
    ['else the account and the bank’s own of the entry', entry({ details: none }), 'DE02120300000000202051/A1'],
    [
      'or of the transaction',
      entry({ details: none.replace('<Refs>', '<Refs><AcctSvcrRef>T7</AcctSvcrRef>') }),
      'DE02120300000000202051/T7',
    ],
    ['or nothing', entry({ details: none, own: '' }), undefined],
  ])('is %s', async (_, text, reference) => {
    expect((await readAll('camt053', statement(text))).rows[0]?.reference).toBe(reference);
  });
});

describe('the identity of a transaction', () => {
  const identities = async (...entries: string[]) =>
    (await readAll('camt053', statement(...entries))).rows.map(({ identity }) => identity);
  const second = entry({ own: '<AcctSvcrRef>A2</AcctSvcrRef>' });

  it('is the bank’s reference, whatever else stands in the file', async () => {
    const [own] = await identities(entry());
    expect((await identities(second, entry()))[1]).toBe(own);
    expect((await identities(second))[0]).not.toBe(own);
  });

  it('tells the transactions of one booking apart', async () => {
    const details = transaction('p1', amount('1.00')) + transaction('p1', amount('1.00'));
    const found = await identities(entry({ amount: '2.00', details }));
    expect(new Set(found).size).toBe(2);
  });

  it('without a reference is what it says, and which of those alike it is', async () => {
    const plain = entry({ own: '' });
    const found = await identities(plain, second, plain, entry({ own: '', amount: '5.00' }));
    expect(new Set(found).size).toBe(4);
    expect(await identities(plain, plain)).toEqual([found[0], found[2]]);
  });

  it('without a reference is counted for so many different ones, and no more', async () => {
    const plain = (cents: number) => entry({ own: '', amount: `1.0${cents}` });
    const limits = { ...READING_LIMITS, nameless: 2 };
    const alike = statement(plain(1), plain(2), plain(1), plain(2), entry(), second);
    expect((await readAll('camt053', alike, limits)).rows).toHaveLength(6);
    const reading = readAll('camt053', statement(plain(1), plain(2), plain(3)), limits);
    await expect(reading).rejects.toThrow('has more than 2 different transactions without an AcctSvcrRef');
  });

  it('of another account is another', async () => {
    const other = statement(entry()).replace('DE02120300000000202051', 'DE02500105170137075030');
    expect((await readAll('camt053', other)).rows[0]?.identity).not.toBe((await identities(entry()))[0]);
  });
});
