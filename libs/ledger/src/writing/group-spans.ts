import { type Attributes, type Link, type Span, SpanKind } from '@opentelemetry/api';
import { ATTRIBUTE, postgresAttributes } from '#platform/span-names.js';
import { failSpan, isSent, shareWork, spanTime, startChild, step } from '#platform/tracing.js';
import type { Outcome } from './group-extension.js';

export interface TracedRequest {
  submission: { span: Span };
  /** As `spanTime` tells it. */
  enqueuedAt: number;
  /** Tries that it has gone along with, this one included. */
  attempts: number;
}

/**
 * Spans of one try: below each recorded span whose requests it carries the group, and before its first one the wait in the lane; one
 * group's span, of a sampled request where there is any, is the parent of what is asked of PostgreSQL and Redis and links all sampled
 * ones that the group carries, the others' link to it. They end when the balances are published, and the requests may be answered.
 */
export class GroupSpans {
  readonly #leader: Span | undefined;
  readonly #others: Span[];

  constructor(group: readonly TracedRequest[]) {
    const traced = firstOfEachSpan(group);
    if (traced.length === 0) {
      this.#others = [];
      return;
    }
    const startedAt = spanTime();
    for (const { submission, enqueuedAt, attempts } of traced) {
      if (attempts === 1) startChild(submission.span, 'wait in lane', { startTime: enqueuedAt }).end(startedAt);
    }
    // Most are at their first try: one object for all of these.
    const firstTry = attributesOf(group, 1);
    const first = traced.find(({ submission }) => isSent(submission.span)) ?? (traced[0] as TracedRequest);
    const rest = traced.filter((waiting) => waiting !== first);
    const sent = rest.filter(({ submission }) => isSent(submission.span));
    const start = ({ submission, attempts }: TracedRequest, links?: Link[]): Span =>
      startChild(submission.span, 'commit group', {
        startTime: startedAt,
        attributes: attempts === 1 ? firstTry : attributesOf(group, attempts),
        links,
      });
    const leader = start(
      first,
      sent.map(({ submission }) => ({ context: submission.span.spanContext() })),
    );
    this.#leader = leader;
    this.#others = rest.map((waiting) => {
      const span = start(waiting);
      shareWork(span, leader);
      return span;
    });
  }

  /** The parent of what all of them wait for: a sampled request's, where there is one. */
  get leader(): Span | undefined {
    return this.#leader;
  }

  /** A step in PostgreSQL. */
  step<T>(name: string, work: () => Promise<T>): Promise<T> {
    return step(this.#leader, name, { kind: SpanKind.CLIENT, attributes: postgresAttributes(name) }, work);
  }

  end(): void {
    const endedAt = spanTime();
    this.#leader?.end(endedAt);
    for (const span of this.#others) span.end(endedAt);
  }

  fail(error: unknown): void {
    if (this.#leader) failSpan(this.#leader, error);
    for (const span of this.#others) failSpan(span, error);
  }
}

/** Requests of one batch share their command's span, and come to one group in it. */
function firstOfEachSpan(group: readonly TracedRequest[]): TracedRequest[] {
  const seen = new Set<Span>();
  return group.filter(({ submission: { span } }) => {
    if (!span.isRecording() || seen.has(span)) return false;
    seen.add(span);
    return true;
  });
}

function attributesOf(group: readonly TracedRequest[], attempt: number): Attributes {
  return { [ATTRIBUTE.groupRequests]: group.length, [ATTRIBUTE.groupAttempt]: attempt };
}

/** With a transaction's id on its command's span, its trace is one search away. */
export function nameTransactions(span: Span, outcome: Outcome): void {
  const ids = transactionIdsOf(outcome);
  if (ids.length > 0) span.setAttribute(ATTRIBUTE.transactionId, ids);
}

function transactionIdsOf(outcome: Outcome): string[] {
  if (outcome.kind === 'replayed') return outcome.transactionId === null ? [] : [String(outcome.transactionId)];
  if (outcome.kind !== 'decided') return [];
  return outcome.decisions.flatMap((decision) => {
    if (!decision.accepted) return [];
    return ('transaction' in decision ? [decision.transaction.id] : decision.transactionIds).map(String);
  });
}
