import type { Socket } from 'node:net';
import { LedgerError } from '#kernel/problem.js';

/** How often it is looked for clients that do not take their answers. */
const LOOK_MS = 250;
/** Callers without a merchant share one allowance. */
const NOBODY = 0n;

interface Unsent {
  readonly socket: Socket;
  readonly merchantId: bigint;
  readonly bytes: number;
  readonly sinceMs: number;
}

/** Answers that are in memory because their clients have not taken them yet. */
export class UnsentAnswers {
  readonly #answers = new Set<Unsent>();
  readonly #ofMerchant = new Map<bigint, number>();
  readonly #look: NodeJS.Timeout;
  #bytes = 0;

  constructor(private readonly limits: { bytes: number; merchantBytes: number; timeoutMs: number }) {
    this.#look = setInterval(() => this.#cutSlow(), Math.min(LOOK_MS, limits.timeoutMs)).unref();
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Why an answer of that length cannot be kept for the caller; undefined when it can. One is always kept. */
  refusal(merchantId: bigint | undefined, bytes: number): LedgerError | undefined {
    const ofMerchant = this.#ofMerchant.get(merchantId ?? NOBODY) ?? 0;
    const fits = this.#bytes + bytes <= this.limits.bytes && ofMerchant + bytes <= this.limits.merchantBytes;
    if (fits || ofMerchant === 0) return undefined;
    return new LedgerError('overloaded', 'Too many answers wait to be taken; take those first.', { retryAfterS: 1 });
  }

  /** Call back what it answers once the client has taken the answer, or is gone. */
  add(socket: Socket, merchantId: bigint = NOBODY, bytes = 0): () => void {
    const answer: Unsent = { socket, merchantId, bytes, sinceMs: performance.now() };
    this.#answers.add(answer);
    this.#count(merchantId, bytes);
    return () => {
      if (this.#answers.delete(answer)) this.#count(merchantId, -bytes);
    };
  }

  stop(): void {
    clearInterval(this.#look);
  }

  #count(merchantId: bigint, bytes: number): void {
    this.#bytes += bytes;
    const left = (this.#ofMerchant.get(merchantId) ?? 0) + bytes;
    if (left === 0) this.#ofMerchant.delete(merchantId);
    else this.#ofMerchant.set(merchantId, left);
  }

  /** Oldest first: a set keeps the order in which they came. */
  #cutSlow(): void {
    const latestMs = performance.now() - this.limits.timeoutMs;
    for (const { socket, sinceMs } of this.#answers) {
      if (sinceMs > latestMs) return;
      // A reset and no end: the kernel need not keep what nobody takes either.
      socket.resetAndDestroy();
    }
  }
}
