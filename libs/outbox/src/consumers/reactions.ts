import { hash } from 'node:crypto';
import type { CommandBus } from '@nestjs/cqrs';
import type { Span } from '@opentelemetry/api';
import { type ProblemCode, ProblemError } from '#kernel/problem.js';
import { type Deadline, deadlineExceeded } from '#platform/deadline.js';
import type { Idempotency } from '#platform/idempotency.js';
import { boundsIn } from '#platform/request-context.js';
import { inSpan, startIn } from '#platform/tracing.js';
import { readEvent } from '../log/catalogue.js';
import type { LoggedEvent } from './consumer.js';
import type { HandlerCall } from './handler-call.js';
import type { Reaction, Reactor, Reply } from './reactor.js';

/** Parts of a key are told apart by spaces, which no key of a client's can contain: the two never meet. */
const WORD = /^[a-z0-9_]{1,64}$/;
/** No event is begun in the last part of a page's time: it would be cut short. */
const BEGIN_BEFORE = 0.5;

/**
 * SQL of `idempotency_keys k`, in its merchant's scope: whether it is of a reaction that may yet be done again, because its event lies
 * behind the reactor's position, or its merchant goes apart, or is a dead letter that may be redriven, or waits behind one. Then the key is all that there is between
 * one effect and two. Not AND: only CASE keeps other keys from being read as places of the log.
 */
export const MAY_REACT_AGAIN = `
CASE WHEN k.key LIKE 'reaction %' THEN
  EXISTS (SELECT FROM consumer_positions p
           WHERE p.consumer = split_part(k.key, ' ', 2) AND p.partition = partition_of(k.merchant_id)
             AND (p.xid, p.seq) < (split_part(k.key, ' ', 3)::xid8, split_part(k.key, ' ', 4)::bigint))
  OR EXISTS (SELECT FROM merchant_positions m WHERE m.merchant_id = k.merchant_id AND m.consumer = split_part(k.key, ' ', 2))
  OR EXISTS (SELECT FROM parked_streams s WHERE s.merchant_id = k.merchant_id AND s.consumer = split_part(k.key, ' ', 2))
  OR EXISTS (SELECT FROM dead_letters d
              WHERE d.merchant_id = k.merchant_id AND d.consumer = split_part(k.key, ' ', 2)
                AND d.xid = split_part(k.key, ' ', 3)::xid8 AND d.seq = split_part(k.key, ' ', 4)::bigint
                AND d.status IN ('parked', 'redriving', 'discarding'))
ELSE false END`;

/** Has a reactor react to events, one by one and in order. Their effects are committed when it answers; the position is not moved yet. */
export class Reactions {
  readonly name: string;
  readonly failureScope: 'event' | 'stream';
  readonly from: 'beginning' | 'now';
  readonly #reactor: Reactor;
  readonly #commands: Pick<CommandBus, 'execute'>;

  constructor(reactor: Reactor, commands: Pick<CommandBus, 'execute'>) {
    const { name, failureScope, from } = reactor;
    if (!WORD.test(name)) throw new Error(`the name of a reactor is small letters, digits and _: ${name}`);
    this.name = name;
    this.failureScope = failureScope;
    this.from = from;
    this.#reactor = reactor;
    this.#commands = commands;
  }

  /** `within`: the span of their page. Returns how many of the events it is done, at least one; throws what a reaction threw. */
  async react(events: readonly LoggedEvent[], call: HandlerCall, deadline: Deadline, within?: Span): Promise<number> {
    const leastMs = deadline.remainingMs * BEGIN_BEFORE;
    let done = 0;
    for (const event of events) {
      if (done > 0 && deadline.remainingMs < leastMs) break;
      await call.handling(() => this.#reactTo(event, { call, deadline, within }));
      done += 1;
    }
    return done;
  }

  async #reactTo(logged: LoggedEvent, parts: Omit<ReactionParts, 'commands'>): Promise<void> {
    const types: readonly string[] = this.#reactor.types;
    if (!types.includes(logged.type)) return;
    const event = readEvent(logged);
    const reaction = new KeyedReaction(this.name, logged, { commands: this.#commands, ...parts });
    await reaction.within(() => parts.deadline.race(this.#reactor.react(event, reaction)));
  }
}

interface ReactionParts {
  commands: Pick<CommandBus, 'execute'>;
  call: HandlerCall;
  deadline: Deadline;
  within: Span | undefined;
}

/** Knows the keys of one reaction, and its span. */
class KeyedReaction implements Reaction {
  readonly #key: string;
  readonly #event: LoggedEvent;
  readonly #parts: ReactionParts;
  readonly #effects = new Set<string>();
  readonly #span: Span;

  constructor(reactor: string, event: LoggedEvent, parts: ReactionParts) {
    this.#key = `reaction ${reactor} ${event.xid} ${event.seq}`;
    this.#event = event;
    this.#parts = parts;
    this.#span = startIn(event.traceContext, parts.within, `react ${reactor}`, {
      attributes: { 'counterfoil.merchant_id': String(event.merchantId), 'counterfoil.event_type': event.type },
    });
  }

  within(work: () => Promise<void>): Promise<void> {
    return inSpan(this.#span, work);
  }

  async execute<R extends Reply>(effect: string, commandOf: Parameters<Reaction['execute']>[1]): Promise<R> {
    const { commands, call, deadline } = this.#parts;
    // A reaction that goes on behind its deadline begins nothing: others have taken over.
    if (deadline.expired) throw deadlineExceeded();
    const context = { merchantId: this.#event.merchantId, ...boundsIn(this.#span, deadline) };
    const command = commandOf(context, this.#keyOf(effect));
    return notRefused(await call.waitingFor(commands.execute(command) as Promise<R>));
  }

  /** The digest is of the key alone: a reactor that has learnt better does not post again what it posted. */
  #keyOf(effect: string): Idempotency {
    if (!WORD.test(effect)) throw new Error(`an effect is named by small letters, digits and _: ${effect}`);
    if (this.#effects.has(effect)) throw new Error(`two effects of one reaction are named ${effect}`);
    this.#effects.add(effect);
    const key = `${this.#key} ${effect}`;
    return { key, requestSha256: hash('sha256', key, 'buffer'), keepsRefusals: false };
  }
}

/** The ledger answers with a refusal, other commands throw theirs. */
function notRefused<R extends Reply>(reply: R): R {
  if ('result' in reply && 'refusal' in reply.result) {
    const { code, detail } = reply.result.refusal as { code: ProblemCode; detail: string };
    throw new ProblemError(code, detail);
  }
  return reply;
}
