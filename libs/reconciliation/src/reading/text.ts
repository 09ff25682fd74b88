import { EXCERPT_CHARACTERS } from '../report-row.js';
import { BadValue, quoted } from './bad-value.js';

const TEXT_CHARACTERS = 255;
const BEYOND_ASCII = /[^\x20-\x7e]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: which PostgreSQL or a terminal would stumble over
const CONTROLS = /[\x00-\x1f\x7f-\x9f]/;
const UTF8 = new TextDecoder('utf-8', { fatal: true });

/** A cell that names something; '' is nothing. */
export function textOf(cell: string, column: string): string {
  const trimmed = cell.trim();
  const text = BEYOND_ASCII.test(trimmed) ? readable(trimmed) : trimmed;
  if (CONTROLS.test(text)) throw new BadValue(`${column}: ${quoted(printable(text))} has control characters`);
  if (text.length > TEXT_CHARACTERS) throw new BadValue(`${column}: ${quoted(text)} is longer than ${TEXT_CHARACTERS} characters`);
  return text;
}

/** What was read as Latin-1, as UTF-8 if that is what it is: a file may be either, and both. */
export function readable(latin1: string): string {
  try {
    return UTF8.decode(Buffer.from(latin1, 'latin1'));
  } catch {
    return latin1;
  }
}

/** A row as it stands, for a person to look at. */
export function excerptOf(raw: string): string {
  // Twice as much: a character of UTF-8 is up to four of Latin-1, and what is cut off in the middle would be no UTF-8.
  return printable(readableStart(raw)).slice(0, EXCERPT_CHARACTERS).toWellFormed();
}

function readableStart(raw: string): string {
  for (const spare of [0, 1, 2, 3]) {
    const start = raw.slice(0, EXCERPT_CHARACTERS * 4 - spare);
    if (!BEYOND_ASCII.test(start)) return start;
    const text = readable(start);
    if (text !== start) return text;
  }
  return raw.slice(0, EXCERPT_CHARACTERS);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the same
const printable = (text: string): string => text.replaceAll(/[\x00-\x1f\x7f-\x9f]/g, '·');
