import { inject } from 'vitest';
import { type Api, startApi } from '../../apps/api/src/api.js';
import { readConfig } from '../../apps/config.js';
import { freshDatabase } from './database.js';

export const OPERATOR_KEY = `cfo_${'t'.repeat(40)}`;

export interface Answer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  body: any;
}

export interface TestApi {
  api: Api;
  url: string;
  ownerUrl: string;
  runtimeUrl: string;
  /** A JSON request. `key` false: none; a string `body` is sent as it is. */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  createMerchant(
    overrides?: Record<string, unknown>,
  ): Promise<{ id: string; key: string; keyId: string; body: Answer['body'] }>;
  stop(): Promise<void>;
}

export interface CallOptions {
  key?: string | false;
  body?: unknown;
  headers?: Record<string, string>;
}

/** The API on a database of its own and a free port, in this process. */
export async function startTestApi(environment: Record<string, string> = {}): Promise<TestApi> {
  const database = await freshDatabase();
  const config = readConfig({
    PORT: '0',
    LOG_LEVEL: 'error',
    REDIS_URL: inject('redisUrl'),
    DATABASE_URL: database.ownerUrl,
    COUNTERFOIL_OPERATOR_KEY: OPERATOR_KEY,
    ...environment,
  });
  const api = await startApi(config);
  const call = (method: string, path: string, options: CallOptions = {}) => callAt(api.url, method, path, options);
  return {
    api,
    url: api.url,
    ownerUrl: database.ownerUrl,
    runtimeUrl: database.runtimeUrl,
    call,
    async createMerchant(overrides = {}) {
      const body = {
        name: 'Test',
        time_zone: 'Europe/Berlin',
        settlement_cutoff: '23:00',
        currencies: ['EUR'],
        ...overrides,
      };
      const answer = await call('POST', '/v1/merchants', { body });
      if (answer.status !== 201) throw new Error(`no merchant: ${JSON.stringify(answer.body)}`);
      return { id: answer.body.id, key: answer.body.api_key.secret, keyId: answer.body.api_key.id, body: answer.body };
    },
    async stop() {
      await api.stop();
      await database.drop();
    },
  };
}

export async function callAt(url: string, method: string, path: string, options: CallOptions = {}): Promise<Answer> {
  const { key = OPERATOR_KEY, body, headers = {} } = options;
  const response = await fetch(url + path, {
    method,
    headers: {
      ...(key !== false && { authorization: `Bearer ${key}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && {
      body: typeof body === 'string' || body instanceof Uint8Array ? (body as string) : JSON.stringify(body),
    }),
  });
  const text = await response.text();
  const isJson = /json/.test(response.headers.get('content-type') ?? '');
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
}
