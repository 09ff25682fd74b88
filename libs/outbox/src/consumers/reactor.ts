import type { Command } from '@nestjs/cqrs';
import type { Answer, Idempotency } from '#platform/idempotency.js';
import type { RequestContext } from '#platform/request-context.js';
import type { CatalogueEvent } from '../log/catalogue.js';

/**
 * What has commands executed because of an event: it moves money, or calls somebody outside. It runs in the worker, at least once
 * for each event and in the order of its merchant's log. What it executes has its effect once: the key is the reactor's, the event's and the
 * effect's, whoever does it again.
 */
export interface Reactor<Event extends CatalogueEvent = CatalogueEvent> {
  /** Small letters, digits and `_`. Never changes: durable positions and keys are kept under it. */
  readonly name: string;
  /** What an event that keeps failing holds up: see `Consumer`. */
  readonly failureScope: 'event' | 'stream';
  /** Where a reactor that the database does not know yet begins: with what happens from `now` on, or with all that the log has. */
  readonly from: 'beginning' | 'now';
  /** It is asked about these alone. Beware of what its own effects append. */
  readonly types: readonly Event['type'][];
  /** Throws what is to be tried again, and becomes a dead letter in the end. */
  react(event: Event, reaction: Reaction): Promise<void>;
}

/** A reply of the commands that have an idempotency key: a posting's, or another request's answer. */
export type Reply = { result: object } | Answer;

/** One reactor's reaction to one event. */
export interface Reaction {
  /**
   * Executes a command of the event's merchant, once for all times. `effect` tells the effects of one reaction apart: small letters,
   * digits and `_`. A refusal is thrown, as ProblemError; it burns no key, so that a redrive decides anew.
   */
  execute<R extends Reply>(
    effect: string,
    commandOf: (context: RequestContext, idempotency: Idempotency) => Command<R>,
  ): Promise<R>;
}
