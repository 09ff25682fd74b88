import { Body, Controller, Get, Post, Query, Req, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import {
  type DeadLetterWithEvent,
  GetDeadLetterQuery,
  ListDeadLettersQuery,
} from '#outbox/dead-letters/dead-letter.queries.js';
import { DecideDeadLetterCommand } from '#outbox/dead-letters/decide-dead-letter.command.js';
import { cursorScope } from '#platform/cursor.js';
import type { RequestBounds } from '#platform/request-context.js';
import { Documented } from '../documented.js';
import { answering, send } from '../idempotency.js';
import { Pages } from '../pages.js';
import { CurrentBounds, PathId } from '../request.js';
import {
  deadLetterBody,
  deadLetterList,
  deadLetterWithEvent,
  deadLetterWithEventBody,
  decision,
  listDeadLettersQuery,
} from './schemas.js';

const DECISION = { by: 'ada', reason: 'the build that knows version 3 is out' };

@Controller('v1/dead_letters')
export class DeadLettersController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    private readonly pages: Pages,
  ) {}

  @Get()
  @Documented({
    price: 'list',
    summary: 'List events that a consumer gave up on, newest first',
    access: 'operator',
    response: deadLetterList,
  })
  list(
    @CurrentBounds() bounds: RequestBounds,
    @Query({ schema: listDeadLettersQuery }) query: z.output<typeof listDeadLettersQuery>,
  ) {
    const { limit, cursor, ...filters } = query;
    const filter = { status: filters.status, consumer: filters.consumer, merchantId: filters.merchant_id };
    return this.pages.page({
      asking: bounds,
      scope: cursorScope('platform', 'dead_letters', filters),
      cursor,
      limit,
      read: (beforeId, count) =>
        this.queries.execute(new ListDeadLettersQuery(bounds, { filter, beforeId, limit: count })),
      position: (letter) => letter.id,
      body: deadLetterBody,
    });
  }

  @Get(':id')
  @Documented({
    price: 'get',
    summary: 'Get a dead letter with its event',
    access: 'operator',
    response: deadLetterWithEvent,
    problems: ['not_found'],
  })
  async get(@CurrentBounds() bounds: RequestBounds, @PathId('dead letter') id: bigint) {
    return deadLetterWithEventBody(await this.queries.execute(new GetDeadLetterQuery(bounds, id)));
  }

  @Post(':id/redrive')
  @Documented({
    price: 'change',
    summary: 'Have the event applied after all',
    description:
      'A worker does it, and then what waits behind it. The letter ends as `redriven`, or as `parked` again with one more try. Asking twice is asking once.',
    access: 'operator',
    status: 202,
    response: deadLetterWithEvent,
    requestExample: DECISION,
    problems: ['not_found', 'invalid_transition'],
  })
  redrive(
    @CurrentBounds() bounds: RequestBounds,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @PathId('dead letter') id: bigint,
    @Body({ schema: decision }) { by, reason }: z.output<typeof decision>,
  ) {
    return this.#decide(bounds, { request, reply }, id, { what: 'redrive', by, reason });
  }

  @Post(':id/discard')
  @Documented({
    price: 'change',
    summary: 'Leave the event out for good',
    description: 'A worker does it, and lets what waits behind it go on. Asking twice is asking once.',
    access: 'operator',
    status: 202,
    response: deadLetterWithEvent,
    requestExample: DECISION,
    problems: ['not_found', 'invalid_transition'],
  })
  discard(
    @CurrentBounds() bounds: RequestBounds,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @PathId('dead letter') id: bigint,
    @Body({ schema: decision }) { by, reason }: z.output<typeof decision>,
  ) {
    return this.#decide(bounds, { request, reply }, id, { what: 'discard', by, reason });
  }

  async #decide(
    bounds: RequestBounds,
    { request, reply }: { request: FastifyRequest; reply: FastifyReply },
    id: bigint,
    decided: DecideDeadLetterCommand['decision'],
  ) {
    const shown = answering(request, 202, (letter: DeadLetterWithEvent) => ({ body: deadLetterWithEventBody(letter) }));
    return send(reply, await this.commands.execute(new DecideDeadLetterCommand(bounds, id, decided, shown)));
  }
}
