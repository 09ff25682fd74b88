import type { Json, Merchant, TestApi } from './api.js';

export interface Frame {
  id: string;
  event: Json;
}

/** One `text/event-stream` of a merchant's log, read as it comes. */
export class EventSource {
  readonly status: number;
  readonly headers: Headers;
  /** Comments, such as heartbeats. */
  readonly comments: string[] = [];
  readonly #abort: AbortController;
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #decoder = new TextDecoder();
  #buffer = '';

  private constructor(response: Response, abort: AbortController) {
    this.status = response.status;
    this.headers = response.headers;
    this.#abort = abort;
    this.#chunks = (response.body as unknown as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  }

  static async open(
    api: TestApi,
    merchant: Merchant,
    options: { query?: string; lastEventId?: string } = {},
  ): Promise<EventSource> {
    const abort = new AbortController();
    const headers = {
      ...merchant.client.headers,
      accept: 'text/event-stream',
      ...(options.lastEventId !== undefined && { 'last-event-id': options.lastEventId }),
    };
    const response = await fetch(`${api.url}/v1/events${options.query ?? ''}`, { headers, signal: abort.signal });
    return new EventSource(response, abort);
  }

  /** The next event; undefined once the server has ended the stream. */
  async next(): Promise<Frame | undefined> {
    for (;;) {
      const end = this.#buffer.indexOf('\n\n');
      if (end === -1) {
        const { done, value } = await this.#chunks.next();
        if (done) return undefined;
        this.#buffer += this.#decoder.decode(value, { stream: true });
        continue;
      }
      const frame = this.#parsed(this.#buffer.slice(0, end));
      this.#buffer = this.#buffer.slice(end + 2);
      if (frame) return frame;
    }
  }

  async take(count: number): Promise<Frame[]> {
    const frames: Frame[] = [];
    while (frames.length < count) {
      const frame = await this.next();
      if (!frame) throw new Error(`the stream ended after ${frames.length} of ${count} events`);
      frames.push(frame);
    }
    return frames;
  }

  /** Resolves with what still came when the server ends the stream. */
  async rest(): Promise<Frame[]> {
    const frames: Frame[] = [];
    for (let frame = await this.next(); frame; frame = await this.next()) frames.push(frame);
    return frames;
  }

  close(): void {
    this.#abort.abort();
  }

  #parsed(block: string): Frame | undefined {
    const fields = new Map(
      block.split('\n').map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon), line.slice(colon + 1).trimStart()] as const;
      }),
    );
    const [id, data, comment] = [fields.get('id'), fields.get('data'), fields.get('')];
    if (comment !== undefined) this.comments.push(comment);
    return id === undefined || data === undefined ? undefined : { id, event: JSON.parse(data) };
  }
}
