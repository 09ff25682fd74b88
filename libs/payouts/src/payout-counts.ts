import { Injectable } from '@nestjs/common';
import { labelled, type Metrics } from '#platform/metrics.js';
import type { BringsMetrics } from '#platform/room-hooks.js';
import type { Refusal } from '#platform/signatures.js';
import { STORED_STATUSES, type StoredStatus } from './status.js';

type CallbackOutcome = 'heeded' | 'unknown' | 'unreadable' | 'unsigned' | 'stale' | 'wrong_signature';

/** What this process has seen of payouts. */
@Injectable()
export class PayoutCounts implements BringsMetrics {
  readonly #entered = Object.fromEntries(STORED_STATUSES.map((status) => [status, 0])) as Record<StoredStatus, number>;
  readonly #callbacks: Record<CallbackOutcome, number> = {
    heeded: 0,
    unknown: 0,
    unreadable: 0,
    unsigned: 0,
    stale: 0,
    wrong_signature: 0,
  };

  add(statuses: readonly StoredStatus[]): void {
    for (const status of statuses) this.#entered[status] += 1;
  }

  addCallback(outcome: Exclude<CallbackOutcome, 'wrong_signature'> | Refusal): void {
    this.#callbacks[outcome === 'wrong signature' ? 'wrong_signature' : outcome] += 1;
  }

  addMetrics(metrics: Metrics): void {
    metrics.counter(
      'counterfoil_payouts_total',
      'Payouts by the statuses that they have come to in this process.',
      () => labelled('status', this.#entered),
    );
    metrics.counter(
      'counterfoil_bank_callbacks_total',
      'Callbacks of the bank by what came of them: heeded (it is asked); unknown; unreadable; unsigned; wrong_signature; stale.',
      () => labelled('outcome', this.#callbacks),
    );
  }
}
