import { systemClock } from '#kernel/clock.js';
import { Deadline } from '#platform/deadline.js';
import { type Database, enterScope, type TransactionClient } from '#platform/postgres.js';
import { isSampled } from '#platform/tracing.js';
import { type FreeStream, parkEvent, parkedMerchants } from '../dead-letters/dead-letter-store.js';
import { StreamHold } from '../dead-letters/stream-hold.js';
import { readRange } from '../log/event-log.js';
import { isBefore, type Position } from '../log/position.js';
import { type ApartOptions, crowdOf, goApart, rejoin, turnOf } from './apart.js';
import { type Consumer, type LoggedEvent, Unprocessable } from './consumer.js';
import { HandlerCall } from './handler-call.js';
import { PageSpan } from './page-span.js';
import { type Claim, ClaimLost, ConsumerPosition, type Whose } from './position-store.js';
import type { Reactions } from './reactions.js';

export interface ApplierOptions {
  /** Events of one transaction. */
  pageEvents: number;
  /** Tries of one event before it becomes a dead letter. */
  maxTries: number;
  /** Deadline of one transaction, its effect included. */
  timeoutMs: number;
  /** Without: nobody goes apart, however many events there are of one merchant. */
  apart?: ApartOptions;
}

export interface Run {
  partition: number;
  through: Position;
  /** Id for the dead letter that this run may have to write: at most one. */
  letterId: bigint;
  /** W3C traceparent of the job's span. */
  traceContext?: string | undefined;
}

/** A turn of a merchant that goes apart from its partition. */
export interface ApartRun {
  partition: number;
  merchantId: bigint;
  letterId: bigint;
  traceContext?: string | undefined;
}

export type Age = readonly [ms: number, traceparent?: string];

export interface RunOutcome {
  /**
   * `busy`: another process has the partition; `lost`: it took it meanwhile, after our claim had run out; `again`: a dead
   * letter was written, and there may be more to do.
   */
  outcome: 'done' | 'busy' | 'lost' | 'again';
  events: number;
  /** Of each event that was applied: how old it was by then, in milliseconds, and its traceparent where that is sampled. */
  ages: Age[];
}

/** A claim outlives its transaction's deadline by this share of it. */
const CLAIM_MARGIN = 0.5;
const ERROR_LENGTH = 2_000;

/**
 * Applies a batch of the log for one consumer. Effect and position are committed together, by whoever holds the claim
 * at that moment: a job that runs twice, late, or in two processes at once has one effect. A reactor's effects are committed
 * before: whoever does them again finds them done. A page that fails is gone through event by event, and the event that keeps
 * failing is parked.
 */
export class BatchApplier {
  readonly #database: Database;
  readonly #consumer: Consumer | Reactions;
  readonly #claimant: string;
  readonly #claimMs: number;
  readonly #options: ApplierOptions;

  /** `claimant`: unique for the life of this object. */
  constructor(database: Database, consumer: Consumer | Reactions, claimant: string, options: ApplierOptions) {
    this.#database = database;
    this.#consumer = consumer;
    this.#claimant = claimant;
    this.#claimMs = Math.ceil(options.timeoutMs * (1 + CLAIM_MARGIN));
    this.#options = options;
  }

  /**
   * `onProgress` is called before each transaction: whoever watches over a hanging handler starts its clock again, and so is
   * not misled by a database that needs its whole deadline each time.
   */
  run({ partition, ...goal }: Run, onProgress: () => void): Promise<RunOutcome> {
    return this.#run({ partition }, goal, onProgress);
  }

  /** One turn of a merchant that goes apart, which then goes with its partition again where it has caught up. */
  async runApart({ merchantId, letterId, traceContext }: ApartRun, onProgress: () => void): Promise<RunOutcome> {
    const { apart } = this.#options;
    if (!apart) throw new Error('nobody goes apart here');
    const { name } = this.#consumer;
    const whose = { merchantId };
    onProgress();
    const turn = await this.#transaction(whose, (client) => turnOf(client, name, merchantId, apart));
    if (!turn) return { outcome: 'done', events: 0, ages: [] };
    const outcome = await this.#run(whose, { through: turn.through, letterId, traceContext }, onProgress);
    if (!turn.isLast || outcome.outcome !== 'done') return outcome;
    onProgress();
    const isSeenTo = await this.#transaction(whose, (client) => rejoin(client, name, merchantId));
    return isSeenTo ? outcome : { ...outcome, outcome: 'busy' };
  }

  async #run(whose: Whose, goal: Goal, onProgress: () => void): Promise<RunOutcome> {
    const position = this.#position(whose);
    const { through } = goal;
    onProgress();
    let claim = await this.#transaction(whose, (client) => position.claim(client, through));
    const outcome: RunOutcome = { outcome: 'done', events: 0, ages: [] };
    if (!claim) {
      onProgress();
      const stands = await this.#transaction(whose, (client) => position.read(client));
      if (stands && isBefore(stands, through)) outcome.outcome = 'busy';
      return outcome;
    }
    while (claim) {
      const held: Claim = claim;
      const call = new HandlerCall();
      onProgress();
      const isOneByOne: boolean = isBefore(held.position, held.oneByOneThrough);
      try {
        const gaveUp: boolean = isOneByOne && held.tries > this.#options.maxTries;
        const done: Page = gaveUp
          ? await this.#park(position, held, { whose, ...goal }, held.lastError)
          : await this.#page(position, held, call, {
              whose,
              ...goal,
              limit: isOneByOne ? 1 : this.#options.pageEvents,
            });
        outcome.events += done.events.length;
        if (gaveUp) return { ...outcome, outcome: 'again' };
        outcome.ages.push(...agesOf(done.events));
        claim = isBefore(done.end, through)
          ? { ...held, position: done.end, tries: 1, lastError: undefined }
          : undefined;
      } catch (error) {
        if (error instanceof ClaimLost) return { ...outcome, outcome: 'lost' };
        onProgress();
        if (isOneByOne && error instanceof Unprocessable) {
          const parked = await this.#park(position, held, { whose, ...goal }, describe(error));
          outcome.events += parked.events.length;
          return { ...outcome, outcome: 'again' };
        }
        await this.#fail(whose, position, error, !call.isPassing(error));
        throw error;
      }
    }
    return outcome;
  }

  /** Keeps a merchant's stream where it is, for this claimant. */
  streamHold(stream: FreeStream): StreamHold {
    return new StreamHold(this.#consumer.name, stream, this.#claimant, this.#claimMs);
  }

  #position(whose: Whose): ConsumerPosition {
    return new ConsumerPosition(this.#consumer.name, whose, this.#claimant, this.#claimMs);
  }

  async #page(position: ConsumerPosition, claim: Claim, call: HandlerCall, range: Range): Promise<Page> {
    const consumer = this.#consumer;
    const span = new PageSpan('apply', consumer.name, range.traceContext);
    if ('react' in consumer)
      return span.within(() => this.#reactions(consumer, { position, claim, call, span }, range));
    const deadline = this.#deadline().under(span.span);
    const apply = async (client: TransactionClient): Promise<Page> => {
      const { events, end, due, crowd } = await this.#read(client, claim.position, range, deadline);
      span.about(due);
      await position.move(client, claim.position, end, isBefore(end, range.through));
      await goApart(client, consumer.name, crowd, claim.position);
      if (due.length > 0) await call.apply(consumer, span.clientOf(client), due);
      return { events, end };
    };
    return span.within(() => this.#transaction(range.whose, apply, deadline));
  }

  /** The claim outlives the page's time. Where it does not, because the process slept, the position stays, and others do it again. */
  async #reactions(
    reactions: Reactions,
    { position, claim, call, span }: { position: ConsumerPosition; claim: Claim; call: HandlerCall; span: PageSpan },
    range: Range,
  ): Promise<Page> {
    const deadline = this.#deadline().under(span.span);
    const read = (client: TransactionClient) => this.#read(client, claim.position, range, deadline);
    const page = await this.#transaction(range.whose, read, deadline);
    span.about(page.due);
    const done = page.due.length > 0 ? await reactions.react(page.due, call, deadline, span.span) : 0;
    const rest = page.due[done];
    // Up to what it did last: what lies between that and the rest is parked or apart, and passed over with it.
    const events = rest ? page.events.slice(0, page.events.indexOf(rest)) : page.events;
    const end = rest ? (events.at(-1) as LoggedEvent) : page.end;
    const moved = this.#deadline().under(span.span);
    const move = async (client: TransactionClient) => {
      await position.move(client, claim.position, end, isBefore(end, range.through));
      if (page.crowd.length === 0) return;
      await client.query(enterScope({ merchantIds: page.crowd }, moved));
      await goApart(client, reactions.name, page.crowd, claim.position);
    };
    await this.#transaction(range.whose, move, moved);
    return { events, end };
  }

  /** The next events; those of them that are due, as their stream neither waits nor goes apart; and who is to go apart from here on. */
  async #read(client: TransactionClient, after: Position, range: Range, deadline: Deadline) {
    const { through, limit } = range;
    const events = await readRange(client, this.#logOf(range.whose), { after, through, limit });
    const end = events.length < limit ? through : (events.at(-1) as LoggedEvent);
    const unparked = events.length > 0 ? await enterUnparked(client, this.#consumer.name, events, deadline) : [];
    const crowd = events.length < limit ? [] : this.#crowdOf(unparked, range);
    const due = crowd.length === 0 ? unparked : unparked.filter(({ merchantId }) => !crowd.includes(merchantId));
    return { events, end, due, crowd };
  }

  /** Of a full page of a partition: more wait behind it. */
  #crowdOf(events: readonly LoggedEvent[], { whose, limit }: Range): bigint[] {
    const { apart, pageEvents } = this.#options;
    return apart && 'partition' in whose && limit === pageEvents ? crowdOf(events, apart) : [];
  }

  #logOf(whose: Whose) {
    return 'partition' in whose ? { ...whose, consumer: this.#consumer.name } : whose;
  }

  /** Passes over the next event, and leaves a dead letter. */
  async #park(
    position: ConsumerPosition,
    claim: Claim,
    { whose, through, letterId, traceContext }: Goal & { whose: Whose },
    error = 'the process ended while the event was applied',
  ): Promise<Page> {
    const { position: before, tries } = claim;
    const span = new PageSpan('park', this.#consumer.name, traceContext);
    const deadline = this.#deadline().under(span.span);
    const park = async (client: TransactionClient): Promise<Page> => {
      const [event] = await readRange(client, this.#logOf(whose), { after: before, through, limit: 1 });
      const end = event ?? through;
      await position.move(client, before, end, false);
      if (!event) return { events: [], end };
      span.about([event]);
      await client.query(enterScope({ merchantIds: [event.merchantId] }, deadline));
      const letter = { id: letterId, tries, error: error.slice(0, ERROR_LENGTH), before };
      await parkEvent(span.clientOf(client), this.#consumer, event, letter);
      return { events: [event], end };
    };
    return span.within(() => this.#transaction(whose, park, deadline));
  }

  /** Best effort: without it the claim runs out by itself, and the try counts unless this process is the next to claim. */
  async #fail(whose: Whose, position: ConsumerPosition, error: unknown, counts: boolean): Promise<void> {
    await this.#transaction(whose, (client) => position.fail(client, describe(error), counts)).catch(() => undefined);
  }

  /** As the relay; a merchant's own position in its scope, whose commits then wait for the disk no more than a partition's. */
  #transaction<T>(
    whose: Whose,
    work: (client: TransactionClient) => Promise<T>,
    deadline = this.#deadline(),
  ): Promise<T> {
    return this.#database.transaction('relay', deadline, async (client) => {
      if ('merchantId' in whose) await client.query(enterScope({ merchantIds: [whose.merchantId] }, deadline));
      return work(client);
    });
  }

  #deadline(): Deadline {
    return Deadline.after(this.#options.timeoutMs);
  }
}

type Goal = Omit<Run, 'partition'>;

interface Range extends Goal {
  whose: Whose;
  limit: number;
}

interface Page {
  events: readonly LoggedEvent[];
  end: Position;
}

/** Those of the events whose stream does not wait behind a dead letter. Leaves the merchants' scope set. */
async function enterUnparked(
  client: TransactionClient,
  consumer: string,
  events: readonly LoggedEvent[],
  deadline: Deadline,
): Promise<readonly LoggedEvent[]> {
  const merchantIds = [...new Set(events.map(({ merchantId }) => merchantId))];
  const [, parked] = await Promise.all([
    client.query(enterScope({ merchantIds }, deadline)),
    parkedMerchants(client, consumer),
  ]);
  return parked.size === 0 ? events : events.filter(({ merchantId }) => !parked.has(merchantId));
}

export function describe(error: unknown): string {
  return (error instanceof Error ? `${error.name}: ${error.message}` : String(error)).slice(0, ERROR_LENGTH);
}

function agesOf(events: readonly LoggedEvent[]): Age[] {
  const nowMs = systemClock.now();
  return events.map(({ occurredAtMs, traceContext }) => {
    const ms = Math.max(0, nowMs - occurredAtMs);
    return isSampled(traceContext) ? [ms, traceContext] : [ms];
  });
}
