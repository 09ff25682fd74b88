import { type DynamicModule, Injectable } from '@nestjs/common';
import { type AsyncContext, type Command, CommandBus, CqrsModule, type Query, QueryBus } from '@nestjs/cqrs';
import type { Span } from '@opentelemetry/api';
import { PROBLEMS, type ProblemCode, ProblemError } from '#kernel/problem.js';
import type { Labels, Metrics, Seconds } from './metrics.js';
import type { RequestBounds } from './request-context.js';
import type { BringsMetrics } from './room-hooks.js';
import { ATTRIBUTE } from './span-names.js';
import { endSpan, failSpan, spanTimeAt, startChild } from './tracing.js';

/** A command or query. */
export interface Message {
  readonly context: RequestBounds;
}

type Outcome = 'ok' | ProblemCode | 'error';

/** Both ways in which a command tells what became of it, where it does not throw: as `Answer` does, and as a posting does. */
interface Told {
  replayed?: unknown;
  status?: unknown;
  body?: { code?: ProblemCode };
  result?: { refusal?: { code: ProblemCode } };
}

interface Calls {
  name: string;
  spanName: string;
  outcomes: Map<Outcome, { count: number; seconds: number }>;
}

/**
 * Runs the messages of one bus: how many had which outcome, how long they took, and a span each, where the request's is recorded.
 * Costs 0.2 to 0.5 µs a call where nothing is recorded (a loop of a million calls on two busy cores): a posting takes thousands.
 */
export class MessageCalls {
  readonly #kind: 'command' | 'query';
  readonly #calls = new Map<unknown, Calls>();

  constructor(kind: 'command' | 'query') {
    this.#kind = kind;
  }

  async run<M extends Message, R>(message: M, handle: (message: M) => Promise<R>): Promise<R> {
    const calls = this.#callsOf(message);
    const parent = message.context.span;
    const startedMs = performance.now();
    const span = parent.isRecording()
      ? startChild(parent, calls.spanName, { startTime: spanTimeAt(startedMs) })
      : undefined;
    try {
      const reply = await handle(span ? below(span, message) : message);
      const outcome = outcomeOf(reply);
      const endedMs = performance.now();
      count(calls, outcome, endedMs - startedMs);
      if (span) endWith(span, outcome, (reply as Told | undefined)?.replayed === true, endedMs);
      return reply;
    } catch (error) {
      const outcome = error instanceof ProblemError ? error.code : 'error';
      count(calls, outcome, performance.now() - startedMs);
      if (span) endThrown(span, outcome, error);
      throw error;
    }
  }

  addMetrics(metrics: Metrics): void {
    const name = `counterfoil_${this.#kind}_seconds`;
    const what = this.#kind === 'command' ? 'commands' : 'queries';
    metrics.summary(name, `How many ${what} had which outcome, and how long they took together.`, () => this.#read());
  }

  *#read(): Generator<[Labels, Seconds]> {
    for (const { name, outcomes } of this.#calls.values()) {
      for (const [outcome, sums] of outcomes) yield [{ name, outcome }, sums];
    }
  }

  #callsOf(message: Message): Calls {
    const type = message.constructor;
    let calls = this.#calls.get(type);
    if (!calls) {
      const name = type.name.replace(/(Command|Query)$/, '');
      calls = { name, spanName: `${this.#kind} ${name}`, outcomes: new Map() };
      this.#calls.set(type, calls);
    }
    return calls;
  }
}

/** The message as its handler gets it: what the handler does lies below the message's own span. */
function below<M extends Message>(span: Span, message: M): M {
  const copy: M = Object.create(Object.getPrototypeOf(message));
  const { context } = message;
  return Object.assign(copy, message, { context: { ...context, span, deadline: context.deadline.under(span) } });
}

function outcomeOf(reply: unknown): Outcome {
  const { result, status, body } = (reply ?? {}) as Told;
  if (result?.refusal) return result.refusal.code;
  return typeof status === 'number' && status >= 400 ? (body?.code ?? 'error') : 'ok';
}

function count(calls: Calls, outcome: Outcome, tookMs: number): void {
  let sums = calls.outcomes.get(outcome);
  if (!sums) {
    sums = { count: 0, seconds: 0 };
    calls.outcomes.set(outcome, sums);
  }
  sums.count += 1;
  sums.seconds += tookMs / 1_000;
}

function endWith(span: Span, outcome: Outcome, replayed: boolean, endedMs: number): void {
  span.setAttribute(ATTRIBUTE.outcome, outcome);
  if (replayed) span.setAttribute(ATTRIBUTE.replayed, true);
  span.end(spanTimeAt(endedMs));
}

/** To be refused is no error of the span's, as it is none of the request's. */
function endThrown(span: Span, outcome: ProblemCode | 'error', error: unknown): void {
  span.setAttribute(ATTRIBUTE.outcome, outcome);
  if (outcome === 'error' || PROBLEMS[outcome].status >= 500) failSpan(span, error);
  else endSpan(span);
}

/**
 * Nest's command bus. Every command has a span below its context's, is counted by its outcome and timed; see MessageCalls for what that
 * costs. Its handler finds the span in the command's context, as the parent of what it does itself.
 */
@Injectable()
export class ObservedCommandBus extends CommandBus implements BringsMetrics {
  readonly #calls = new MessageCalls('command');

  override execute<R>(command: Command<R>, context?: AsyncContext): Promise<R> {
    return this.#calls.run(command as Command<R> & Message, (observed) => super.execute(observed, context));
  }

  addMetrics(metrics: Metrics): void {
    this.#calls.addMetrics(metrics);
  }
}

/** Nest's query bus, likewise. */
@Injectable()
export class ObservedQueryBus extends QueryBus implements BringsMetrics {
  readonly #calls = new MessageCalls('query');

  override execute<R>(query: Query<R>, context?: AsyncContext): Promise<R> {
    return this.#calls.run(query as Query<R> & Message, (observed) => super.execute(observed, context as AsyncContext));
  }

  addMetrics(metrics: Metrics): void {
    this.#calls.addMetrics(metrics);
  }
}

/** CqrsModule with these buses, one of each in the process: it is global, and no room imports it again. */
export function observedCqrs(): DynamicModule {
  const cqrs = CqrsModule.forRoot();
  const buses = [
    { provide: CommandBus, useClass: ObservedCommandBus },
    { provide: QueryBus, useClass: ObservedQueryBus },
  ];
  // Of two providers with one token, a module has the one that was added last, and these come after its own.
  return { ...cqrs, providers: [...(cqrs.providers ?? []), ...buses] };
}
