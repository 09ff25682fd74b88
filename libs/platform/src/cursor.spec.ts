import { describe, expect, it } from 'vitest';
import { CursorCodec, cursorScope } from './cursor.js';

const codec = new CursorCodec('a secret of some length');
const scope = cursorScope(1n, 'accounts', { currency: 'EUR' });

describe('CursorCodec', () => {
  it('gives the position back', () => {
    expect(codec.decode(scope, codec.encode(scope, '249956523482091520'))).toBe('249956523482091520');
  });

  it.each([
    ['another tenant', cursorScope(2n, 'accounts', { currency: 'EUR' })],
    ['another route', cursorScope(1n, 'transactions', { currency: 'EUR' })],
    ['another filter', cursorScope(1n, 'accounts', { currency: 'USD' })],
    ['no filter', cursorScope(1n, 'accounts')],
  ])('refuses a cursor of %s', (_, other) => {
    expect(() => codec.decode(other, codec.encode(scope, '5'))).toThrow(/cursor/);
  });

  it('refuses a cursor in which any one character was changed', () => {
    const cursor = codec.encode(scope, '249956523482091520');
    for (let index = 0; index < cursor.length; index += 1) {
      const forged = cursor.slice(0, index) + (cursor[index] === 'A' ? 'B' : 'A') + cursor.slice(index + 1);
      expect(() => codec.decode(scope, forged)).toThrow();
    }
  });

  it.each(['', 'x', '=', 'AAAA', `${codec.encode(scope, '5')}=`, `${codec.encode(scope, '5')}\n`, 'A'.repeat(2_000)])(
    'refuses %j',
    (cursor) => {
      expect(() => codec.decode(scope, cursor)).toThrow();
    },
  );

  it('refuses a cursor whose position was moved over to the end of the scope', () => {
    const tag = Buffer.from(codec.encode('list', 'ab'), 'base64url').subarray(0, 16);
    const moved = Buffer.concat([tag, Buffer.from('b')]).toString('base64url');
    expect(() => codec.decode('lista', moved)).toThrow();
  });

  it('takes no empty position, and none that makes a cursor of more than 1,024 characters', () => {
    expect(() => codec.decode(scope, codec.encode(scope, ''))).toThrow();
    const longest = '5'.repeat(1_024 * 0.75 - 16);
    expect(codec.encode(scope, longest)).toHaveLength(1_024);
    expect(codec.decode(scope, codec.encode(scope, longest))).toBe(longest);
    expect(() => codec.decode(scope, codec.encode(scope, `${longest}5`))).toThrow();
  });

  it('names the parameter', () => {
    const refusalOf = (...parameter: [] | ['after']) => {
      try {
        return codec.decode(scope, 'x', ...parameter);
      } catch (error) {
        return (error as { errors: { path: string }[] }).errors[0]?.path;
      }
    };
    expect([refusalOf(), refusalOf('after')]).toEqual(['cursor', 'after']);
  });

  it('does not mind the order of filters or those that were not given', () => {
    expect(cursorScope(1n, 'x', { a: 1, b: undefined, c: 2n })).toBe(cursorScope(1n, 'x', { c: 2n, a: 1 }));
  });
});
