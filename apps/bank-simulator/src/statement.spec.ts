import { describe, expect, test } from 'vitest';
import { readAll } from '../../../test/support/reports.js';
import { all, type Read, readXml, textAt } from '../../../test/support/xml.js';
import { type Credit, creditBooking } from './booking.js';
import { Instruction } from './instruction.js';
import { type Account, statementOf } from './statement.js';
import { STATEMENT_FAULTS, type StatementFault } from './statement-faults.js';

const DAY = '2026-11-27';
const NOON = Date.parse(`${DAY}T12:00:00Z`);
const DAY_MS = 86_400_000;

let keys = 0;

/** `words`: when what happened to it happened. */
function instruction(amount: string, currency: string, destination: string, ...words: number[]): Instruction {
  keys += 1;
  const order = { key: `1-${keys}`, amount, currency, destination, reference: `R${keys} <&"'> ]]>` };
  const made = new Instruction(order, `BK${keys}`, words[0] ?? NOON);
  for (const atMs of words) {
    const next = made.next({ delayMs: 0, returnDelayMs: 0 });
    if (next) made.say({ ...next, atMs });
  }
  return made;
}

/** Accounts as the bank has them. */
function accountsOf(instructions: readonly Instruction[], credits: readonly Credit[] = []): Account[] {
  const bookings = credits.map((credit, index) => creditBooking(credit, index + 1));
  const currencies = new Set([
    ...instructions.map(({ order }) => order.currency),
    ...bookings.map((one) => one.currency),
  ]);
  return [...currencies].map((currency) => ({
    currency,
    instructions: instructions.filter(({ order }) => order.currency === currency),
    credits: bookings.filter((one) => one.currency === currency),
  }));
}

function wrong(accounts: Account[], faults: StatementFault[], account?: string) {
  const statement = statementOf(accounts, { date: DAY, account, nowMs: NOON, faults });
  const text = statement && [...statement.content].join('');
  return {
    statements: text === undefined ? [] : all(readXml(text), 'BkToCstmrStmt/Stmt'),
    planted: statement?.planted,
  };
}

const read = (instructions: Instruction[], account?: string): Read[] =>
  wrong(accountsOf(instructions), [], account).statements;

/** In the smallest unit there is of any currency; the sign by its indicator. */
function amountOf(element: Read): bigint {
  const [whole = '', part = ''] = textAt(element, 'Amt').split('.');
  const size = BigInt(whole + part.padEnd(3, '0'));
  return textAt(element, 'CdtDbtInd') === 'DBIT' ? -size : size;
}

describe('the statement of a day', () => {
  test('is opening balance + entries = closing balance, for each currency, and begins where the day before ended', () => {
    const instructions = [
      instruction('1999', 'EUR', 'bank_ok', NOON - DAY_MS),
      instruction('29', 'EUR', 'bank_ok', NOON),
      instruction('115', 'EUR', 'bank_returned', NOON - DAY_MS, NOON),
      instruction('7', 'JPY', 'bank_ok', NOON),
      instruction('1001', 'KWD', 'bank_ok', NOON),
      instruction('500', 'EUR', 'bank_ok', NOON + DAY_MS),
    ];
    const statements = read(instructions);
    expect(statements.map((one) => textAt(one, 'Acct/Ccy'))).toEqual(['EUR', 'JPY', 'KWD']);
    for (const statement of statements) {
      const [opening, closing] = all(statement, 'Bal').map(amountOf) as [bigint, bigint];
      const entries = all(statement, 'Ntry').map(amountOf);
      expect(entries.length).toBeGreaterThan(0);
      expect(opening + entries.reduce((sum, amount) => sum + amount, 0n)).toBe(closing);
    }
    const [eur, jpy, kwd] = statements as [Read, Read, Read];
    expect(all(eur, 'Bal').map((one) => textAt(one, 'Amt'))).toEqual(['21.14', '20.28']);
    expect(all(eur, 'Ntry').map((one) => textAt(one, 'Amt'))).toEqual(['0.29', '1.15']);
    expect([textAt(jpy, 'Ntry/Amt'), textAt(kwd, 'Ntry/Amt')]).toEqual(['7', '1.001']);
  });

  test('names each payment by our reference, and its return as one', () => {
    const paid = instruction('100', 'EUR', 'bank_returned', NOON, NOON);
    const [statement] = read([paid]) as [Read];
    const entries = all(statement, 'Ntry').map((entry) => ({
      indicator: textAt(entry, 'CdtDbtInd'),
      isReversal: textAt(entry, 'RvslInd'),
      status: textAt(entry, 'Sts/Cd'),
      reference: textAt(entry, 'NtryDtls/TxDtls/Refs/EndToEndId'),
      key: textAt(entry, 'NtryDtls/TxDtls/RmtInf/Ustrd'),
      reasons: all(entry, 'NtryDtls/TxDtls/RtrInf/Rsn/Cd').map(({ text }) => text),
    }));
    const same = { status: 'BOOK', reference: paid.order.reference, key: paid.order.key };
    expect(entries).toEqual([
      { ...same, indicator: 'DBIT', isReversal: 'false', reasons: [] },
      { ...same, indicator: 'CRDT', isReversal: 'true', reasons: ['AC04'] },
    ]);
  });

  test('has nothing of what was refused, or failed and was not paid after all', () => {
    const contradicted = instruction('5', 'EUR', 'bank_contradicts', NOON, NOON);
    const others = [instruction('3', 'EUR', 'bank_contradicts', NOON), instruction('4', 'EUR', 'bank_refused')];
    const [statement] = read([contradicted, ...others]) as [Read];
    expect(all(statement, 'Ntry').map(amountOf)).toEqual([-50n]);
  });

  test('has what happens at midnight on the day that begins, and not on the one that ends', () => {
    const midnight = Date.parse(`${DAY}T00:00:00Z`);
    const at = (amount: string, atMs: number) => instruction(amount, 'EUR', 'bank_ok', atMs);
    const [statement] = read([
      at('1', midnight - 1),
      at('2', midnight),
      at('4', midnight + DAY_MS - 1),
      at('8', midnight + DAY_MS),
    ]) as [Read];
    expect(all(statement, 'Ntry').map(amountOf)).toEqual([-20n, -40n]);
    expect(all(statement, 'Bal').map(amountOf)).toEqual([-10n, -70n]);
  });

  test('is of one account where one is asked for, and of none that is not there', () => {
    const instructions = [instruction('1', 'EUR', 'bank_ok', NOON), instruction('1', 'USD', 'bank_ok', NOON)];
    expect(read(instructions, 'COUNTERFOIL-USD').map((one) => textAt(one, 'Acct/Ccy'))).toEqual(['USD']);
    expect(read(instructions, 'COUNTERFOIL-CHF')).toEqual([]);
  });
});

describe('credits', () => {
  const credit = (reference: string, amount: string, atMs: number, currency = 'EUR'): Credit => ({
    reference,
    amount,
    currency,
    at: new Date(atMs).toISOString(),
  });

  test('are booked on their day, each with what it is for, and open an account', () => {
    const { statements } = wrong(
      accountsOf(
        [],
        [credit('batch 1', '29', NOON - DAY_MS), credit('batch <2>', '115', NOON), credit('b', '7', NOON, 'JPY')],
      ),
      [],
    );
    const [eur, jpy] = statements as [Read, Read];
    expect(all(eur, 'Bal').map(amountOf)).toEqual([290n, 1_440n]);
    expect(all(eur, 'Ntry').map(amountOf)).toEqual([1_150n]);
    expect(all(eur, 'Ntry').map((one) => textAt(one, 'NtryDtls/TxDtls/RmtInf/Ustrd'))).toEqual(['batch <2>']);
    expect(textAt(eur, 'Ntry/NtryDtls/TxDtls/Refs/EndToEndId')).toBe('NOTPROVIDED');
    expect(textAt(jpy, 'Acct/Ccy')).toBe('JPY');
  });
});

test('a reader that knows nothing of the writer reads each entry as what it is, and balances that agree', async () => {
  const returned = instruction('115', 'EUR', 'bank_returned', NOON, NOON);
  const credit = { reference: 'batch 417', amount: '1999', currency: 'EUR', at: `${DAY}T06:00:00Z` };
  const statement = statementOf(accountsOf([returned], [credit]), { date: DAY, nowMs: NOON });
  const { rows, bad, statements } = await readAll('camt053', [...(statement?.content ?? [])].join(''));
  const shown = rows.map(({ type, reference, gross, batch }) => [type, reference, gross, batch]);
  expect([shown, bad]).toEqual([
    [
      ['payout', returned.order.reference, -115n, undefined],
      ['payout', returned.order.reference, 115n, undefined],
      ['other', 'COUNTERFOIL-EUR/CR0000000001', 1_999n, 'batch 417'],
    ],
    [],
  ]);
  expect(statements).toMatchObject([{ currency: 'EUR', opening: 0n, entries: 1_999n, closing: 1_999n }]);
});

describe('on demand a statement is wrong', () => {
  const failed = instruction('5', 'EUR', 'bank_contradicts', NOON);
  const paid = ['100', '200', '300'].map((amount) => instruction(amount, 'EUR', 'bank_ok', NOON));
  const accounts = accountsOf(
    [...paid, failed],
    [{ reference: 'b1', amount: '900', currency: 'EUR', at: `${DAY}T01:00:00Z` }],
  );
  const entriesOf = (faults: StatementFault[]): string[] =>
    wrong(accounts, faults)
      .statements.flatMap((one) => all(one, 'Ntry'))
      .map((one) => `${textAt(one, 'NtryDtls/TxDtls/RmtInf/Ustrd')} ${amountOf(one) / 10n}`);
  const [first, second, third] = paid.map(({ order }) => order.key) as [string, string, string];
  const right = [`${first} -100`, `${second} -200`, `${third} -300`, 'b1 900'];

  test.each([
    ['missing_row', paid[2], [`${first} -100`, `${second} -200`, 'b1 900']],
    ['duplicate', paid[2], [...right.slice(0, 3), `${third} -300`, 'b1 900']],
    ['amount', paid[2], [`${first} -100`, `${second} -200`, `${third} -301`, 'b1 900']],
    ['status', failed, [...right, `${failed.order.key} -5`]],
    ['unknown', 'nobody', [...right, 'nobody -1000']],
    ['batch', 'b1', [...right.slice(0, 3), 'b1 901']],
    ['balance', 'EUR', right],
  ] as const)('%s: and says which entry is', (fault, entry, entries) => {
    const { statements, planted } = wrong(accounts, [fault]);
    expect(entriesOf([fault])).toEqual(entries);
    expect(planted).toEqual([{ fault, reference: typeof entry === 'string' ? entry : entry?.order.reference }]);
    const [opening, closing] = all(statements[0] as Read, 'Bal').map(amountOf) as [bigint, bigint];
    const moved = all(statements[0] as Read, 'Ntry').reduce((sum, one) => sum + amountOf(one), 0n);
    expect(closing - opening - moved, 'but for its balance it adds up').toBe(fault === 'balance' ? 10n : 0n);
  });

  test('in several ways at once, each in an entry of its own, the same each time; nowhere where nothing is there', () => {
    const faults = [...STATEMENT_FAULTS];
    const { planted } = wrong(accounts, faults);
    expect(new Set(planted?.map(({ reference }) => reference)).size).toBe(STATEMENT_FAULTS.length);
    expect(wrong(accounts, faults).planted).toEqual(planted);
    expect(entriesOf([])).toEqual(right);
    expect(wrong(accountsOf([paid[0] as Instruction]), ['batch', 'status']).planted).toEqual([]);
  });
});
