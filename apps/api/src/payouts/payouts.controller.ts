import { Body, Controller, Get, Post, Query, Req, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { RequestPayoutCommand } from '#payouts/payout.commands.js';
import { GetPayoutQuery, ListPayoutsQuery } from '#payouts/payout.queries.js';
import { cursorScope } from '#platform/cursor.js';
import type { RequestContext } from '#platform/request-context.js';
import { Documented } from '../documented.js';
import { idempotencyOf, refuse } from '../idempotency.js';
import { Pages } from '../pages.js';
import { CurrentContext, PathId } from '../request.js';
import { listPayoutsQuery, payout, payoutList, requestedPayout, requestPayout } from './schemas.js';

@Controller('v1/payouts')
export class PayoutsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    private readonly pages: Pages,
  ) {}

  @Post()
  @Documented({
    price: 'payout',
    summary: 'Ask for a payout',
    description:
      'Never more than was settled and is not paid out. It is reserved when this is answered; the bank is told by the worker, and what becomes of it is shown by GET /v1/payouts/{id} and told by the events `payout.paid`, `payout.failed` and `payout.returned`.',
    status: 202,
    response: requestedPayout,
    requestExample: { amount: '12500', currency: 'EUR', destination: 'DE89370400440532013000' },
    problems: ['insufficient_funds', 'invalid_transition', 'currency_mismatch', 'amount_out_of_range'],
    idempotent: true,
  })
  async request(
    @CurrentContext() context: RequestContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body({ schema: requestPayout }) body: z.output<typeof requestPayout>,
  ) {
    const command = new RequestPayoutCommand(context, body, idempotencyOf(request));
    const { result, replayed } = await this.commands.execute(command);
    if (replayed) reply.header('Idempotent-Replayed', 'true');
    return 'refusal' in result ? refuse(reply, result.refusal) : result.answer;
  }

  @Get()
  @Documented({ price: 'list', summary: 'List payouts, newest first', response: payoutList })
  async list(
    @CurrentContext() context: RequestContext,
    @Query({ schema: listPayoutsQuery }) query: z.output<typeof listPayoutsQuery>,
  ) {
    const { limit, cursor, ...filter } = query;
    return this.pages.page({
      asking: context,
      scope: cursorScope(context.merchantId, 'payouts', filter),
      cursor,
      limit,
      read: (beforeId, count) =>
        this.queries.execute(new ListPayoutsQuery(context, { filter, beforeId, limit: count })),
      position: ({ id }) => BigInt(id),
      body: (row) => row,
    });
  }

  @Get(':id')
  @Documented({ price: 'get', summary: 'Get a payout', response: payout, problems: ['not_found'] })
  get(@CurrentContext() context: RequestContext, @PathId('payout') id: bigint) {
    return this.queries.execute(new GetPayoutQuery(context, id));
  }
}
