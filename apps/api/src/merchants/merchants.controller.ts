import { Body, Controller, Delete, Get, Patch, Post, Query, Req, Res } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { cursorScope } from '#platform/cursor.js';
import type { RequestBounds } from '#platform/request-context.js';
import {
  IssueApiKeyCommand,
  type IssuedApiKey,
  ListApiKeysQuery,
  RevokeApiKeyCommand,
} from '#tenancy/api-key.commands.js';
import { type CreatedMerchant, CreateMerchantCommand } from '#tenancy/create-merchant.command.js';
import { GetMerchantQuery, ListMerchantsQuery } from '#tenancy/merchant.queries.js';
import { UpdateMerchantCommand } from '#tenancy/update-merchant.command.js';
import { Documented } from '../documented.js';
import { answering, send } from '../idempotency.js';
import { Pages } from '../pages.js';
import { CurrentBounds, PathId } from '../request.js';
import { noFields } from '../schemas.js';
import {
  apiKeyBody,
  apiKeyList,
  createdMerchant,
  createdMerchantBody,
  createMerchant,
  issuedApiKey,
  keptMerchantBody,
  merchant,
  merchantBody,
  merchantList,
  pageQuery,
  updateMerchant,
} from './schemas.js';

@Controller('v1/merchants')
export class MerchantsController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    private readonly pages: Pages,
  ) {}

  @Post()
  @Documented({
    price: 'change',
    summary: 'Open a merchant with its system accounts and its first API key',
    access: 'operator',
    status: 201,
    response: createdMerchant,
    requestExample: {
      name: 'Berlin Books',
      time_zone: 'Europe/Berlin',
      settlement_cutoff: '23:00',
      currencies: ['EUR'],
    },
  })
  async create(
    @CurrentBounds() bounds: RequestBounds,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body({ schema: createMerchant }) body: z.output<typeof createMerchant>,
  ) {
    const { name, time_zone: timeZone, settlement_cutoff: settlementCutoff, currencies, fee_plan_id: feePlanId } = body;
    const created = answering(request, 201, (result: CreatedMerchant) => ({
      body: createdMerchantBody(result),
      kept: keptMerchantBody(result),
    }));
    const command = new CreateMerchantCommand(
      bounds,
      { name, timeZone, settlementCutoff, currencies, feePlanId },
      created,
    );
    return send(reply, await this.commands.execute(command));
  }

  @Get()
  @Documented({ price: 'list', summary: 'List merchants, newest first', access: 'operator', response: merchantList })
  list(
    @CurrentBounds() bounds: RequestBounds,
    @Query({ schema: pageQuery }) { limit, cursor }: z.output<typeof pageQuery>,
  ) {
    return this.pages.page({
      asking: bounds,
      scope: cursorScope('platform', 'merchants'),
      cursor,
      limit,
      read: (before, count) => this.queries.execute(new ListMerchantsQuery(bounds, before, count)),
      position: ({ merchant: { id } }) => id,
      body: merchantBody,
    });
  }

  @Get(':id')
  @Documented({
    price: 'get',
    summary: 'Get a merchant',
    access: 'operator',
    response: merchant,
    problems: ['not_found'],
  })
  async get(@CurrentBounds() bounds: RequestBounds, @PathId('merchant') id: bigint) {
    return merchantBody(await this.queries.execute(new GetMerchantQuery(bounds, id)));
  }

  @Patch(':id')
  @Documented({
    price: 'change',
    summary: 'Rename a merchant, or move it to another time zone from a day on',
    description:
      'The name changes at once. The zone changes with the beginning of a day that has not begun; days before keep theirs. Where no day can be reckoned in the present zone, the new one is for all days.',
    access: 'operator',
    response: merchant,
    problems: ['not_found'],
    requestExample: { time_zone: 'Europe/Paris' },
  })
  async update(
    @CurrentBounds() bounds: RequestBounds,
    @PathId('merchant') id: bigint,
    @Body({ schema: updateMerchant }) body: z.output<typeof updateMerchant>,
  ) {
    const { name, time_zone: timeZone, time_zone_from: timeZoneFrom } = body;
    await this.commands.execute(new UpdateMerchantCommand(bounds, id, { name, timeZone, timeZoneFrom }));
    return merchantBody(await this.queries.execute(new GetMerchantQuery(bounds, id)));
  }

  @Post(':id/api_keys')
  @Documented({
    price: 'change',
    summary: 'Issue one more API key',
    access: 'operator',
    status: 201,
    response: issuedApiKey,
    problems: ['not_found'],
  })
  async issueKey(
    @CurrentBounds() bounds: RequestBounds,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @PathId('merchant') id: bigint,
    @Body({ schema: noFields }) _body: z.output<typeof noFields>,
  ) {
    const issued = answering(request, 201, ({ key, secret }: IssuedApiKey) => ({
      body: { ...apiKeyBody(key), secret },
      kept: { ...apiKeyBody(key), secret: null },
    }));
    return send(reply, await this.commands.execute(new IssueApiKeyCommand(bounds, id, issued)));
  }

  @Get(':id/api_keys')
  @Documented({
    price: 'list',
    summary: 'List API keys, newest first, without their secrets',
    access: 'operator',
    response: apiKeyList,
    problems: ['not_found'],
  })
  listKeys(
    @CurrentBounds() bounds: RequestBounds,
    @PathId('merchant') id: bigint,
    @Query({ schema: pageQuery }) { limit, cursor }: z.output<typeof pageQuery>,
  ) {
    return this.pages.page({
      asking: bounds,
      scope: cursorScope(id, 'api_keys'),
      cursor,
      limit,
      read: (before, count) => this.queries.execute(new ListApiKeysQuery(bounds, id, before, count)),
      position: (record) => record.id,
      body: apiKeyBody,
    });
  }

  @Delete(':id/api_keys/:key_id')
  @Documented({
    price: 'change',
    summary: 'Revoke an API key',
    description: 'Effective at once in this process and within 5 seconds everywhere. Revoking twice is revoking once.',
    access: 'operator',
    status: 204,
    response: undefined,
    problems: ['not_found'],
  })
  async revokeKey(
    @CurrentBounds() bounds: RequestBounds,
    @PathId('merchant') id: bigint,
    @PathId('API key', 'key_id') keyId: bigint,
  ): Promise<void> {
    await this.commands.execute(new RevokeApiKeyCommand(bounds, id, keyId));
  }
}
