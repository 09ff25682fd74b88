import { isUtf8 } from 'node:buffer';
import { setImmediate as othersTurn } from 'node:timers/promises';
import { ProblemError } from '#kernel/problem.js';
import { JsonReader } from './json-reader.js';

/** A body is read in pieces of so many characters, with everybody else's turn between them. The worst take 3 ms each. */
const PIECE_LENGTH = 16_384;

/** The body as a value; a promise of it when it is long. Rejects or throws with what the client is told. */
export function readJsonBody(bytes: Buffer): unknown {
  // A route that needs a body says so in validation; the others may be called with an empty one.
  if (bytes.length === 0) return undefined;
  if (!isUtf8(bytes)) throw new ProblemError('malformed_json', 'The body is not valid UTF-8.');
  const reader = new JsonReader(bytes);
  return reader.read(PIECE_LENGTH) ? reader.value : readOn(reader);
}

async function readOn(reader: JsonReader): Promise<unknown> {
  do await othersTurn();
  while (!reader.read(PIECE_LENGTH));
  return reader.value;
}
