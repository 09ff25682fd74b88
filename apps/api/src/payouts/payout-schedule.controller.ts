import { Body, Controller, Get, Put } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { z } from 'zod';
import { GetPayoutScheduleQuery, SetPayoutScheduleCommand } from '#payouts/payout-schedule.js';
import type { RequestBounds } from '#platform/request-context.js';
import { Documented } from '../documented.js';
import { CurrentBounds, PathId } from '../request.js';
import { payoutSchedule, scheduleBody, setPayoutSchedule } from './schemas.js';

@Controller('v1/merchants')
export class PayoutScheduleController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Get(':id/payout_schedule')
  @Documented({
    price: 'get',
    summary: 'Tell when a merchant is paid out by itself',
    access: 'operator',
    response: payoutSchedule,
    problems: ['not_found'],
  })
  async get(@CurrentBounds() bounds: RequestBounds, @PathId('merchant') id: bigint) {
    return scheduleBody(id, await this.queries.execute(new GetPayoutScheduleQuery(bounds, id)));
  }

  @Put(':id/payout_schedule')
  @Documented({
    price: 'change',
    summary: 'Say when a merchant is paid out by itself',
    description: 'For settlements from now on. Payouts that were asked for stay as they are.',
    access: 'operator',
    response: payoutSchedule,
    requestExample: { schedule: 'daily', destination: 'DE89370400440532013000' },
    problems: ['not_found'],
  })
  async set(
    @CurrentBounds() bounds: RequestBounds,
    @PathId('merchant') id: bigint,
    @Body({ schema: setPayoutSchedule }) body: z.output<typeof setPayoutSchedule>,
  ) {
    await this.commands.execute(new SetPayoutScheduleCommand(bounds, id, body));
    return scheduleBody(id, body);
  }
}
