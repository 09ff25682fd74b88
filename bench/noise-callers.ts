import { once } from 'node:events';
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { HttpConnection } from './http-connection.js';
import { CONNECTIONS, type Kind, type Requests, requestsOf } from './noise.js';
import type { BenchMerchant } from './requests.js';

export interface Noise {
  kind: Kind;
  merchant: BenchMerchant;
  /** Of the servers that it is spread over. */
  ports: number[];
  /** At most so many requests a second in all. */
  perSecond: number;
}

/** By status; 0: the connection broke. */
export type Answers = Record<number, { count: number; bytes: number }>;

/** What came of a noise since it was last asked. */
export interface Heard {
  ms: number;
  answers: Answers;
  /** Event streams that are open. */
  streams: number;
}

const REFUSED = 400;
const TOO_MANY = 429;
/** How soon a connection that broke, or a stream that was refused, is tried again. */
const AGAIN_MS = 20;
/** A stream that has told so much begins again. */
const STREAM_BYTES = 4_194_304;

/** Those who make a noise, until they are told to end. */
export class NoiseCallers {
  readonly #noise: Noise;
  readonly #onTooMany: () => void;
  readonly #stopped = new AbortController();
  readonly #callers: Promise<void>[];
  readonly #beganAt = performance.now();
  #sent = 0;
  #countedFrom = performance.now();
  #answers: Answers = {};
  #streams = 0;

  /** `onTooMany` is called at each answer of 429. */
  constructor(noise: Noise, onTooMany: () => void) {
    this.#noise = noise;
    this.#onTooMany = onTooMany;
    const { kind, merchant, ports } = noise;
    this.#callers = Array.from({ length: CONNECTIONS[kind] }, (_, index) => {
      const port = ports[index % ports.length] as number;
      return kind === 'event streams' ? this.#stream(port) : this.#call(port, requestsOf(kind, merchant, index));
    });
  }

  /** And begins to count anew. */
  heard(): Heard {
    const now = performance.now();
    const heard = { ms: now - this.#countedFrom, answers: this.#answers, streams: this.#streams };
    this.#countedFrom = now;
    this.#answers = {};
    return heard;
  }

  /** When the last request has been answered. */
  async end(): Promise<void> {
    this.#stopped.abort();
    await Promise.all(this.#callers);
  }

  get #isOver(): boolean {
    return this.#stopped.signal.aborted;
  }

  /** False: it is over. */
  async #turn(): Promise<boolean> {
    const waitMs = this.#beganAt + (this.#sent++ * 1_000) / this.#noise.perSecond - performance.now();
    if (waitMs >= 1) await sleep(waitMs, undefined, { signal: this.#stopped.signal }).catch(() => undefined);
    return !this.#isOver;
  }

  async #call(port: number, requests: Requests): Promise<void> {
    let connection: HttpConnection | undefined;
    while (!this.#isOver) {
      try {
        connection ??= await HttpConnection.open(port);
        if (!(await this.#turn())) break;
        const status = await this.#ask(connection, requests);
        if (status < REFUSED || this.#noise.kind !== 'batches of 1000') continue;
        // A body that was not read takes its connection along.
        connection.close();
        connection = undefined;
      } catch {
        connection = undefined;
        this.#count(0);
        await sleep(AGAIN_MS);
      }
    }
    connection?.close();
  }

  #ask(connection: HttpConnection, requests: Requests): Promise<number> {
    return new Promise((resolve, reject) => {
      const answered = (status: number, body: Buffer | undefined, bytes: number): void => {
        this.#count(status, bytes);
        if (body && status < REFUSED) requests.read?.(body);
        resolve(status);
      };
      connection.send(requests.next(), answered, reject, requests.read !== undefined);
    });
  }

  async #stream(port: number): Promise<void> {
    const headers = { authorization: `Bearer ${this.#noise.merchant.apiKey}`, accept: 'text/event-stream' };
    while (!this.#isOver) {
      if (!(await this.#turn())) return;
      const request = get({ host: '127.0.0.1', port, path: '/v1/events', headers, agent: false });
      const stop = (): void => void request.destroy();
      this.#stopped.signal.addEventListener('abort', stop);
      let open = 0;
      try {
        const [response] = await once(request, 'response');
        this.#count(response.statusCode);
        open = response.statusCode < REFUSED ? 1 : 0;
        this.#streams += open;
        let bytes = 0;
        for await (const piece of response) {
          this.#count(response.statusCode, piece.length, 0);
          bytes += piece.length;
          if (bytes > STREAM_BYTES) break;
        }
        if (bytes < STREAM_BYTES) await sleep(AGAIN_MS);
      } catch {
        if (!this.#isOver) this.#count(0);
        await sleep(AGAIN_MS);
      } finally {
        this.#streams -= open;
        this.#stopped.signal.removeEventListener('abort', stop);
        request.destroy();
      }
    }
  }

  #count(status: number, bytes = 0, answers = 1): void {
    this.#answers[status] ??= { count: 0, bytes: 0 };
    this.#answers[status].count += answers;
    this.#answers[status].bytes += bytes;
    if (status === TOO_MANY) this.#onTooMany();
  }
}
