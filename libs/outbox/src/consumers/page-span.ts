import type { Span } from '@opentelemetry/api';
import type { TransactionClient } from '#platform/postgres.js';
import { tracedClient } from '#platform/query-spans.js';
import { ATTRIBUTE } from '#platform/span-names.js';
import {
  endSpan,
  failSpan,
  isOneTrace,
  isSampled,
  linksTo,
  spanTime,
  startFrom,
  traceparentOf,
} from '#platform/tracing.js';
import type { LoggedEvent } from './consumer.js';
import { ClaimLost } from './position-store.js';

/** Traces that one page is told of. */
const TRACES = 10;

/**
 * The span of a page of events, as a commit group has one: below the job that brought them, or else the first of them that is traced. It
 * links those of other traces, in each of which a span of the same name links to it. A page of which nothing is traced has one where
 * it fails.
 */
export class PageSpan {
  readonly #name: string;
  readonly #consumer: string;
  readonly #startTime = spanTime();
  readonly #others: Span[] = [];
  #span: Span | undefined;
  /** The statements before it have no span. */
  #isLate = false;

  /** `traceContext`: of the job. */
  constructor(what: 'apply' | 'park' | 'redrive' | 'discard' | 'catch up', consumer: string, traceContext?: string) {
    this.#name = `${what} ${consumer}`;
    this.#consumer = consumer;
    if (isSampled(traceContext)) this.#span = this.#start(traceContext);
  }

  /** Undefined: there is none. */
  get span(): Span | undefined {
    return this.#span;
  }

  /** Of a transaction that began before it was known what it is about. */
  clientOf(client: TransactionClient): TransactionClient {
    return this.#isLate ? tracedClient(client, this.#span) : client;
  }

  /** As soon as it is known. */
  about(events: readonly LoggedEvent[]): void {
    const traces = new Set(events.map(({ traceContext }) => traceContext).filter(isSampled));
    const [first] = traces;
    if (first === undefined) return;
    this.#isLate = this.#span === undefined;
    this.#span ??= this.#start(first);
    const own = traceparentOf(this.#span) ?? first;
    const others = [...traces].filter((trace) => !isOneTrace(trace, own)).slice(0, TRACES);
    this.#span.addLinks(linksTo(others));
    this.#others.push(...others.map((other) => this.#start(other, linksTo([own]))));
    for (const span of this.#all) span.setAttribute(ATTRIBUTE.events, events.length);
    const merchants = new Set(events.map(({ merchantId }) => merchantId));
    if (merchants.size === 1) this.#span.setAttribute(ATTRIBUTE.merchantId, String(events[0]?.merchantId));
  }

  async within<T>(work: () => Promise<T>): Promise<T> {
    try {
      const result = await work();
      for (const span of this.#all) endSpan(span);
      return result;
    } catch (error) {
      if (error instanceof ClaimLost) {
        // Somebody else was faster: nothing has failed.
        for (const span of this.#all) endSpan(span.setAttribute(ATTRIBUTE.outcome, 'claim lost'));
        throw error;
      }
      this.#span ??= this.#start(undefined);
      for (const span of this.#all) failSpan(span, error);
      throw error;
    }
  }

  get #all(): Span[] {
    return this.#span ? [this.#span, ...this.#others] : [];
  }

  #start(traceContext: string | undefined, links = linksTo([])): Span {
    const attributes = { [ATTRIBUTE.consumer]: this.#consumer };
    return startFrom(traceContext, this.#name, { startTime: this.#startTime, links, attributes });
  }
}
