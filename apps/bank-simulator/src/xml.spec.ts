import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SEED } from '../../../test/support/seed.js';
import { readXml } from '../../../test/support/xml.js';
import { element, long, xmlDocument } from './xml.js';

const written = (text: string): string => [...xmlDocument(long('a', { b: text }, [element('c', text)]))].join('');

test('whatever text is written is read again as it was, in an element and in an attribute', () => {
  const strings = fc.string({ unit: 'grapheme', maxLength: 40 });
  const hostile = fc.constantFrom('&', '<', '>', '"', "'", ']]>', '<!--', '&amp;', '\t', '\r\n', '€', '💶');
  fc.assert(
    fc.property(fc.array(fc.oneof(strings, hostile)), (parts) => {
      const text = parts.join('').replaceAll(/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, '');
      const { attributes, children } = readXml(written(text));
      expect([attributes.b, children[0]?.text]).toEqual([text, text]);
    }),
    { seed: SEED },
  );
});

test.each(['\0', '\u{8}', '\u{1b}', '\u{d800}', '\u{dfff}', '\u{ffff}', '\u{fffe}'])(
  'what is no character of XML becomes one that says so: %j',
  (character) => {
    expect(readXml(written(`a${character}b`)).children[0]?.text).toBe('a\u{fffd}b');
  },
);
