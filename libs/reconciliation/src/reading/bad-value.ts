import { decoded } from './decoded.js';

/** Why a row cannot be read, in words. The row is listed, and the next one is read. */
export class BadValue extends Error {}

const QUOTED_CHARACTERS = 40;

/** A value as it is named in a problem: as it says, of whichever bytes it is made. */
export function quoted(given: string): string {
  const text = decoded(given);
  return JSON.stringify(text.length > QUOTED_CHARACTERS ? `${text.slice(0, QUOTED_CHARACTERS)}…` : text);
}

/** Says of which column a problem is. */
export function named<Value>(column: string, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    if (error instanceof BadValue) throw new BadValue(`${column}: ${error.message}`);
    throw error;
  }
}
