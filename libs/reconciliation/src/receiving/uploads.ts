import { ProblemError } from '#kernel/problem.js';
import { labelled, type Metrics } from '#platform/metrics.js';
import type { BringsMetrics } from '#platform/room-hooks.js';

const COME_AGAIN_S = 10;

/** Uploads that a process has in hand, within limits. */
export class Uploads implements BringsMetrics {
  readonly #ofMerchant = new Map<bigint, number>();
  readonly #down = new AbortController();
  #count = 0;
  /** By what came of them. */
  readonly ended = { received: 0, replayed: 0, refused: 0, broken_off: 0 };
  /** That are committed. */
  readonly staged = { read: 0, bad: 0 };

  constructor(private readonly limits: { uploads: number; merchantUploads: number }) {}

  /** Aborted when the process goes down. */
  get signal(): AbortSignal {
    return this.#down.signal;
  }

  /** Call back what it answers once the upload has ended. Throws `overloaded`. */
  begin(merchantId: bigint): () => void {
    this.signal.throwIfAborted();
    const own = this.#ofMerchant.get(merchantId) ?? 0;
    if (this.#count >= this.limits.uploads || own >= this.limits.merchantUploads) {
      const detail = 'Too many reports are being received; wait for one of those to end.';
      throw new ProblemError('overloaded', detail, { retryAfterS: COME_AGAIN_S });
    }
    this.#add(merchantId, 1);
    return () => this.#add(merchantId, -1);
  }

  /** What is not received by now is broken off. */
  breakOff(): void {
    const detail = 'The server goes down. Nothing of the report was kept; send it again.';
    this.#down.abort(new ProblemError('overloaded', detail, { retryAfterS: 1 }));
  }

  addMetrics(metrics: Metrics): void {
    metrics.gauge('counterfoil_reconciliation_uploads', 'Reports that are being received here.', () => this.#count);
    metrics.counter(
      'counterfoil_reconciliation_uploads_total',
      'Reports that were sent here, by what came of them; replayed: with a known Idempotency-Key.',
      () => labelled('outcome', this.ended),
    );
    metrics.counter(
      'counterfoil_reconciliation_staged_rows_total',
      'Rows of reports that were received here, read or bad.',
      () => labelled('kind', this.staged),
    );
  }

  #add(merchantId: bigint, one: 1 | -1): void {
    this.#count += one;
    const left = (this.#ofMerchant.get(merchantId) ?? 0) + one;
    if (left === 0) this.#ofMerchant.delete(merchantId);
    else this.#ofMerchant.set(merchantId, left);
  }
}
