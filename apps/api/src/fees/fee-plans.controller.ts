import { Body, Controller, Delete, Get, Param, Post, Put, Query, Req, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { AssignFeePlanCommand } from '#fees/assign-fee-plan.command.js';
import { AddFeePlanVersionCommand, CreateFeePlanCommand } from '#fees/fee-plan.commands.js';
import { type FeePlanView, GetFeePlanQuery, ListFeePlansQuery } from '#fees/fee-plan.queries.js';
import { TakeBackFeePlanVersionCommand } from '#fees/take-back-version.command.js';
import { notFound } from '#kernel/problem.js';
import { cursorScope } from '#platform/cursor.js';
import type { RequestBounds } from '#platform/request-context.js';
import { GetMerchantQuery } from '#tenancy/merchant.queries.js';
import { Documented } from '../documented.js';
import { answering, send } from '../idempotency.js';
import { merchant, merchantBody } from '../merchants/schemas.js';
import { Pages } from '../pages.js';
import { CurrentBounds, PathId } from '../request.js';
import {
  addFeePlanVersion,
  assignFeePlan,
  createFeePlan,
  feePlan,
  feePlanBody,
  feePlanList,
  feePlanWithVersions,
  feePlanWithVersionsBody,
  newVersion,
  pageQuery,
} from './schemas.js';

const RULE = { applies_to: 'payment', currency: 'EUR', percent_bps: 140, fixed: '25' };
const shown = (view: FeePlanView) => ({ body: feePlanBody(view) });

@Controller('v1/fee_plans')
export class FeePlansController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    private readonly pages: Pages,
  ) {}

  @Post()
  @Documented({
    price: 'change',
    summary: 'Make a fee plan',
    description:
      'Its first version counts since ever, unless `valid_from` says otherwise. Where no rule is for an item, there is no fee.',
    access: 'operator',
    status: 201,
    response: feePlan,
    requestExample: { name: 'Standard', rules: [RULE] },
  })
  async create(
    @CurrentBounds() bounds: RequestBounds,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body({ schema: createFeePlan }) body: z.output<typeof createFeePlan>,
  ) {
    const command = new CreateFeePlanCommand(bounds, body.name, newVersion(body), answering(request, 201, shown));
    return send(reply, await this.commands.execute(command));
  }

  @Get()
  @Documented({
    price: 'list',
    summary: 'List fee plans with their newest versions, newest first',
    access: 'operator',
    response: feePlanList,
  })
  list(
    @CurrentBounds() bounds: RequestBounds,
    @Query({ schema: pageQuery }) { limit, cursor }: z.output<typeof pageQuery>,
  ) {
    return this.pages.page({
      asking: bounds,
      scope: cursorScope('platform', 'fee_plans'),
      cursor,
      limit,
      read: (before, count) => this.queries.execute(new ListFeePlansQuery(bounds, before, count)),
      position: ({ plan: { id } }) => id,
      body: feePlanBody,
    });
  }

  @Get(':id')
  @Documented({
    price: 'get',
    summary: 'Get a fee plan with all of its versions',
    access: 'operator',
    response: feePlanWithVersions,
    problems: ['not_found'],
  })
  async get(@CurrentBounds() bounds: RequestBounds, @PathId('fee plan') id: bigint) {
    return feePlanWithVersionsBody(await this.queries.execute(new GetFeePlanQuery(bounds, id)));
  }

  @Post(':id/versions')
  @Documented({
    price: 'change',
    summary: 'Add a version to a fee plan',
    description:
      'It counts from `valid_from` on, or from now: later than the version before, and not within a day that is settled of a merchant on the plan.',
    access: 'operator',
    status: 201,
    response: feePlan,
    problems: ['not_found', 'invalid_transition'],
    requestExample: { rules: [{ ...RULE, percent_bps: 120 }], refund_returns_fee: true },
  })
  async addVersion(
    @CurrentBounds() bounds: RequestBounds,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @PathId('fee plan') id: bigint,
    @Body({ schema: addFeePlanVersion }) body: z.output<typeof addFeePlanVersion>,
  ) {
    const command = new AddFeePlanVersionCommand(bounds, id, newVersion(body), answering(request, 201, shown));
    return send(reply, await this.commands.execute(command));
  }

  @Delete(':id/versions/:version')
  @Documented({
    price: 'change',
    summary: 'Take back a version that has not begun',
    description:
      'The newest one of the plan, and not its only one. What counted before goes on; the next version has its number.',
    access: 'operator',
    status: 204,
    response: undefined,
    problems: ['not_found', 'invalid_transition'],
  })
  async takeBack(
    @CurrentBounds() bounds: RequestBounds,
    @PathId('fee plan') id: bigint,
    @Param('version') version: string,
  ): Promise<void> {
    await this.commands.execute(new TakeBackFeePlanVersionCommand(bounds, id, versionOf(version)));
  }
}

/** What no version can be is answered as one that is not there. */
function versionOf(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw notFound('fee plan version');
  return Number(text);
}

@Controller('v1/merchants/:id/fee_plan')
export class MerchantFeePlanController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Put()
  @Documented({
    price: 'change',
    summary: 'Put a merchant on a fee plan',
    description:
      'From `valid_from` on. Without it: since ever, if it was on none and nothing of it is settled; otherwise from now on. What was planned from then on is superseded. Not within a day that is settled.',
    access: 'operator',
    response: merchant,
    problems: ['not_found', 'invalid_transition'],
    requestExample: { fee_plan_id: '251658240000004096' },
  })
  async assign(
    @CurrentBounds() bounds: RequestBounds,
    @PathId('merchant') id: bigint,
    @Body({ schema: assignFeePlan }) { fee_plan_id: planId, valid_from: validFromMs }: z.output<typeof assignFeePlan>,
  ) {
    await this.commands.execute(new AssignFeePlanCommand(bounds, id, { planId, validFromMs }));
    return merchantBody(await this.queries.execute(new GetMerchantQuery(bounds, id)));
  }
}
