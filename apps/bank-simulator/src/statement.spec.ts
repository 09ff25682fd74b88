import { describe, expect, test } from 'vitest';
import { all, type Read, readXml, textAt } from '../../../test/support/xml.js';
import { Instruction } from './instruction.js';
import { statementOf } from './statement.js';

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

function read(instructions: Instruction[], account?: string): Read[] {
  const text = statementOf(instructions, DAY, account, NOON);
  return text === undefined ? [] : all(readXml(text), 'BkToCstmrStmt/Stmt');
}

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
