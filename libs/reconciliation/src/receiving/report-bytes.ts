import type { Readable } from 'node:stream';
import { ProblemError } from '#kernel/problem.js';
import type { Deadline } from '#platform/deadline.js';

/** What holds an upload to its bounds. */
export interface UploadBounds {
  /** Of the whole upload. */
  readonly deadline: Deadline;
  readonly stallMs: number;
  readonly maxBytes: number;
  /** Aborted when the process goes down, with what the client is told. */
  readonly signal: AbortSignal;
}

/**
 * A body as it comes, piece by piece: the next is taken from the socket when the one before it is worked off. Throws what the client is
 * told. The stream itself is left as it is, so that the answer can still be sent.
 */
export async function* reportBytes(body: Readable, bounds: UploadBounds): AsyncGenerator<Buffer> {
  const { deadline, stallMs, maxBytes, signal } = bounds;
  const pieces = body.iterator({ destroyOnReturn: false });
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => undefined);
  const breakOff = () => broken.reject(signal.reason);
  signal.addEventListener('abort', breakOff, { once: true });
  try {
    for (let bytes = 0; ; ) {
      signal.throwIfAborted();
      const next = Promise.race([pieces.next(), broken.promise]);
      const piece = await deadline.within(stallMs).race(next, () => tooSlow(deadline));
      if (piece.done) return;
      bytes += (piece.value as Buffer).length;
      if (bytes > maxBytes) throw new ProblemError('payload_too_large', `A report has at most ${maxBytes} bytes.`);
      yield piece.value;
    }
  } catch (error) {
    throw error instanceof ProblemError ? error : new ProblemError('malformed_json', 'The upload broke off.');
  } finally {
    signal.removeEventListener('abort', breakOff);
  }
}

function tooSlow(deadline: Deadline): ProblemError {
  const detail = deadline.expired
    ? 'The report was not sent in time.'
    : 'Nothing more of the report came for too long.';
  return new ProblemError('deadline_exceeded', detail, { retryAfterS: 1 });
}
