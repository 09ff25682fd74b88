import type { Span } from '@opentelemetry/api';
import { endSpan, spanTime, startChild } from '#platform/tracing.js';

export interface TracedRequest {
  submission: { span: Span };
  /** As `spanTime` tells it. */
  enqueuedAt: number;
}

/**
 * Spans of one try: in each sampled request's trace its wait in the lane and the group; the first one's group span is the
 * parent of the SQL and links all requests that the group carries, the others' link to it.
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
    const attributes = { 'counterfoil.group.requests': group.length };
    for (const { submission, enqueuedAt } of traced) {
      startChild(submission.span, 'wait in lane', { startTime: enqueuedAt }).end(startedAt);
    }
    const [first, ...rest] = traced as [TracedRequest, ...TracedRequest[]];
    const links = rest.map((waiting) => ({ context: waiting.submission.span.spanContext() }));
    const leader = startChild(first.submission.span, 'commit group', { startTime: startedAt, attributes, links });
    this.#leader = leader;
    this.#others = rest.map((waiting) =>
      startChild(waiting.submission.span, 'commit group', {
        startTime: startedAt,
        attributes,
        links: [{ context: leader.spanContext() }],
      }),
    );
  }

  child(name: string): Span | undefined {
    return this.#leader && startChild(this.#leader, name, { attributes: { 'db.system.name': 'postgresql' } });
  }

  end(): void {
    if (this.#leader) endSpan(this.#leader);
    for (const span of this.#others) endSpan(span);
  }
}
