import type { Span } from '@opentelemetry/api';
import { type Clock, systemClock } from '#kernel/clock.js';
import type { SnowflakeGenerator } from '#kernel/snowflake.js';
import { nextAskAt } from '#platform/ask-schedule.js';
import type { Deadline } from '#platform/deadline.js';
import type { DueRow } from '#platform/due-rows.js';
import { type DueKind, type DueResult, DueWork } from '#platform/due-work.js';
import type { Logger } from '#platform/logging.js';
import type { Database } from '#platform/postgres.js';
import { type HttpAnswer, type PublicHttp, RequestFailed } from '#platform/public-http.js';
import { boundsIn, type RequestBounds } from '#platform/request-context.js';
import { endRequestSpan, failRequestSpan, startRequestSpan } from '#platform/request-spans.js';
import { inSpan, isSampled, startFrom, traceparentOf } from '#platform/tracing.js';
import { KnownPayment } from '../known-payment.js';
import type { Inbox } from '../providers/inbox.js';
import { receive } from '../providers/inbox-store.js';
import { providerOf } from '../providers/providers.js';
import { type AnswerOutcome, findAccess, keepAnswer } from '../providers/query-store.js';
import { findKnown } from './known-store.js';
import { type Question, questionOf } from './question.js';
import type { TimerOptions } from './timer-options.js';
import { PAYMENT_QUERY } from './timers.js';

/** Tries of one question, each after a longer wait; then its next time in the schedule is waited for. */
const TRIES = 5;

export interface QueryOptions extends TimerOptions {
  readonly concurrency: number;
  readonly stripeApiUrl: string;
  /** The worker's own turn with what an answer told and this process did not apply. */
  readonly inboxRetryMs: number;
}

interface Parts {
  readonly database: Database;
  readonly ids: SnowflakeGenerator;
  readonly inbox: Inbox;
  readonly http: Pick<PublicHttp, 'get'>;
  readonly logger?: Logger;
}

interface Asking extends RequestBounds {
  readonly row: DueRow;
  readonly subject: string;
}

/** Asks providers about what is unknown or unconfirmed. What they answer goes the way of their webhooks. */
export class PaymentQueries {
  readonly counts: Record<AnswerOutcome, number> = { told: 0, nothing: 0, failed: 0 };
  readonly #parts: Parts;
  readonly #options: QueryOptions;
  readonly #clock: Clock;

  constructor(parts: Parts, options: QueryOptions, clock: Clock = systemClock) {
    this.#parts = parts;
    this.#options = options;
    this.#clock = clock;
  }

  get work(): DueWork {
    const run: DueKind['run'] = (row, deadline) => this.#askOf(row, deadline);
    const kind = { name: PAYMENT_QUERY, atOnce: this.#options.concurrency, run };
    return new DueWork(this.#parts.database, kind, this.#parts.logger);
  }

  /** The group that makes the question needless takes its row away: then there is no next time. */
  async #askOf(row: DueRow, deadline: Deadline): Promise<DueResult> {
    const { merchantId, subjectId } = row;
    const found = await findKnown(this.#parts.database, { merchantId, id: subjectId }, deadline);
    const question = found && questionOf(KnownPayment.of(found.payment, found.facts, true), this.#options);
    if (!found || question?.subjectId !== subjectId) return 'done';
    // In the trace in which the payment began.
    const began = found.facts.map(({ trace_context }) => trace_context).find(isSampled);
    const attributes = { 'counterfoil.merchant_id': String(merchantId), 'counterfoil.payment_id': String(subjectId) };
    const span = startFrom(began, 'ask provider', { attributes });
    const asking = { row, subject: found.subject, ...boundsIn(span, deadline) };
    return inSpan(span, () => this.#ask(asking, question));
  }

  async #ask(asking: Asking, question: Question): Promise<DueResult> {
    const { attempts } = asking.row;
    try {
      if (!(await this.#exchange(asking))) return 'done';
    } catch (error) {
      if (!(error instanceof RequestFailed)) throw error;
      await this.#keep(asking, 'failed', error.message);
      if (attempts < TRIES) throw error;
    }
    return { againAtMs: nextAskAt(this.#options.queryScheduleMs, question.sinceMs, this.#clock.now()) };
  }

  /** Returns false when nobody is to be asked. */
  async #exchange(asking: Asking): Promise<boolean> {
    const { row, subject, deadline, span } = asking;
    const slash = subject.indexOf('/');
    const [provider, paymentRef] = [subject.slice(0, slash), subject.slice(slash + 1)];
    const access = await findAccess(this.#parts.database, { merchantId: row.merchantId, provider }, deadline);
    const { query } = providerOf(provider);
    if (!access || !query) return false;
    const headers = {
      authorization: `Bearer ${access.token}`,
      accept: 'application/json',
      'user-agent': 'Counterfoil/1',
    };
    const base = (access.url ?? this.#options.stripeApiUrl).replace(/\/$/, '');
    const url = query.urlOf(base, paymentRef);
    const { statusCode, body } = await this.#get(url, headers, span);
    const askedAtMs = this.#clock.now();
    if (statusCode === 404) return this.#keep(asking, 'nothing', null);
    if (statusCode !== 200) throw new RequestFailed(`answered ${statusCode}`);
    const message = query.messageOf(body, askedAtMs);
    if (!message) throw new RequestFailed('the answer cannot be read');
    await this.#apply(asking, provider, Buffer.from(JSON.stringify(message)));
    return this.#keep(asking, 'told', null);
  }

  async #get(url: string, headers: Record<string, string>, within: Span): Promise<HttpAnswer> {
    const span = startRequestSpan(within, { method: 'GET', of: 'provider', url });
    try {
      const answer = await this.#parts.http.get(url, { headers });
      endRequestSpan(span, answer.statusCode, answer.statusCode === 200 || answer.statusCode === 404);
      return answer;
    } catch (error) {
      failRequestSpan(span, error);
      throw error;
    }
  }

  /** Kept first, as a webhook is: an answer that was read is not lost. */
  async #apply({ row: { merchantId }, ...bounds }: Asking, provider: string, body: Buffer): Promise<void> {
    const { database, ids, inbox } = this.#parts;
    const told = { merchantId, id: ids.next(), provider, body, traceContext: traceparentOf(bounds.span) };
    const kept = await receive(database, told, this.#clock.now() + this.#options.inboxRetryMs, bounds.deadline);
    await inbox.apply(kept, bounds);
  }

  async #keep({ row, subject, deadline }: Asking, outcome: AnswerOutcome, detail: string | null): Promise<true> {
    const { merchantId } = row;
    await keepAnswer(this.#parts.database, { merchantId, subject }, { outcome, detail }, deadline);
    this.counts[outcome] += 1;
    return true;
  }
}
