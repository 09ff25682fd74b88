import { describe, expect, it } from 'vitest';
import { csvLine } from './csv-out.js';

describe('a line of CSV', () => {
  it.each([
    ['a,b', '"a,b"'],
    ['say "x"', '"say ""x"""'],
    ['two\nlines', '"two\nlines"'],
    ['=1+2', `'=1+2`],
    ['=HYPERLINK("http://x","y")', `"'=HYPERLINK(""http://x"",""y"")"`],
    ['@SUM(A1)', `'@SUM(A1)`],
    ['+31', `'+31`],
    ['-2+3', `'-2+3`],
    ['\tx', `'\tx`],
    ['-250', '-250'],
    ['', ''],
    [null, ''],
  ])('has %j as %j', (value, cell) => {
    expect(csvLine([value, 'x'])).toBe(`${cell},x\r\n`);
  });
});
