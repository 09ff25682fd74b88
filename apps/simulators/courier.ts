import { Webhook } from 'standardwebhooks';

/** Where webhooks go, and how they are signed. */
export interface Destination {
  url: string;
  /** `whsec_…`, as Standard Webhooks has it. */
  secret: string;
}

export interface CourierOptions {
  /** Requests in hand at once. */
  concurrency: number;
  /** For one request, its answer included. */
  timeoutMs: number;
  /** A try that failed is followed by the next one after this, then after twice that, and so on, with jitter. */
  backoffMs: number;
  longestBackoffMs: number;
  attempts: number;
  /** Parcels that wait; more are refused. */
  capacity: number;
}

export const COURIER_DEFAULTS: CourierOptions = {
  concurrency: 8,
  timeoutMs: 10_000,
  backoffMs: 250,
  longestBackoffMs: 30_000,
  attempts: 12,
  capacity: 100_000,
};

export interface Message {
  /** The same each time that it is told. */
  readonly id: string;
  readonly body: object;
}

interface Parcel {
  message: Message;
  atMs: number;
  attempt: number;
  done(isTaken: boolean): void;
}

/** Brings messages to one destination at their time, and again until they are answered 2xx. */
export class Courier {
  readonly counts = { told: 0, failed: 0, givenUp: 0 };
  destination: Destination;
  /** By time, the latest first: the next one is taken from the end. */
  readonly #waiting: Parcel[] = [];
  readonly #options: CourierOptions;
  readonly #draw: () => number;
  readonly #ended = new AbortController();
  #inHand = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `draw`: from 0 up to 1, for the jitter. */
  constructor(destination: Destination, options: CourierOptions, draw: () => number) {
    this.destination = destination;
    this.#options = options;
    this.#draw = draw;
  }

  get waiting(): number {
    return this.#waiting.length + this.#inHand;
  }

  get room(): number {
    return this.#options.capacity - this.waiting;
  }

  /** Answers whether it was taken, or given up. */
  bring(message: Message, inMs = 0): Promise<boolean> {
    if (this.room <= 0) throw new Error(`more than ${this.#options.capacity} messages wait to be told`);
    return new Promise((done) => {
      this.#enqueue({ message, atMs: Date.now() + inMs, attempt: 1, done });
      this.#pump();
    });
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#waiting.length = 0;
    this.#ended.abort();
  }

  #enqueue(parcel: Parcel): void {
    const later = this.#waiting.findLastIndex(({ atMs }) => atMs > parcel.atMs);
    this.#waiting.splice(later + 1, 0, parcel);
  }

  #pump(): void {
    clearTimeout(this.#timer);
    if (this.#ended.signal.aborted) return;
    for (let next = this.#waiting.at(-1); next; next = this.#waiting.at(-1)) {
      if (this.#inHand >= this.#options.concurrency) return;
      const inMs = next.atMs - Date.now();
      if (inMs > 0) {
        this.#timer = setTimeout(() => this.#pump(), inMs);
        return;
      }
      this.#waiting.pop();
      this.#inHand += 1;
      void this.#try(next);
    }
  }

  async #try(parcel: Parcel): Promise<void> {
    const isTaken = await this.#send(parcel.message);
    this.#inHand -= 1;
    if (isTaken) this.counts.told += 1;
    else this.counts.failed += 1;
    if (!isTaken && parcel.attempt < this.#options.attempts) this.#again(parcel);
    else {
      if (!isTaken) this.counts.givenUp += 1;
      parcel.done(isTaken);
    }
    this.#pump();
  }

  #again({ message, attempt, done }: Parcel): void {
    const { backoffMs, longestBackoffMs } = this.#options;
    const waitMs = Math.min(backoffMs * 2 ** (attempt - 1), longestBackoffMs) * (0.5 + this.#draw() / 2);
    this.#enqueue({ message, atMs: Date.now() + waitMs, attempt: attempt + 1, done });
  }

  async #send({ id, body: told }: Message): Promise<boolean> {
    const { url, secret } = this.destination;
    const body = JSON.stringify(told);
    const now = new Date();
    const headers = {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(now.getTime() / 1_000)),
      'webhook-signature': new Webhook(secret).sign(id, now, body),
    };
    const signal = AbortSignal.any([AbortSignal.timeout(this.#options.timeoutMs), this.#ended.signal]);
    try {
      const answer = await fetch(url, { method: 'POST', headers, body, signal, redirect: 'error' });
      await answer.body?.cancel();
      return answer.ok;
    } catch {
      return false;
    }
  }
}
