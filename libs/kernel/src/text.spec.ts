import { describe, expect, it } from 'vitest';
import { foldedText, isReadable } from './text.js';

describe('text that people read as one', () => {
  it.each([
    ['Ann', 'ann', 'ANN', 'ＡＮＮ', 'a\u200bnn', ' Ann ', 'ann\u00ad'],
    ['Ann Lee', 'ann  lee', 'ANN\u00a0LEE', 'Ann\tLee'],
    ['Zoë', 'Zoe\u0308', 'ZOË'],
    ['Weiß', 'WEISS', 'weiss', 'WEIẞ'],
    ['Σίσυφος', 'ΣΊΣΥΦΟΣ', 'σίσυφοσ'],
    ['ﬁn', 'fin', 'FIN'],
  ])('is %s', (...texts) => {
    expect(new Set(texts.map(foldedText)).size).toBe(1);
  });

  it('is not what differs by a letter, an accent or a space between', () => {
    expect(new Set(['ann', 'anna', 'änn', 'an n', 'аnn'].map(foldedText)).size).toBe(5);
  });
});

describe('text that can be read', () => {
  it.each(['', ' ', '\t\n', '\u00a0\u3000', '\u200b', '\u2060\ufeff', '\u0007', '\u00ad'])('is not %j', (text) => {
    expect(isReadable(text)).toBe(false);
  });

  it.each(['x', ' x ', '.', '字', '\u200bx'])('is %j', (text) => {
    expect(isReadable(text)).toBe(true);
  });
});
