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
  const pieces = body.iterator({ destroyOnReturn: false });
  for (let bytes = 0; ; ) {
    const { done, value } = await nextOf(pieces, bounds);
    if (done) return;
    bytes += (value as Buffer).length;
    if (bytes <= bounds.maxBytes) yield value as Buffer;
    else throw new ProblemError('payload_too_large', `A report has at most ${bounds.maxBytes} bytes.`);
  }
}

/**
 * Waits for the signal by a promise that ends with the piece: one that outlived it would keep every piece in memory, as Promise.race hangs
 * on to what it has settled with.
 */
async function nextOf(
  pieces: AsyncIterator<unknown>,
  { deadline, stallMs, signal }: UploadBounds,
): Promise<IteratorResult<unknown>> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const breakOff = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', breakOff, { once: true });
  try {
    const next = Promise.race([pieces.next(), aborted.promise]);
    return await deadline.within(stallMs).race(next, () => tooSlow(deadline));
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
