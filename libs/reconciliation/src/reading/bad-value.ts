/** Why a row cannot be read, in words. The row is listed, and the next one is read. */
export class BadValue extends Error {}

/** A value as it is named in a problem. */
export const quoted = (text: string): string => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);

/** Says of which column a problem is. */
export function named<Value>(column: string, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    if (error instanceof BadValue) throw new BadValue(`${column}: ${error.message}`);
    throw error;
  }
}
