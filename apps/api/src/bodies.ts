import { isUtf8 } from 'node:buffer';
import type { FastifyRequest } from 'fastify';
import { ProblemError } from '#kernel/problem.js';
import { Turn } from '#platform/turns.js';
import type { HeldBytes } from './held-bytes.js';
import { JsonReader } from './json-reader.js';
import type { RequestState } from './request.js';

/** What becomes of a request's body: whether there is room for it, and how it is read. */

/**
 * Counts the body of a request against its merchant's allowance, from before it is read until the request is over: a body is in
 * memory as bytes, as a value and, of a batch, as its answer. One without a length counts as the longest that its route takes.
 * Returns why it cannot be read now.
 */
export function holdBody(request: FastifyRequest, state: RequestState, held: HeldBytes): ProblemError | undefined {
  const { 'content-length': length, 'transfer-encoding': coding } = request.headers;
  const most = request.routeOptions.bodyLimit;
  const bytes = coding === undefined ? Math.min(Number(length ?? 0), most) : most;
  if (bytes === 0) return undefined;
  const merchantId = state.context?.merchantId;
  if (!held.fits(merchantId, bytes)) {
    return new ProblemError('overloaded', 'Too many bodies are being read; wait for the answers to those.', {
      retryAfterS: 1,
    });
  }
  state.end.onOver(held.hold(merchantId, bytes));
  return undefined;
}

/** Characters of a body that are read before anybody else may have a turn. The worst take 0.8 ms. */
const PIECE_LENGTH = 4_096;

/** The body as a value; a promise of it when it is long. Rejects or throws with what the client is told. */
export function readJsonBody(bytes: Buffer): unknown {
  // A route that needs a body says so in validation; the others may be called with an empty one.
  if (bytes.length === 0) return undefined;
  if (!isUtf8(bytes)) throw new ProblemError('malformed_json', 'The body is not valid UTF-8.');
  const reader = new JsonReader(bytes);
  const turn = new Turn();
  while (!reader.read(PIECE_LENGTH)) if (turn.isOver) return readOn(reader, turn);
  return reader.value;
}

async function readOn(reader: JsonReader, turn: Turn): Promise<unknown> {
  do if (turn.isOver) await turn.next();
  while (!reader.read(PIECE_LENGTH));
  return reader.value;
}
