import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseJsonBody } from './json-body.js';

const parse = (text: string) => parseJsonBody(Buffer.from(text));

describe('parseJsonBody', () => {
  it('reads what JSON.parse reads, as long as numbers are integers', () => {
    const value = fc
      .jsonValue({ maxDepth: 5, noUnicodeString: false } as never)
      .filter((json) => !JSON.stringify(json).includes('__proto__'));
    fc.assert(
      fc.property(value, (json) => {
        const text = JSON.stringify(json);
        if (/\\u0000|\\ud[89a-f]/i.test(text)) return;
        const integersOnly = JSON.parse(text, (_key, item, context?: { source?: string }) =>
          typeof item === 'number' && !/^-?\d+$/.test(context?.source ?? '') ? Number.NaN : item,
        );
        expect(parse(text)).toEqual(integersOnly);
      }),
    );
  });

  it.each(['1.0', '1e2', '1E2', '-0.5', '1.5e+3'])('makes no integer of %s', (number) => {
    expect(parse(`{"amount": ${number}, "text": "1.5 e"}`)).toEqual({ amount: Number.NaN, text: '1.5 e' });
  });

  it.each(['"a.b"', '"1e5"', '"\\"1.5"', '"\\\\"', 'true', 'false', 'null', '-12'])('leaves %s alone', (value) => {
    expect(parse(`[${value}]`)).toEqual([JSON.parse(value)]);
  });

  it.each([
    ['{"name": "a\\u0000b"}', 'name'],
    ['{"entries": [{"code": "\\ud800"}]}', 'entries.0.code'],
    ['{"a": {"\\udc00x": 1}}', 'a'],
    ['{"a": {"__proto__": {"admin": true}}}', 'a.__proto__'],
    ['{"\\u005f_proto__": 1}', '__proto__'],
  ])('refuses %s at its path', (text, path) => {
    expect(() => parse(text)).toThrow(
      expect.objectContaining({ code: 'validation_failed', errors: [expect.objectContaining({ path })] }),
    );
  });

  it('takes a pair of surrogates that is whole', () => {
    expect(parse('["\\ud83d\\ude00"]')).toEqual(['😀']);
  });

  it.each(['{', '{"a":1,}', 'nul', '[1] 2', '{"a":"\n"}', '01', '"\\x"', '\ufeff{}'])(
    'refuses %j as malformed',
    (text) => {
      expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'malformed_json' }));
    },
  );

  it('refuses bytes that are no UTF-8', () => {
    expect(() => parseJsonBody(Buffer.from([0x22, 0xff, 0x22]))).toThrow(
      expect.objectContaining({ code: 'malformed_json' }),
    );
  });

  it('refuses a million levels as quickly as twenty-one', () => {
    const started = performance.now();
    expect(() => parse('['.repeat(1_000_000))).toThrow(expect.objectContaining({ code: 'validation_failed' }));
    expect(performance.now() - started).toBeLessThan(1_000);
    expect(() => parse(`${'['.repeat(21)}${']'.repeat(21)}`)).toThrow(/nested/);
    expect(parse(`${'['.repeat(20)}${']'.repeat(20)}`)).toBeDefined();
  });

  it('takes an empty body for none', () => {
    expect(parse('')).toBeUndefined();
  });
});
