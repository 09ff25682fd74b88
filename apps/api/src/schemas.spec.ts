import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { amountIn, currencyIn, floorIn, idIn, listQuery, metadataIn, parseTimestamp, versionIn } from './schemas.js';

const read = (schema: z.ZodType, value: unknown) => {
  const result = schema.safeParse(value);
  return result.success ? result.data : `refused`;
};

describe('amountIn', () => {
  it.each([
    ['1', 1n],
    [12500, 12500n],
    ['9007199254740993', 9007199254740993n],
    [2 ** 53 - 1, 9007199254740991n],
    ['007', 7n],
  ])('takes %j', (value, amount) => expect(read(amountIn, value)).toBe(amount));

  it.each([
    0,
    '0',
    -1,
    '-1',
    '+1',
    '1.0',
    1.5,
    Number.NaN,
    2 ** 53,
    '1e3',
    '0x10',
    '',
    ' 1',
    '１',
    '9'.repeat(41),
    null,
    true,
    {},
    [1],
    undefined,
  ])('refuses %j', (value) => expect(read(amountIn, value)).toBe('refused'));

  it('says what is missing when it is', () => {
    const result = z.strictObject({ amount: amountIn }).safeParse({});
    expect(result.error?.issues).toMatchObject([{ path: ['amount'] }]);
  });
});

describe('floorIn', () => {
  it('may be negative, and stays within what a balance can hold', () => {
    expect(read(floorIn, '-500')).toBe(-500n);
    expect(read(floorIn, -500)).toBe(-500n);
    expect(read(floorIn, '4611686018427387905')).toBe('refused');
    expect(read(floorIn, '--5')).toBe('refused');
  });
});

describe('versionIn and idIn', () => {
  it('take digits', () => {
    expect(read(versionIn, '0')).toBe(0n);
    expect(read(versionIn, 3)).toBe(3n);
    expect(read(versionIn, -1)).toBe('refused');
    expect(read(idIn, '249956523482091520')).toBe(249956523482091520n);
    expect(read(idIn, '9223372036854775808')).toBe('refused');
    expect(read(idIn, 5)).toBe('refused');
  });
});

describe('currencyIn', () => {
  it.each(['eur', 'XXZ', 'EURO', '', 'EU', 978])('refuses %j', (code) =>
    expect(read(currencyIn, code)).toBe('refused'),
  );
  it.each(['EUR', 'JPY', 'KWD'])('takes %s', (code) => expect(read(currencyIn, code)).toBe(code));
});

describe('parseTimestamp', () => {
  it.each([
    ['2026-11-21T17:09:00Z', '2026-11-21T17:09:00.000Z'],
    ['2026-11-21T17:09:00.123456789Z', '2026-11-21T17:09:00.123Z'],
    ['2026-11-21T17:09:00.5+02:30', '2026-11-21T14:39:00.500Z'],
    ['2024-02-29t00:00:00z', '2024-02-29T00:00:00.000Z'],
  ])('reads %s', (text, time) => expect(new Date(parseTimestamp(text) ?? Number.NaN).toISOString()).toBe(time));

  it.each([
    '2026-02-30T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-11-21T24:00:00Z',
    '2026-11-21T23:60:00Z',
    '2026-11-21',
    '2026-11-21 17:09:00Z',
    '2026-11-21T17:09:00',
    '2026-11-21T17:09:00+0200',
    '2026-11-21T17:09:00+24:00',
    '0001-01-01T00:00:00Z',
    '9999-01-01T00:00:00Z',
    'now',
    '',
  ])('refuses %j', (text) => expect(parseTimestamp(text)).toBeUndefined());
});

describe('metadataIn', () => {
  it('has at most 50 entries of short, flat values', () => {
    expect(read(metadataIn, { a: 'x', b: 1, c: true })).toEqual({ a: 'x', b: 1, c: true });
    expect(read(metadataIn, Object.fromEntries(Array.from({ length: 51 }, (_, n) => [`k${n}`, 'v'])))).toBe('refused');
    expect(read(metadataIn, { a: { b: 1 } })).toBe('refused');
    expect(read(metadataIn, { a: 'x'.repeat(501) })).toBe('refused');
    expect(read(metadataIn, { a: Number.NaN })).toBe('refused');
  });

  it('looks into no value where there are too many, and tells one fault', () => {
    let looked = 0;
    const look = { enumerable: true, get: () => (looked += 1.5) };
    const many = Object.defineProperties(
      {},
      Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`k${n}`, look])),
    );
    expect(metadataIn.safeParse(many).error?.issues).toMatchObject([
      { path: [], message: 'must have at most 50 keys' },
    ]);
    expect(looked).toBe(0);
  });
});

describe('listQuery', () => {
  const query = z.strictObject(listQuery);
  it('is 1 to 1000, 100 when not given', () => {
    expect(query.parse({}).limit).toBe(100);
    expect(query.parse({ limit: '1000' }).limit).toBe(1000);
    for (const limit of ['0', '1001', '-1', '1.5', 'ten', '', ['1', '2']])
      expect(query.safeParse({ limit }).success).toBe(false);
  });
});
