import { EXCERPT_CHARACTERS } from '../report-row.js';
import { BadValue, quoted } from './bad-value.js';
import { decoded } from './decoded.js';

const TEXT_CHARACTERS = 255;
const BEYOND_ASCII = /[^\x20-\x7e]/;
/** Which PostgreSQL or a terminal would stumble over. */
const CONTROLS = /\p{Cc}/gu;

/** A text that names something; '' is nothing. */
export function textOf(given: string, what: string): string {
  const text = given.trim();
  if (BEYOND_ASCII.test(text) && text.search(CONTROLS) !== -1) {
    throw new BadValue(`${what}: ${quoted(text)} has control characters`);
  }
  if (text.length > TEXT_CHARACTERS) {
    throw new BadValue(`${what}: ${quoted(text)} is longer than ${TEXT_CHARACTERS} characters`);
  }
  return text;
}

/** A row as it stands, for a person to look at. */
export function excerptOf(text: string): string {
  return text.slice(0, EXCERPT_CHARACTERS).replaceAll(CONTROLS, '·').toWellFormed();
}

/** Of bytes that were read as Latin-1: as many as an excerpt may need, and none of a character that is cut in two. */
export function rawExcerpt(latin1: string): string {
  const start = latin1.slice(0, EXCERPT_CHARACTERS * 4);
  if (start.length === latin1.length) return excerptOf(decoded(start));
  const whole = [0, 1, 2, 3].map((spare) => start.slice(0, start.length - spare));
  return excerptOf(whole.map(decoded).find((text, spare) => text !== whole[spare]) ?? start);
}
