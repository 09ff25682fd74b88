import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { HttpConnection } from './http-connection.js';
import { type BenchMerchant, getRequest, RequestSource } from './requests.js';

/** What a merchant waits for, in milliseconds, each request from the moment at which it was due. */
export interface Waits {
  postings: number[];
  reads: number[];
  /** From its posting until its webhook. */
  deliveries: number[];
}
export const WHATS = ['postings', 'reads', 'deliveries'] as const;

const LOOK_MS = 5;

interface Connections {
  port: number;
  idle: HttpConnection[];
}

/** A merchant of modest means: so many postings and reads a second, sent when they are due, whatever has become of those before. */
export class Neighbour {
  readonly #merchant: BenchMerchant;
  readonly #webhooks: Server;
  /** By API: postings and reads go to each in turn. */
  readonly #apis: Connections[];
  readonly #received = new Map<string, number>();
  readonly #postings: RequestSource;
  readonly refused: string[] = [];

  #asked = 0;

  readonly #deliveredWithinMs: number;

  private constructor(ports: readonly number[], merchant: BenchMerchant, deliveredWithinMs: number) {
    this.#deliveredWithinMs = deliveredWithinMs;
    this.#apis = ports.map((port) => ({ port, idle: [] }));
    this.#merchant = merchant;
    const load = { port: 0, callers: 0, warmUpMs: 0, measureMs: 0, spread: 'uniform', batch: 1, lateMs: 0 } as const;
    this.#postings = new RequestSource([merchant], load, randomBytes(6).toString('hex'));
    this.#webhooks = createServer(async (request, response) => {
      const receivedAt = performance.now();
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      response.writeHead(204).end();
      const { data } = JSON.parse(Buffer.concat(chunks).toString());
      if (data?.transaction_id) this.#received.set(data.transaction_id, receivedAt);
    });
  }

  /** Deliveries that come later than `deliveredWithinMs` are not waited for, and count as that long. */
  static async open(ports: readonly number[], merchant: BenchMerchant, deliveredWithinMs: number): Promise<Neighbour> {
    const neighbour = new Neighbour(ports, merchant, deliveredWithinMs);
    neighbour.#webhooks.listen(0, '127.0.0.1');
    await once(neighbour.#webhooks, 'listening');
    return neighbour;
  }

  get webhookUrl(): string {
    return `http://127.0.0.1:${(this.#webhooks.address() as AddressInfo).port}/`;
  }

  async live(forMs: number, perSecond: number): Promise<Waits> {
    const waits: Waits = { postings: [], reads: [], deliveries: [] };
    const began = performance.now();
    const underWay: Promise<void>[] = [];
    const posted = new Map<string, number>();
    for (let n = 0; n * 1_000 < forMs * perSecond; n += 1) {
      const dueAt = began + (n * 1_000) / perSecond;
      const readAt = dueAt + 500 / perSecond;
      await until(dueAt);
      underWay.push(this.#post(dueAt, waits.postings, posted));
      await until(readAt);
      underWay.push(this.#read(readAt, waits.reads));
    }
    await Promise.all(underWay);
    waits.deliveries = await this.#delivered(posted);
    this.#hangUp();
    return waits;
  }

  close(): void {
    this.#hangUp();
    this.#webhooks.close();
    this.#webhooks.closeAllConnections();
  }

  /** Servers close connections that were idle for long. */
  #hangUp(): void {
    for (const { idle } of this.#apis) for (const connection of idle.splice(0)) connection.close();
  }

  async #post(dueAt: number, waits: number[], posted: Map<string, number>): Promise<void> {
    const answer = await this.#exchange(this.#postings.next(), 201);
    if (answer === undefined) return;
    waits.push(performance.now() - dueAt);
    posted.set(JSON.parse(answer).id, dueAt);
  }

  async #read(dueAt: number, waits: number[]): Promise<void> {
    const answer = await this.#exchange(getRequest(this.#merchant, 'transactions?limit=20'), 200);
    if (answer !== undefined) waits.push(performance.now() - dueAt);
  }

  async #exchange(request: string, status: number): Promise<string | undefined> {
    const { port, idle } = this.#apis[Math.floor(this.#asked++ / 2) % this.#apis.length] as Connections;
    const connection = idle.pop() ?? (await HttpConnection.open(port));
    const answer = await connection.exchange(request);
    idle.push(connection);
    if (answer.status === status) return answer.body;
    this.refused.push(`${answer.status} ${answer.body}`);
    return undefined;
  }

  async #delivered(posted: ReadonlyMap<string, number>): Promise<number[]> {
    const longest = this.#deliveredWithinMs;
    const end = performance.now() + longest;
    const isThere = (id: string): boolean => this.#received.has(id);
    while (![...posted.keys()].every(isThere) && performance.now() < end) await sleep(LOOK_MS);
    const waits = [...posted].map(([id, dueAt]) => Math.min(longest, (this.#received.get(id) ?? Infinity) - dueAt));
    this.#received.clear();
    return waits;
  }
}

async function until(at: number): Promise<void> {
  const left = at - performance.now();
  if (left > 0) await sleep(left);
}
