import { Readable } from 'node:stream';
import type { Position } from '#outbox/log/position.js';

/** Some events as the stream tells them, oldest first. */
export interface Frames {
  readonly texts: readonly string[];
  /** Where the last of them is in the log; undefined: there are none. */
  readonly last: Position | undefined;
}

export interface EventStreamSource {
  /** The next events behind a position; none at the end of the log. */
  read(after: Position): Promise<Frames>;
  /** Resolves true once there are some, false after `withinMs` or when the signal comes. */
  wait(after: Position, options: { withinMs: number; signal: AbortSignal }): Promise<boolean>;
  /** Whether the reader may go on: its key is valid and the process is not going down. May reject. */
  mayGoOn(): Promise<boolean>;
  /** Called once, when nothing will be asked any more. `error`: what ended it before its time. */
  ended(error: unknown): void;
}

export interface EventStreamLimits {
  heartbeatMs: number;
  /** How long the stream lasts. */
  maxMs: number;
  /** Comes when the client has gone. */
  gone: AbortSignal;
}

/** How long a client waits before it connects again. */
const RETRY_MS = 1_000;
/** How often it is looked whether the reader may go on; beside API_KEY_CACHE_MS the longest that a revoked key still reads. */
const CHECK_MS = 1_000;
/** How long a client that does not read has for what is under way, once the stream is to end. */
const LINGER_MS = 1_000;

/**
 * Server-sent events of a log from a position on. What is not read by the client is not read from the log either: there is one
 * batch in memory, and the next one is fetched when it has gone.
 */
export function eventStream(
  source: EventStreamSource,
  from: { after: Position; first: Frames },
  limits: EventStreamLimits,
): Readable {
  const ending = new AbortController();
  let failure: unknown;
  const frames = tell(source, from, { heartbeatMs: limits.heartbeatMs, signal: ending.signal });
  const stream = Readable.from(frames, { objectMode: true, highWaterMark: 1 });

  let linger: NodeJS.Timeout | undefined;
  const end = (error?: unknown) => {
    failure ??= error;
    ending.abort();
    linger ??= setTimeout(() => stream.destroy(), LINGER_MS);
  };
  const check = setInterval(() => {
    source.mayGoOn().then(
      (mayGoOn) => mayGoOn || end(),
      (error: unknown) => end(error),
    );
  }, CHECK_MS);
  const lifetime = setTimeout(end, limits.maxMs);
  // A stream that is destroyed is closed only once its generator has come to an end.
  limits.gone.addEventListener('abort', () => end());
  if (limits.gone.aborted) end();
  stream.once('error', (error) => end(error));
  stream.once('close', () => {
    clearInterval(check);
    clearTimeout(lifetime);
    end();
    clearTimeout(linger);
    source.ended(failure);
  });
  return stream;
}

async function* tell(
  source: EventStreamSource,
  from: { after: Position; first: Frames },
  { heartbeatMs, signal }: { heartbeatMs: number; signal: AbortSignal },
): AsyncGenerator<string | Buffer> {
  yield `retry: ${RETRY_MS}\n\n`;
  let { after, first: frames } = from;
  while (!signal.aborted && (await source.mayGoOn())) {
    const { texts, last } = frames;
    if (last) {
      yield Buffer.from(texts.join(''));
      after = { xid: last.xid, seq: last.seq };
    } else if (!(await source.wait(after, { withinMs: heartbeatMs, signal })) && !signal.aborted) {
      yield ': nothing new\n\n';
    }
    if (!signal.aborted) frames = await source.read(after);
  }
}
