import { type DynamicModule, Injectable } from '@nestjs/common';
import { type AsyncContext, type Command, CommandBus, CqrsModule, type Query, QueryBus } from '@nestjs/cqrs';
import { type Message, MessageCalls } from './message-calls.js';
import type { Metrics } from './metrics.js';
import type { BringsMetrics } from './room-hooks.js';

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
