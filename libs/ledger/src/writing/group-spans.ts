import type { Span } from '@opentelemetry/api';
import { endSpan, failSpan, inSpan, spanTime, startChild } from '#platform/tracing.js';
import type { Outcome } from './group-extension.js';

export interface TracedRequest {
  submission: { span: Span };
  /** As `spanTime` tells it. */
  enqueuedAt: number;
  /** Tries that it has gone along with, this one included. */
  attempts: number;
}

/**
 * Spans of one try: in each sampled request's trace the group, and before its first one the wait in the lane; the first
 * request's group span is the parent of the SQL and links all requests that the group carries, the others' link to it.
 */
export class GroupSpans {
  readonly #leader: Span | undefined;
  readonly #others: Span[];

  constructor(group: readonly TracedRequest[]) {
    const traced = group.filter((waiting) => waiting.submission.span.isRecording());
    if (traced.length === 0) {
      this.#others = [];
      return;
    }
    const startedAt = spanTime();
    for (const { submission, enqueuedAt, attempts } of traced) {
      if (attempts === 1) startChild(submission.span, 'wait in lane', { startTime: enqueuedAt }).end(startedAt);
    }
    const attributesOf = ({ attempts }: TracedRequest) => ({
      'counterfoil.group.requests': group.length,
      'counterfoil.group.attempt': attempts,
    });
    const [first, ...rest] = traced as [TracedRequest, ...TracedRequest[]];
    const links = rest.map((waiting) => ({ context: waiting.submission.span.spanContext() }));
    const leader = startChild(first.submission.span, 'commit group', {
      startTime: startedAt,
      attributes: attributesOf(first),
      links,
    });
    this.#leader = leader;
    this.#others = rest.map((waiting) =>
      startChild(waiting.submission.span, 'commit group', {
        startTime: startedAt,
        attributes: attributesOf(waiting),
        links: [{ context: leader.spanContext() }],
      }),
    );
  }

  /** The first sampled request's: the parent of what all of them wait for. */
  get leader(): Span | undefined {
    return this.#leader;
  }

  /** A step in PostgreSQL. */
  step<T>(name: string, work: () => Promise<T>): Promise<T> {
    if (!this.#leader) return work();
    return inSpan(startChild(this.#leader, name, { attributes: { 'db.system.name': 'postgresql' } }), work);
  }

  end(): void {
    if (this.#leader) endSpan(this.#leader);
    for (const span of this.#others) endSpan(span);
  }

  fail(error: unknown): void {
    if (this.#leader) failSpan(this.#leader, error);
    for (const span of this.#others) failSpan(span, error);
  }
}

/** With a transaction's id on its command's span, its trace is one search away. */
export function nameTransactions(span: Span, outcome: Outcome): void {
  const ids = transactionIdsOf(outcome);
  if (ids.length > 0) span.setAttribute('counterfoil.transaction_id', ids);
}

function transactionIdsOf(outcome: Outcome): string[] {
  if (outcome.kind === 'replayed') return outcome.transactionId === null ? [] : [String(outcome.transactionId)];
  if (outcome.kind !== 'decided') return [];
  return outcome.decisions.flatMap((decision) => {
    if (!decision.accepted) return [];
    return ('transaction' in decision ? [decision.transaction.id] : decision.transactionIds).map(String);
  });
}
