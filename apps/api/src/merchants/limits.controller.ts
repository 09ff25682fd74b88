import { Body, Controller, Delete, Get, Put } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import { z } from 'zod';
import { GetMerchantLimitsQuery, type MerchantLimits, SetMerchantLimitsCommand } from '#limits/merchant-limits.js';
import type { RequestBounds } from '#platform/request-context.js';
import { Documented } from '../documented.js';
import { CurrentBounds, PathId } from '../request.js';
import { idOut } from '../schemas.js';

const MOST_UNITS = 100_000_000;
const MOST_WEIGHT = 100;

const wholeUpTo = (most: number) => {
  const message = `must be a whole number from 1 to ${most}`;
  return z.int(message).min(1, message).max(most, message);
};

const setLimits = z
  .strictObject({
    units_per_second: wholeUpTo(MOST_UNITS).meta({ description: 'A unit is 0.1 ms of CPU.' }),
    burst_units: wholeUpTo(MOST_UNITS).meta({ description: 'How many at once, after a while without.' }),
    units_in_flight: wholeUpTo(MOST_UNITS).meta({ description: 'Of requests that are served at one time.' }),
    weight: wholeUpTo(MOST_WEIGHT).default(1).meta({ description: 'Its share where merchants wait for their turn.' }),
  })
  .meta({ id: 'SetLimits' });

const limits = z
  .looseObject({
    merchant_id: idOut,
    units_per_second: z.int(),
    burst_units: z.int(),
    units_in_flight: z.int(),
    weight: z.int(),
    source: z.enum(['own', 'default']).meta({ description: '`default`: what every merchant has by the settings.' }),
  })
  .meta({ id: 'Limits' });

function limitsBody(merchantId: bigint, { isOwn, ...plan }: MerchantLimits) {
  return {
    merchant_id: String(merchantId),
    units_per_second: plan.unitsPerSecond,
    burst_units: plan.burstUnits,
    units_in_flight: plan.unitsInFlight,
    weight: plan.weight,
    source: isOwn ? 'own' : 'default',
  };
}

@Controller('v1/merchants')
export class MerchantLimitsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
  ) {}

  @Get(':id/limits')
  @Documented({
    price: 'get',
    summary: 'Tell how much a merchant may use',
    access: 'operator',
    response: limits,
    problems: ['not_found'],
  })
  async get(@CurrentBounds() bounds: RequestBounds, @PathId('merchant') id: bigint) {
    return limitsBody(id, await this.queries.execute(new GetMerchantLimitsQuery(bounds, id)));
  }

  @Put(':id/limits')
  @Documented({
    price: 'change',
    summary: 'Say how much a merchant may use, in place of what everybody may',
    description: 'Effective at once in this process and within LIMIT_PLAN_CACHE_MS everywhere.',
    access: 'operator',
    response: limits,
    requestExample: { units_per_second: 5_000, burst_units: 20_000, units_in_flight: 2_000 },
    problems: ['not_found'],
  })
  async set(
    @CurrentBounds() bounds: RequestBounds,
    @PathId('merchant') id: bigint,
    @Body({ schema: setLimits }) body: z.output<typeof setLimits>,
  ) {
    const plan = {
      unitsPerSecond: body.units_per_second,
      burstUnits: body.burst_units,
      unitsInFlight: body.units_in_flight,
      weight: body.weight,
    };
    await this.commands.execute(new SetMerchantLimitsCommand(bounds, id, plan));
    return limitsBody(id, { ...plan, isOwn: true });
  }

  @Delete(':id/limits')
  @Documented({
    price: 'change',
    summary: 'Let a merchant use what everybody may',
    description: 'Twice is once.',
    access: 'operator',
    status: 204,
    response: undefined,
    problems: ['not_found'],
  })
  async remove(@CurrentBounds() bounds: RequestBounds, @PathId('merchant') id: bigint): Promise<void> {
    await this.commands.execute(new SetMerchantLimitsCommand(bounds, id, undefined));
  }
}
