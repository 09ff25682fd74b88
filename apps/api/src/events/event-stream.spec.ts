import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { BEGINNING, type Position } from '#outbox/log/position.js';
import { type EventStreamSource, eventStream, type Frames } from './event-stream.js';

const BATCH = 10;

/** A log that never ends, unless it is told to. */
class EndlessLog implements EventStreamSource {
  reads = 0;
  end = false;
  admitted = true;
  failure: Error | undefined;
  readonly endings: unknown[] = [];

  async read({ seq }: Position): Promise<Frames> {
    this.reads += 1;
    if (this.failure) throw this.failure;
    if (this.end) return { texts: [], last: undefined };
    const texts = Array.from({ length: BATCH }, (_, index) => `${seq + BigInt(index) + 1n};`);
    return { texts, last: { xid: 1n, seq: seq + BigInt(BATCH) } };
  }

  wait(_after: Position, { signal }: { signal: AbortSignal }): Promise<boolean> {
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve(false)));
  }

  async mayGoOn(): Promise<boolean> {
    return this.admitted;
  }

  ended(error: unknown): void {
    this.endings.push(error);
  }
}

describe('a stream of events', () => {
  const open: Readable[] = [];
  const streamOf = async (log: EndlessLog, { maxMs = 60_000, gone = new AbortController().signal } = {}) => {
    const first = await log.read(BEGINNING);
    const stream = eventStream(log, { after: BEGINNING, first }, { heartbeatMs: 60_000, maxMs, gone });
    open.push(stream);
    return stream;
  };
  afterEach(() => {
    for (const stream of open.splice(0)) stream.destroy();
  });

  /** As many chunks as there are without waiting for the log's end. */
  async function read(stream: Readable, chunks: number): Promise<string> {
    let text = '';
    let left = chunks;
    for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
      text += chunk;
      left -= 1;
      if (left === 0) break;
    }
    return text;
  }

  it('reads no further ahead than a client that does not read', async () => {
    const log = new EndlessLog();
    const stream = await streamOf(log);
    await read(stream, 2);
    for (let turn = 0; turn < 1_000; turn += 1) await new Promise(setImmediate);
    expect(log.reads).toBeLessThanOrEqual(3);
    await read(stream, 50);
    expect(log.reads).toBeGreaterThan(50);
  });

  it('tells each event once, in order', async () => {
    const text = await read(await streamOf(new EndlessLog()), 21);
    const expected = Array.from({ length: 20 * BATCH }, (_, index) => `${index + 1};`).join('');
    expect(text).toBe(`retry: 1000\n\n${expected}`);
  });

  it('ends after its time even where nobody reads, and gives its place back once', async () => {
    const log = new EndlessLog();
    const stream = await streamOf(log, { maxMs: 1 });
    await once(stream, 'close');
    expect(log.endings).toEqual([undefined]);
  });

  it('ends where nobody reads once the reader may not go on', async () => {
    const log = new EndlessLog();
    const stream = await streamOf(log);
    log.admitted = false;
    await once(stream, 'close');
    expect(log.endings).toEqual([undefined]);
  });

  it('ends at once when the client has gone, also while it waits', async () => {
    const log = new EndlessLog();
    log.end = true;
    const gone = new AbortController();
    const stream = await streamOf(log, { gone: gone.signal });
    const told = read(stream, Number.POSITIVE_INFINITY);
    gone.abort();
    expect(await told).toBe('retry: 1000\n\n');
    expect(log.endings).toEqual([undefined]);
  });

  it('tells its owner what broke it', async () => {
    const log = new EndlessLog();
    const stream = await streamOf(log);
    await read(stream, 2);
    log.failure = new Error('the database has gone');
    await expect(read(stream, Number.POSITIVE_INFINITY)).rejects.toThrow(log.failure);
    expect(log.endings).toEqual([log.failure]);
  });
});
