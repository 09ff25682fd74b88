import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, get, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { HttpConnection } from './http-connection.js';
import { CONNECTIONS, type Kind, requestsOf } from './noise.js';
import type { BenchMerchant } from './requests.js';

/** Who makes the noise, in a process of its own. */

export interface Noise {
  kind: Kind;
  merchant: BenchMerchant;
  /** Of the APIs that it is spread over. */
  ports: number[];
  /** At most so many requests a second in all. */
  perSecond: number;
}

/** Answers by status; 0: the connection broke. */
export type Answers = Record<number, number>;
type ToNoise = { begin: Noise } | 'end';
type FromNoise = { slowPort: number } | { answers: Answers };

/** The process, as the harness sees it. */
export class NoiseProcess {
  readonly #child: ChildProcess;
  /** Where webhooks are received that nobody answers until the noise ends. */
  readonly slowPort: number;

  private constructor(child: ChildProcess, slowPort: number) {
    this.#child = child;
    this.slowPort = slowPort;
  }

  static async start(): Promise<NoiseProcess> {
    const child = fork(import.meta.filename, ['noise'], { execArgv: ['--enable-source-maps'] });
    const [said] = (await once(child, 'message')) as [{ slowPort: number }];
    return new NoiseProcess(child, said.slowPort);
  }

  begin(noise: Noise): void {
    this.#child.send({ begin: noise } satisfies ToNoise);
  }

  /** When the last request has been answered. */
  async end(): Promise<Answers> {
    const answered = once(this.#child, 'message');
    this.#child.send('end' satisfies ToNoise);
    const [{ answers }] = (await answered) as [{ answers: Answers }];
    return answers;
  }

  stop(): void {
    this.#child.disconnect();
  }
}

const REFUSED = 400;
/** How soon a connection that broke, or a stream that was refused, is tried again. */
const AGAIN_MS = 20;
/** A stream that has told so much begins again. */
const STREAM_BYTES = 4_194_304;

class Noisy {
  readonly answers: Answers = {};
  readonly #noise: Noise;
  readonly #stopped = new AbortController();
  readonly #callers: Promise<void>[];
  #sent = 0;
  readonly #beganAt = performance.now();

  constructor(noise: Noise) {
    this.#noise = noise;
    const { kind, merchant, ports } = noise;
    const next = kind === 'event streams' ? undefined : requestsOf(kind, merchant, randomBytes(6).toString('hex'));
    this.#callers = Array.from({ length: CONNECTIONS[kind] }, (_, index) => {
      const port = ports[index % ports.length] as number;
      return next ? this.#call(port, next) : this.#stream(port);
    });
  }

  async end(): Promise<void> {
    this.#stopped.abort();
    await Promise.all(this.#callers);
  }

  get #isOver(): boolean {
    return this.#stopped.signal.aborted;
  }

  async #call(port: number, next: () => string): Promise<void> {
    let connection: HttpConnection | undefined;
    while (!this.#isOver) {
      try {
        connection ??= await HttpConnection.open(port);
        const waitMs = this.#beganAt + (this.#sent++ * 1_000) / this.#noise.perSecond - performance.now();
        if (waitMs >= 1) await sleep(waitMs);
        const status = await statusOf(connection, next());
        this.#count(status);
        if (status < REFUSED || this.#noise.kind !== 'batches of 1,000') continue;
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

  async #stream(port: number): Promise<void> {
    const headers = { authorization: `Bearer ${this.#noise.merchant.apiKey}`, accept: 'text/event-stream' };
    while (!this.#isOver) {
      const request = get({ host: '127.0.0.1', port, path: '/v1/events', headers, agent: false });
      const stop = (): void => void request.destroy();
      this.#stopped.signal.addEventListener('abort', stop);
      try {
        const [response] = await once(request, 'response');
        this.#count(response.statusCode);
        let bytes = 0;
        for await (const piece of response) {
          bytes += piece.length;
          if (bytes > STREAM_BYTES) break;
        }
        if (bytes < STREAM_BYTES) await sleep(AGAIN_MS);
      } catch {
        if (!this.#isOver) this.#count(0);
        await sleep(AGAIN_MS);
      } finally {
        this.#stopped.signal.removeEventListener('abort', stop);
        request.destroy();
      }
    }
  }

  #count(status: number): void {
    this.answers[status] = (this.answers[status] ?? 0) + 1;
  }
}

function statusOf(connection: HttpConnection, request: string): Promise<number> {
  return new Promise((resolve, reject) => connection.send(request, (status) => resolve(status), reject));
}

async function makeNoise(): Promise<void> {
  const waiting = new Set<ServerResponse>();
  const slow = createServer((request, response) => {
    request.resume();
    waiting.add(response);
    response.once('close', () => waiting.delete(response));
  });
  slow.listen(0, '127.0.0.1');
  await once(slow, 'listening');
  let noisy: Noisy | undefined;
  process.on('message', async (message: ToNoise) => {
    if (message !== 'end') {
      noisy = new Noisy(message.begin);
      return;
    }
    await noisy?.end();
    for (const response of waiting) response.writeHead(204).end();
    tell({ answers: noisy?.answers ?? {} });
  });
  process.on('disconnect', () => process.exit(0));
  tell({ slowPort: (slow.address() as AddressInfo).port });
}

function tell(message: FromNoise): void {
  process.send?.(message);
}

if (process.argv[2] === 'noise') await makeNoise();
