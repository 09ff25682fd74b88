import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { BankStatus } from '#payouts/bank.js';
import { keyOfSecret, signatureOf } from '#platform/standard-webhooks.js';
import type { Answer, TestApi } from './api.js';

export const BANK_SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

interface Taken {
  readonly body: string;
  status: BankStatus;
  sequence: number;
  failure_code?: string;
}

/** What happens to a request: `before` it is carried out, `after` it was, its connection drops; `hold` until it is let go. */
type Fault = 'drop before' | 'drop after';

/** A bank on 127.0.0.1 that says what a test has it say. */
export class SmallBank {
  readonly taken = new Map<string, Taken>();
  /** Of every request that arrived. */
  readonly requests: string[] = [];
  readonly refuses = new Map<string, string>();
  /** Of the next requests with the method, one each. */
  readonly faults: Record<string, Fault[]> = { PUT: [], GET: [] };
  isAway = false;
  /** Called before an answer is sent; its promise holds it back. */
  beforeAnswer: (request: string) => Promise<void> | void = () => undefined;

  private constructor(private readonly server: Server) {}

  static async open(): Promise<SmallBank> {
    const server = createServer();
    const bank = new SmallBank(server);
    server.on('request', (request, response) => void bank.#take(request, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return bank;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Instructions that arrived, whatever was answered. */
  get instructed(): string[] {
    return this.requests.filter((request) => request.startsWith('PUT'));
  }

  /** As if somebody had sent it. */
  take(key: string): void {
    this.taken.set(key, { body: '', status: 'accepted', sequence: 1 });
  }

  say(key: string, status: BankStatus, failure_code?: string): void {
    const taken = this.taken.get(key);
    if (!taken) throw new Error(`the bank has not taken ${key}`);
    Object.assign(taken, { status, sequence: taken.sequence + 1, failure_code });
  }

  forget(key: string): void {
    this.taken.delete(key);
  }

  async close(): Promise<void> {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close').catch(() => undefined);
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = '', url = '' } = request;
    this.requests.push(`${method} ${url}`);
    const fault = this.isAway ? 'drop before' : this.faults[method]?.shift();
    if (fault === 'drop before') return void response.destroy();
    const key = decodeURIComponent(url.replace('/instructions/', ''));
    const [status, answer] = method === 'PUT' ? this.#instruct(key, Buffer.concat(chunks).toString()) : this.#tell(key);
    await this.beforeAnswer(`${method} ${url}`);
    if (fault === 'drop after') return void response.destroy();
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  }

  #instruct(key: string, body: string): [number, object] {
    const { destination } = JSON.parse(body);
    const code = this.refuses.get(destination);
    if (code) return [422, { code }];
    const known = this.taken.get(key);
    if (known && known.body !== body) return [409, { code: 'other_instruction' }];
    if (!known) this.taken.set(key, { body, status: 'accepted', sequence: 1 });
    return [202, { key, bank_reference: `B-${key}`, status: 'accepted', sequence: 1 }];
  }

  #tell(key: string): [number, object] {
    const taken = this.taken.get(key);
    if (!taken) return [404, { code: 'not_found' }];
    const { body: _, ...rest } = taken;
    return [200, { key, bank_reference: `B-${key}`, ...rest, history: [] }];
  }
}

interface Callback {
  secret?: string;
  id?: string;
  atMs?: number;
  /** In place of what was signed. */
  sent?: string;
}

/** What the bank calls back with, or somebody else in its name. */
export function callBack(
  api: Pick<TestApi, 'client'>,
  body: object | string,
  { secret, id = 'cb_1', atMs, sent }: Callback = {},
): Promise<Answer> {
  const key = keyOfSecret(secret ?? BANK_SECRET);
  if (!key) throw new Error('no secret');
  const raw = typeof body === 'string' ? body : JSON.stringify(body);
  const timestampS = Math.floor((atMs ?? Date.now()) / 1_000);
  const headers = {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(timestampS),
    'webhook-signature': signatureOf([key], id, timestampS, raw),
  };
  return api.client().post('/v1/bank/callbacks', { raw: sent ?? raw, headers });
}
