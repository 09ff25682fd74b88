import { Controller, Get, Inject, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { invalid, ProblemError } from '#kernel/problem.js';
import type { LoggedEvent } from '#outbox/consumers/consumer.js';
import { isForgotten, readLog } from '#outbox/log/event-log.js';
import { LogWatch } from '#outbox/log/log-watch.js';
import { BEGINNING, type Position, parsePosition, positionText } from '#outbox/log/position.js';
import { CursorCodec, cursorScope } from '#platform/cursor.js';
import { Deadline } from '#platform/deadline.js';
import type { Logger } from '#platform/logging.js';
import { CONFIG, LOGGER } from '#platform/platform.module.js';
import { Database } from '#platform/postgres.js';
import type { RequestContext } from '#platform/request-context.js';
import type { Config } from '../../../config.js';
import { Documented } from '../documented.js';
import { jsonList } from '../json-text.js';
import { type PageTexts, readPage } from '../page-read.js';
import { CurrentContext } from '../request.js';
import { Shutdown } from '../shutdown.js';
import { eventStream } from './event-stream.js';
import { eventList, eventText, listEventsQuery } from './schemas.js';
import { SharedLooks } from './shared-looks.js';

/** Of the deadline of a request that waits, kept for reading what it waited for. */
const READ_RESERVE_MS = 1_000;
/** About what a stream reads at once: it has that in memory as events, as text and as bytes that the client has not taken. */
const STREAM_BATCH_BYTES = 65_536;

interface Page {
  after: Position;
  limit: number;
}

type Text = (event: LoggedEvent) => string;

@Controller('v1/events')
export class EventsController {
  readonly #looks = new SharedLooks<PageTexts<LoggedEvent>>();

  constructor(
    private readonly database: Database,
    private readonly watch: LogWatch,
    private readonly cursors: CursorCodec,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
    shutdown: Shutdown,
  ) {
    shutdown.onDrain(() => watch.close());
  }

  @Get()
  @Documented({
    price: 'events',
    summary: 'The event log, oldest first',
    description:
      'Whoever asks on with `next_cursor` sees every event once, each account’s in their order; what is committed late comes late and is never passed over. Each event tells its account versions, and adding up `posted` and `pending` of all entries gives every balance.',
    response: eventList,
    stream:
      'Server-sent events, from `after` on, for as long as EVENT_STREAM_MAX_MS. `data` is an event, `id` the cursor behind it, which `Last-Event-ID` or `after` take.',
  })
  async list(
    @CurrentContext() context: RequestContext,
    @Query({ schema: listEventsQuery }) query: z.output<typeof listEventsQuery>,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const page = { after: this.#positionOf(context, request, query.after), limit: query.limit };
    // Without a cursor the log begins where it still does.
    if (
      page.after !== BEGINNING &&
      (await isForgotten(this.database, context.merchantId, page.after, context.deadline))
    ) {
      throw invalid('after', 'lies so far back that events behind it have been forgotten; begin again without it');
    }
    if (acceptsStream(request)) return this.#stream(context, page, { request, reply });
    const { texts, last, hasMore } = await this.#page(context, page, query.wait_ms, { request, reply });
    const next = this.cursors.encode(scopeOf(context), positionText(last ?? page.after));
    return jsonList('data', texts, { has_more: hasMore, next_cursor: next });
  }

  /** Waits for the first event where there is none. */
  async #page(
    context: RequestContext,
    { after, limit }: Page,
    waitMs: number,
    { request, reply }: { request: FastifyRequest; reply: FastifyReply },
  ): Promise<PageTexts<LoggedEvent>> {
    const page = { after, limit, bytes: this.config.pageLimitBytes };
    const events = await this.#read(context, page, eventText);
    if (events.last || waitMs === 0) return events;
    const reserveMs = Math.min(READ_RESERVE_MS, context.deadline.remainingMs / 2);
    const boundMs = Math.min(waitMs, this.config.eventWaitMaxMs, context.deadline.remainingMs - reserveMs);
    const patience = Deadline.after(boundMs);
    const leave = this.watch.follow(context.merchantId);
    const signal = goneSignal(reply);
    request.state?.charge?.rest();
    try {
      while (await this.watch.wait(context.merchantId, after, { withinMs: patience.remainingMs, signal })) {
        if (!(await isStillAdmitted(request))) throw new ProblemError('unauthorized', 'The API key has been revoked.');
        const news = await this.#readNews(context, page, { as: 'page', text: eventText });
        if (news.last) return news;
      }
      return events;
    } finally {
      leave();
    }
  }

  async #read(context: RequestContext, page: Page & { bytes: number }, text: Text): Promise<PageTexts<LoggedEvent>> {
    const read = await this.#look(context, page, text);
    context.cost.addRows(read.texts.length);
    return read;
  }

  /** For who was told that there is something. Whose query it is pays for that, and all for what they tell. */
  async #readNews(
    context: RequestContext,
    page: Page & { bytes: number },
    { as, text }: { as: 'page' | 'frames'; text: Text },
  ): Promise<PageTexts<LoggedEvent>> {
    const { merchantId, cost } = context;
    const place = `${as} ${merchantId} ${positionText(page.after)} ${page.limit} ${page.bytes}`;
    const look = this.#looks.look(place, async () => {
      const deadline = Deadline.after(this.config.requestDeadlineMs);
      const found = await this.#look({ merchantId, deadline }, page, text);
      if (found.last) cost.addRound();
      return found;
    });
    const read = await context.deadline.race(look);
    cost.addRows(read.texts.length);
    return read;
  }

  #look(
    { merchantId, deadline }: Pick<RequestContext, 'merchantId' | 'deadline'>,
    { after, limit, bytes }: Page & { bytes: number },
    text: Text,
  ): Promise<PageTexts<LoggedEvent>> {
    return readPage<LoggedEvent>({
      limit,
      bytes,
      read: (behind, count) => readLog(this.database, merchantId, { after: behind ?? after, limit: count }, deadline),
      text,
    });
  }

  async #stream(
    context: RequestContext,
    page: Page,
    { request, reply }: { request: FastifyRequest; reply: FastifyReply },
  ) {
    const { merchantId } = context;
    const batch = { ...page, bytes: Math.min(STREAM_BATCH_BYTES, this.config.pageLimitBytes) };
    const scope = scopeOf(context);
    const frame = (event: LoggedEvent) =>
      `id: ${this.cursors.encode(scope, positionText(event))}\ndata: ${eventText(event)}\n\n`;
    const told = (frames: PageTexts<LoggedEvent>) => {
      for (const { length } of frames.texts) context.cost.addBytes(length);
      return frames;
    };
    const leave = this.watch.follow(merchantId);
    const gone = goneSignal(reply);
    // It costs by what it tells, and not by how long it lasts.
    const charge = request.state?.charge;
    try {
      // What goes wrong here is still told as a problem.
      const first = told(await this.#read(context, batch, frame));
      charge?.rest();
      reply.header('content-type', 'text/event-stream; charset=utf-8');
      reply.header('cache-control', 'no-store');
      reply.header('x-accel-buffering', 'no');
      return eventStream(
        {
          read: async (after) => {
            charge?.settle();
            await charge?.outOfDebt(gone);
            const of = { ...context, deadline: Deadline.after(this.config.requestDeadlineMs) };
            return told(await this.#readNews(of, { ...batch, after }, { as: 'frames', text: frame }));
          },
          wait: (after, options) => this.watch.wait(merchantId, after, options),
          mayGoOn: async () => !this.watch.isClosed && (await isStillAdmitted(request)),
          ended: (error) => {
            leave();
            if (error !== undefined) this.logger.warn({ err: error }, 'a stream of events ended before its time');
          },
        },
        { after: page.after, first },
        {
          heartbeatMs: this.config.eventHeartbeatMs,
          maxMs: this.config.eventStreamMaxMs,
          gone,
        },
      );
    } catch (error) {
      leave();
      throw error;
    }
  }

  #positionOf(context: RequestContext, request: FastifyRequest, after: string | undefined): Position {
    const lastId = acceptsStream(request) ? request.headers['last-event-id'] : undefined;
    const [cursor, name] = typeof lastId === 'string' && lastId !== '' ? [lastId, 'Last-Event-ID'] : [after, 'after'];
    return cursor === undefined ? BEGINNING : parsePosition(this.cursors.decode(scopeOf(context), cursor, name));
  }
}

function scopeOf(context: RequestContext): string {
  return cursorScope(context.merchantId, 'events');
}

function acceptsStream(request: FastifyRequest): boolean {
  return /(^|,)\s*text\/event-stream\s*(;|,|$)/i.test(request.headers.accept ?? '');
}

function isStillAdmitted(request: FastifyRequest): Promise<boolean> {
  return request.state?.isStillAdmitted?.() ?? Promise.resolve(false);
}

/** Comes when the client goes away, and when the answer has been sent. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  if (reply.raw.closed) gone.abort();
  reply.raw.once('close', () => gone.abort());
  return gone.signal;
}
