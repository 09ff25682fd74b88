import type { Socket } from 'node:net';
import { ProblemError } from '#kernel/problem.js';

/** Callers without a merchant share one allowance. */
const NOBODY = 0n;

/** Bytes that are in memory for somebody's sake, in all and by merchant, within limits. */
export class HeldBytes {
  readonly #ofMerchant = new Map<bigint, number>();
  #bytes = 0;

  constructor(private readonly limits: { bytes: number; merchantBytes: number }) {}

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether so many more are within the limits. For whoever has none yet they always are. */
  fits(merchantId: bigint = NOBODY, bytes: number): boolean {
    const ofMerchant = this.#ofMerchant.get(merchantId) ?? 0;
    const isWithin = this.#bytes + bytes <= this.limits.bytes && ofMerchant + bytes <= this.limits.merchantBytes;
    return isWithin || ofMerchant === 0;
  }

  /** Call back what it answers, once, when they are there no more. */
  hold(merchantId: bigint = NOBODY, bytes: number): () => void {
    this.#count(merchantId, bytes);
    return () => this.#count(merchantId, -bytes);
  }

  #count(merchantId: bigint, bytes: number): void {
    this.#bytes += bytes;
    const left = (this.#ofMerchant.get(merchantId) ?? 0) + bytes;
    if (left === 0) this.#ofMerchant.delete(merchantId);
    else this.#ofMerchant.set(merchantId, left);
  }
}

/** How often it is looked for clients that do not take their answers. */
const LOOK_MS = 250;

interface Unsent {
  readonly socket: Socket;
  readonly sinceMs: number;
}

/** Answers that are in memory because their clients have not taken them yet. */
export class UnsentAnswers {
  readonly #answers = new Set<Unsent>();
  readonly #held: HeldBytes;
  readonly #look: NodeJS.Timeout;

  constructor(private readonly limits: { bytes: number; merchantBytes: number; timeoutMs: number }) {
    this.#held = new HeldBytes(limits);
    this.#look = setInterval(() => this.#cutSlow(), Math.min(LOOK_MS, limits.timeoutMs)).unref();
  }

  get bytes(): number {
    return this.#held.bytes;
  }

  /** Why an answer of that length cannot be kept for the caller; undefined when it can. One is always kept. */
  refusal(merchantId: bigint | undefined, bytes: number): ProblemError | undefined {
    if (this.#held.fits(merchantId, bytes)) return undefined;
    return new ProblemError('overloaded', 'Too many answers wait to be taken; take those first.', { retryAfterS: 1 });
  }

  /** The same for an answer that is being made ready, which no client can take yet: call back once it is. */
  hold(merchantId: bigint | undefined, bytes: number): () => void {
    return this.#held.hold(merchantId, bytes);
  }

  /** Call back what it answers once the client has taken the answer, or is gone. */
  add(socket: Socket, merchantId: bigint | undefined, bytes: number): () => void {
    const answer: Unsent = { socket, sinceMs: performance.now() };
    const release = this.#held.hold(merchantId, bytes);
    this.#answers.add(answer);
    return () => {
      if (this.#answers.delete(answer)) release();
    };
  }

  stop(): void {
    clearInterval(this.#look);
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
