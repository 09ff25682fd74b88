import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Dice } from '../histories/history.js';
import { type Exchange, exchange } from '../histories/http.js';

// biome-ignore lint/suspicious/noExplicitAny: bodies are looked into at will.
export type Json = any;

export interface Answer {
  readonly status: number;
  readonly body: Json;
}

const PATIENCE_MS = 20_000;
const GIVE_UP_MS = 120_000;
const RETRY_MS = 50;
/** What may be answered while processes and connections come and go: nobody knows then, and the same is sent again. */
const AMBIGUOUS = new Set([429, 503, 504]);

/** Where an API listens; undefined while it does not. */
export interface Listening {
  readonly url: string | undefined;
}

/** Asks either API, and again until there is an answer, wherever it comes from. */
export class Client {
  readonly counts = { requests: 0, again: 0 };
  readonly #apis: readonly Listening[];
  readonly #dice: Dice;

  constructor(apis: readonly Listening[], dice: Dice) {
    this.#apis = apis;
    this.#dice = dice;
  }

  get(path: string, key: string): Promise<Answer> {
    return this.#ask('GET', path, undefined, { authorization: `Bearer ${key}` });
  }

  /** `idempotent`: under a key that stays the same however often it is sent. */
  post(path: string, key: string, body: object, idempotent = false): Promise<Answer> {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    const named = idempotent ? { ...headers, 'idempotency-key': randomUUID() } : headers;
    return this.#ask('POST', path, JSON.stringify(body), named);
  }

  put(path: string, key: string, body: object): Promise<Answer> {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    return this.#ask('PUT', path, JSON.stringify(body), headers);
  }

  async #ask(method: string, path: string, body: string | undefined, headers: Record<string, string>): Promise<Answer> {
    this.counts.requests += 1;
    const end = performance.now() + GIVE_UP_MS;
    for (;;) {
      const answer = await this.#try(method, path, { body, headers });
      if (answer && !isAmbiguous(answer)) return { status: answer.status, body: JSON.parse(answer.text) };
      if (performance.now() > end) throw new Error(`${path}: never answered; ${answer?.status} ${answer?.text}`);
      this.counts.again += 1;
      await sleep(RETRY_MS);
    }
  }

  async #try(
    method: string,
    path: string,
    asked: { body: string | undefined; headers: Record<string, string> },
  ): Promise<Exchange | undefined> {
    const urls = this.#apis.flatMap(({ url }) => url ?? []);
    if (urls.length === 0) return undefined;
    try {
      return await exchange(this.#dice.pick(urls) + path, { ...asked, method, patienceMs: PATIENCE_MS });
    } catch {
      // Killed in the middle: it may have been done or not.
      return undefined;
    }
  }
}

function isAmbiguous({ status, text }: Exchange): boolean {
  // To an API whose clock is back what happened just now is still to come: alone, or one of a batch.
  if (text.includes('occurred_at: must lie')) return true;
  return AMBIGUOUS.has(status) || (status === 409 && text.includes('"idempotency_in_flight"'));
}
