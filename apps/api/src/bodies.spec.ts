import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SEED } from '../../../test/support/seed.js';
import { slowClock } from '../../../test/support/slow-clock.js';
import { readJsonBody } from './bodies.js';
import { JsonReader } from './json-reader.js';

const parse = (text: string) => {
  const reader = new JsonReader(Buffer.from(text));
  reader.read();
  return reader.value;
};

/** Any JSON text: white space, escapes and forms of numbers that JSON.stringify would not choose are in it too. */
const { text: jsonText } = fc.letrec<{ text: string; member: string }>((tie) => ({
  text: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom(
      'true',
      'false',
      'null',
      '[]',
      '{}',
      '""',
      '-0',
      '0',
      '1.50',
      '1E+2',
      '-1e-7',
      '12345678901234567890',
    ),
    fc.integer().map(String),
    string(),
    fc.array(tie('text'), { maxLength: 5 }).map((items) => `[ ${items.join(' ,\n')}]`),
    fc.array(tie('member'), { maxLength: 5 }).map((members) => `{\t${members.join(',')} }`),
  ),
  member: fc.tuple(string(), tie('text')).map(([name, value]) => `${name} :\r${value}`),
}));

function string(): fc.Arbitrary<string> {
  const piece = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => JSON.stringify(text).slice(1, -1)),
    fc.constantFrom('\\"', '\\\\', '\\/', '\\n', '\\u0041', '\\u00e9', '\\ud83d\\ude00', '\u{1f600}', 'ж'),
  );
  return fc.array(piece, { maxLength: 4 }).map((pieces) => `"${pieces.join('')}"`);
}

const NO_INTEGER = 'a number that is not written as an integer';
const TOKENS = /("(?:[^"\\]|\\.)*")(\s*:)?|-?\d[\d.eE+-]*/g;

/**
 * What JSON.parse makes of it, with NaN for what is not written as an integer; undefined where it refuses. Names are parsed one
 * by one: V8 in Node 24 names a member `\` that is called `"`, if an object before it had `\` in that place.
 */
function judged(text: string): { value: unknown } | undefined {
  try {
    JSON.parse(text);
  } catch {
    return undefined;
  }
  const names: string[] = [];
  const marked = text.replace(TOKENS, (token: string, string?: string, colon?: string) => {
    if (string && colon) return `"${names.push(JSON.parse(string)) - 1}":`;
    return string || /^-?\d+$/.test(token) ? token : JSON.stringify(NO_INTEGER);
  });
  return { value: unmarked(JSON.parse(marked), names) };
}

function unmarked(value: unknown, names: readonly string[]): unknown {
  if (value === NO_INTEGER) return Number.NaN;
  if (Array.isArray(value)) return value.map((item) => unmarked(item, names));
  if (typeof value !== 'object' || value === null) return value;
  // Defines, rather than sets, so that __proto__ is a member like any other.
  return Object.fromEntries(Object.entries(value).map(([at, member]) => [names[Number(at)], unmarked(member, names)]));
}

function read(text: string): { value: unknown } | { code: string } {
  try {
    return { value: parse(text) };
  } catch (error) {
    return { code: (error as { code: string }).code };
  }
}

describe('JsonReader', () => {
  it('reads what JSON.parse reads, as long as numbers are integers and names differ', () => {
    let compared = 0;
    fc.assert(
      fc.property(jsonText, (text) => {
        const result = read(text);
        // A name that stands twice; that it does is for another test.
        if ('code' in result && result.code === 'malformed_json' && judged(text)) return;
        compared += 1;
        expect(result).toEqual(judged(text));
      }),
      { seed: SEED, numRuns: 2_000 },
    );
    expect(compared).toBeGreaterThan(1_500);
  });

  it('reads and refuses what JSON.parse does once a text has been damaged', () => {
    fc.assert(
      fc.property(
        jsonText,
        fc.nat(),
        fc.constantFrom('', '"', '\\', ',', ':', '0', '-', '.', 'e', '{', ']', '\0', ' '),
        (text, at, put) => {
          const index = at % (text.length + 1);
          const damaged = text.slice(0, index) + put + text.slice(index + 1);
          if (!damaged.isWellFormed()) return;
          const expected = judged(damaged);
          const result = read(damaged);
          if (!expected) expect(result).toHaveProperty('code');
          else if ('value' in result) expect(result).toEqual(expected);
        },
      ),
      { seed: SEED, numRuns: 5_000 },
    );
  });

  it('reads the same in pieces of any length', () => {
    fc.assert(
      fc.property(jsonText, fc.integer({ min: 1, max: 9 }), (text, length) => {
        const whole = read(text);
        const reader = new JsonReader(Buffer.from(text));
        const inPieces = () => {
          while (!reader.read(length));
          return reader.value;
        };
        if ('code' in whole) expect(inPieces).toThrow(expect.objectContaining({ code: whole.code }));
        else expect(inPieces()).toEqual(whole.value);
      }),
      { seed: SEED },
    );
  });

  it.each([
    ['{"amount":"1","amount":"500"}', 'amount'],
    ['{"a":1,"b":[{},{"c":null,"\\u0063":2}]}', 'b.1.c'],
    ['{"0":1,"0":1}', '0'],
    ['{"constructor":1,"constructor":1}', 'constructor'],
    ['{"":{"":1,"":2}}', '.'],
  ])('refuses %s, naming the member that stands twice', (text, path) => {
    expect(() => parse(text)).toThrow(
      expect.objectContaining({
        code: 'malformed_json',
        message: `The body has the member ${path} twice.`,
        errors: [{ path, message: 'stands twice' }],
      }),
    );
  });

  it('takes one name in several maps', () => {
    expect(parse('[{"a":1},{"a":{"a":2}}]')).toEqual([{ a: 1 }, { a: { a: 2 } }]);
  });

  it.each([
    ['a list of 2,001', `{"entries":[${'0,'.repeat(2_000)}0]}`, 'entries'],
    ['a map of 1,001', `{"a":{${Array.from({ length: 1_001 }, (_, n) => `"${n}":0`).join(',')}}}`, 'a'],
    ['lists and nothing in them', `[${'[],'.repeat(1_900)}0]`, 'body'],
  ])('refuses %s', (_, text, path) => {
    expect(() => parse(text)).toThrow(
      expect.objectContaining({ code: 'validation_failed', errors: [expect.objectContaining({ path })] }),
    );
  });

  it('takes the most lists and maps for their bytes that a batch can have', () => {
    const entry = '{"account_id":"1","direction":"debit","amount":1,"currency":"EUR","conditions":{}}';
    const item = `{"type":"x","metadata":{},"entries":[${entry},${entry}]}`;
    expect(parse(`{"transactions":[${Array(2_000).fill(item).join(',')}]}`)).toBeDefined();
  });

  it('keeps no body in memory for a text of it', () => {
    const filler = JSON.stringify(Array.from({ length: 20 }, () => 'x'.repeat(50_000)));
    const kept = Array.from({ length: 200 }, (_, n) => {
      const body = `{"code":"wallet:customer-${n}","filler":${filler}}`;
      return (parse(body) as { code: string }).code;
    });
    expect(process.memoryUsage().heapUsed).toBeLessThan(150_000_000);
    expect(kept[199]).toBe('wallet:customer-199');
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

  it('refuses a million levels as quickly as twenty-one', () => {
    const started = performance.now();
    expect(() => parse('['.repeat(1_000_000))).toThrow(expect.objectContaining({ code: 'validation_failed' }));
    expect(performance.now() - started).toBeLessThan(1_000);
    expect(() => parse(`${'['.repeat(21)}${']'.repeat(21)}`)).toThrow(/nested/);
    expect(parse(`${'['.repeat(20)}${']'.repeat(20)}`)).toBeDefined();
  });
});

/** As long as a batch may be, and as long as one text, number, name or space in it may not be, at one go. */
const LONGEST = 8_388_608;

describe('the longest of one kind', () => {
  it.each([
    ['a text', `"${'x'.repeat(LONGEST)}"`, 'body: is longer than 65536 characters'],
    ['a text of escapes', `{"a":"${'\\n'.repeat(LONGEST / 2)}"}`, 'a: is longer than 65536 characters'],
    ['a number', `[${'1'.repeat(LONGEST)}]`, '0: is longer than 65536 digits'],
    ['a name', `{"a":{"${'x'.repeat(LONGEST)}":1}}`, 'a: has a name of more than 1000 characters'],
    ['a name of escapes', `{"${'\\n'.repeat(LONGEST / 2)}":1}`, 'body: has a name of more than 1000 characters'],
  ])('%s is refused where it gets too long', (_what, text, message) => {
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'validation_failed', message }));
  });

  it.each([
    ['a text', `"${'\\n'.repeat(32_768)}"`],
    ['a number', '1'.repeat(65_536)],
    ['a name', `{"${'x'.repeat(1_000)}":1}`],
  ])('%s is read up to there', (_what, text) => {
    expect(parse(text)).toEqual(JSON.parse(text));
  });

  it.each([
    ['before a value', (space: string) => `${space}[1]`],
    ['behind a name', (space: string) => `{"a"${space}:1}`],
    ['behind a colon', (space: string) => `{"a":${space}1}`],
    ['at the end', (space: string) => `[1]${space}`],
  ])('space %s is passed over in pieces', (_where, textOf) => {
    const reader = new JsonReader(Buffer.from(textOf(' '.repeat(1_000_000))));
    let pieces = 1;
    while (!reader.read(1_000)) pieces += 1;
    expect(pieces).toBeGreaterThanOrEqual(1_000);
    expect(reader.value).toEqual(JSON.parse(textOf('')));
  });
});

describe('readJsonBody', () => {
  it('refuses bytes that are no UTF-8', () => {
    expect(() => readJsonBody(Buffer.from([0x22, 0xff, 0x22]))).toThrow(
      expect.objectContaining({ code: 'malformed_json' }),
    );
  });

  it('takes an empty body for none', () => {
    expect(readJsonBody(Buffer.alloc(0))).toBeUndefined();
  });

  it('gives way to others while it reads a long body', async () => {
    const clock = slowClock(1);
    const text = JSON.stringify(
      Array.from({ length: 2_000 }, (_, n) => ({ account_code: `wallet:${n}`, name: 'x'.repeat(100) })),
    );
    let immediates = 0;
    const count = () => {
      immediates += 1;
      pending = setImmediate(count);
    };
    let pending = setImmediate(count);
    expect(await readJsonBody(Buffer.from(text))).toEqual(JSON.parse(text));
    clearImmediate(pending);
    clock.restore();
    expect(immediates).toBeGreaterThan(text.length / 10_000);
  });

  it('tells a fault far behind the beginning of a long body', async () => {
    const clock = slowClock(1);
    const text = `[${`"${'x'.repeat(100)}",`.repeat(1_000)}`;
    await expect(readJsonBody(Buffer.from(text))).rejects.toMatchObject({ code: 'malformed_json' });
    clock.restore();
  });
});
