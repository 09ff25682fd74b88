import { describe, expect, it } from 'vitest';
import { boolArray, byteaArray, int2Array, int4Array, int8Array, textArray, timestamptzArray } from './binary-array.js';

/** PostgreSQL's array_send: dimensions, has-null flag, element oid, length, lower bound; then length and bytes of each. */
function layout(oid: number, hasNull: boolean, elements: readonly (string | null)[]): string {
  const int4 = (value: number): string => (value >>> 0).toString(16).padStart(8, '0');
  const header = [1, hasNull ? 1 : 0, oid, elements.length, 1].map(int4);
  const body = elements.map((hex) => (hex === null ? int4(-1) : int4(hex.length / 2) + hex));
  return [...header, ...body].join('');
}

describe('a binary array', () => {
  it('of int8 holds eight bytes each, negative ones and both ends included', () => {
    const ends = [9_223_372_036_854_775_807n, -9_223_372_036_854_775_808n];
    expect(int8Array([1n, -1n, ...ends]).toString('hex')).toBe(
      layout(20, false, ['0000000000000001', 'ffffffffffffffff', '7fffffffffffffff', '8000000000000000']),
    );
  });

  it('of int8 says that it has nulls, and gives them a length of -1', () => {
    expect(int8Array([null, 2n, undefined]).toString('hex')).toBe(layout(20, true, [null, '0000000000000002', null]));
  });

  it('of integers refuses what does not fit instead of wrapping', () => {
    for (const tooFar of [9_223_372_036_854_775_808n, -9_223_372_036_854_775_809n]) {
      expect(() => int8Array([tooFar])).toThrow(RangeError);
    }
    for (const tooFar of [32_768, -32_769]) expect(() => int2Array([tooFar])).toThrow(RangeError);
    for (const tooFar of [2_147_483_648, -2_147_483_649]) expect(() => int4Array([tooFar])).toThrow(RangeError);
  });

  it('of int2, int4 and bool has two, four and one byte each', () => {
    expect(int2Array([1, -1, 201]).toString('hex')).toBe(layout(21, false, ['0001', 'ffff', '00c9']));
    expect(int4Array([1, -1]).toString('hex')).toBe(layout(23, false, ['00000001', 'ffffffff']));
    expect(boolArray([true, false]).toString('hex')).toBe(layout(16, false, ['01', '00']));
  });

  it('of timestamptz counts microseconds from 2000, before it too', () => {
    const hex = timestamptzArray([
      Date.UTC(2000, 0, 1),
      Date.UTC(2000, 0, 1) + 1,
      Date.UTC(1999, 11, 31, 23, 59, 59, 999),
      null,
    ]);
    expect(hex.toString('hex')).toBe(
      layout(1184, true, ['0000000000000000', '00000000000003e8', 'fffffffffffffc18', null]),
    );
  });

  it('of text counts bytes, not characters', () => {
    expect(textArray(['a', null, undefined, 'b']).toString('hex')).toBe(layout(25, true, ['61', null, null, '62']));
    expect(textArray(['a', undefined]).toString('hex')).toBe(layout(25, true, ['61', null]));
    expect(textArray(['a', '', 'é€😀', null]).toString('hex')).toBe(
      layout(25, true, ['61', '', 'c3a9e282acf09f9880', null]),
    );
  });

  it('of text writes a lone surrogate as the replacement character, in as many bytes as it says', () => {
    expect(textArray(['\ud800x', 'y']).toString('hex')).toBe(layout(25, false, ['efbfbd78', '79']));
  });

  it('of bytea holds the bytes as they are', () => {
    expect(byteaArray([Buffer.from('00ff', 'hex'), Buffer.alloc(0)]).toString('hex')).toBe(
      layout(17, false, ['00ff', '']),
    );
  });

  it('without elements still has its header', () => {
    for (const [buffer, oid] of [
      [int8Array([]), 20],
      [textArray([]), 25],
      [byteaArray([]), 17],
    ] as const) {
      expect(buffer.toString('hex')).toBe(layout(oid, false, []));
    }
  });
});
