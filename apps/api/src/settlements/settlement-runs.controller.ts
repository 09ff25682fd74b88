import { Body, Controller, Get, Post, Query, Req, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { cursorScope } from '#platform/cursor.js';
import type { RequestBounds } from '#platform/request-context.js';
import { GetRunQuery, ListRunsQuery } from '#settlement/runs/run.queries.js';
import type { Run } from '#settlement/runs/run-store.js';
import { StartRunCommand } from '#settlement/runs/start-run.command.js';
import { Documented } from '../documented.js';
import { answering, send } from '../idempotency.js';
import { Pages } from '../pages.js';
import { CurrentBounds, PathId } from '../request.js';
import { listQuery } from '../schemas.js';
import { runBody, settlementRun, settlementRunList, startRun } from './run-schemas.js';

const pageQuery = z.strictObject(listQuery);

@Controller('v1/settlement_runs')
export class SettlementRunsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    private readonly pages: Pages,
  ) {}

  @Post()
  @Documented({
    price: 'change',
    summary: 'Have a business day settled, of some merchants or of all',
    description:
      'The workers do it, and by themselves as each merchant’s cut-off passes. Days that were missed are settled before it, in order. A day that is settled stays as it is, however often it is asked for.',
    access: 'operator',
    status: 202,
    response: settlementRun,
    requestExample: { business_date: '2026-11-20' },
  })
  async start(
    @CurrentBounds() bounds: RequestBounds,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body({ schema: startRun }) body: z.output<typeof startRun>,
  ) {
    const asked = { businessDate: body.business_date, merchantIds: body.merchant_ids };
    const shown = answering(request, 202, (run: Run) => ({ body: runBody(run) }));
    return send(reply, await this.commands.execute(new StartRunCommand(bounds, asked, shown)));
  }

  @Get()
  @Documented({
    price: 'list',
    summary: 'List settlement runs, newest first',
    access: 'operator',
    response: settlementRunList,
  })
  list(
    @CurrentBounds() bounds: RequestBounds,
    @Query({ schema: pageQuery }) { limit, cursor }: z.output<typeof pageQuery>,
  ) {
    return this.pages.page({
      asking: bounds,
      scope: cursorScope('platform', 'settlement_runs'),
      cursor,
      limit,
      read: (before, count) => this.queries.execute(new ListRunsQuery(bounds, { before, limit: count })),
      position: ({ id }) => id,
      body: runBody,
    });
  }

  @Get(':id')
  @Documented({
    price: 'get',
    summary: 'Get a settlement run: how far it is, and what could not be settled',
    access: 'operator',
    response: settlementRun,
    problems: ['not_found'],
  })
  async get(@CurrentBounds() bounds: RequestBounds, @PathId('settlement run') id: bigint) {
    return runBody(await this.queries.execute(new GetRunQuery(bounds, id)));
  }
}
