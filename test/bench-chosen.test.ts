import { expect, test } from 'vitest';
import { chosen } from '../bench/chosen.js';
import { KINDS } from '../bench/noise.js';

test.each(KINDS)('--only can name %s', (kind) => {
  expect(chosen(kind, KINDS)).toEqual([kind]);
  expect(chosen(`postings,${kind}`, KINDS)).toEqual(['postings', kind]);
});

test('without --only it is all of them', () => {
  expect(chosen(undefined, KINDS)).toEqual(KINDS);
});

test.each(['nonsense', 'postings,nonsense', ''])('--only refuses what there is not: “%s”', (only) => {
  expect(() => chosen(only, KINDS)).toThrow('--only knows no');
});
