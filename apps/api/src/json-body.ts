import { isUtf8 } from 'node:buffer';
import { LedgerError } from '#kernel/problem.js';

/** Deeper than any request of the contract; well below what recursion over a body can bear. */
const MAX_DEPTH = 20;
const INTEGER = /^-?(?:0|[1-9][0-9]*)$/;

/**
 * Reads a request body. Beyond JSON's own rules it refuses what no field of the contract may hold: NUL and lone surrogates
 * (PostgreSQL cannot store them), `__proto__` keys, deep nesting. A number that is not written as an integer (1.5, 1e3)
 * comes out as NaN, which every schema refuses at its path: JSON.parse would make 1e3 a fine 1000.
 */
export function parseJsonBody(bytes: Buffer): unknown {
  // A route that needs a body says so in validation; the others may be called with an empty one.
  if (bytes.length === 0) return undefined;
  if (!isUtf8(bytes)) throw malformed('The body is not valid UTF-8.');
  const text = bytes.toString();
  const { depth, hasFractions } = survey(text);
  if (depth > MAX_DEPTH) throw refused(`is nested more than ${MAX_DEPTH} levels deep`);
  const value = parse(text, hasFractions);
  // Both can enter a string or a key only as an escape; __proto__ also as it is.
  if (text.includes('\\u') || text.includes('__proto__')) refuseUnstorable(value, []);
  return value;
}

function parse(text: string, hasFractions: boolean): unknown {
  try {
    return hasFractions ? JSON.parse(text, refuseFractions) : JSON.parse(text);
  } catch (error) {
    throw malformed('The body is not valid JSON.', error);
  }
}

function refuseFractions(_key: string, value: unknown, context?: { source?: string }): unknown {
  return typeof value === 'number' && !INTEGER.test(context?.source ?? '') ? Number.NaN : value;
}

/** One pass over the text outside of its strings: about a nanosecond a character. */
function survey(text: string): { depth: number; hasFractions: boolean } {
  let depth = 0;
  let deepest = 0;
  let hasFractions = false;
  let previous = 0;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === 0x22 /* " */) index = endOfString(text, index);
    else if (code === 0x7b /* { */ || code === 0x5b /* [ */) deepest = Math.max(deepest, ++depth);
    else if (code === 0x7d || code === 0x5d) depth -= 1;
    else if (code === 0x2e /* . */ || ((code | 0x20) === 0x65 /* e */ && previous >= 0x30 && previous <= 0x39))
      hasFractions = true;
    previous = code;
  }
  return { depth: deepest, hasFractions };
}

/** Index of the quote that ends the string begun at `start`, or the end of the text. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end !== -1) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes += 1;
    if (backslashes % 2 === 0) return end;
    end = text.indexOf('"', end + 1);
  }
  return text.length;
}

function refuseUnstorable(value: unknown, path: readonly string[]): void {
  if (typeof value === 'string') {
    const fault = unstorable(value);
    if (fault) throw refused(fault, path);
  } else if (Array.isArray(value)) {
    value.forEach((item, index) => {
      refuseUnstorable(item, [...path, String(index)]);
    });
  } else if (value !== null && typeof value === 'object') {
    for (const [key, item] of Object.entries(value)) {
      if (key === '__proto__') throw refused('is not an allowed name', [...path, key]);
      if (unstorable(key)) throw refused('has a name with characters that cannot be stored', path);
      refuseUnstorable(item, [...path, key]);
    }
  }
}

/** Why PostgreSQL could not store the text, undefined when it can. */
export function unstorable(text: string): string | undefined {
  if (text.includes('\0')) return 'must not contain the NUL character';
  return text.isWellFormed() ? undefined : 'must not contain half of a surrogate pair';
}

function malformed(detail: string, cause?: unknown): LedgerError {
  return new LedgerError('malformed_json', detail, { cause });
}

function refused(message: string, path: readonly string[] = []): LedgerError {
  const where = path.join('.') || 'body';
  return new LedgerError('validation_failed', `${where}: ${message}`, { errors: [{ path: where, message }] });
}
