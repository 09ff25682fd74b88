import { Body, Controller, Delete, Get, Put, Query } from '@nestjs/common';
import { CommandBus, QueryBus } from '@nestjs/cqrs';
import type { z } from 'zod';
import { notFound } from '#kernel/problem.js';
import {
  type ConnectedProvider,
  DisconnectProviderCommand,
  ListProvidersQuery,
  SetProviderSecretCommand,
} from '#payments/providers/provider-secret.commands.js';
import { cursorScope } from '#platform/cursor.js';
import type { RequestContext } from '#platform/request-context.js';
import { Documented } from '../documented.js';
import { pageQuery } from '../merchants/schemas.js';
import { Pages } from '../pages.js';
import { CurrentContext } from '../request.js';
import { ProviderName } from './provider-name.js';
import { provider, providerBody, providerList, setProviderSecret } from './schemas.js';

@Controller('v1/providers')
export class ProvidersController {
  constructor(
    private readonly commands: CommandBus,
    private readonly queries: QueryBus,
    private readonly pages: Pages,
  ) {}

  @Get()
  @Documented({ price: 'list', summary: 'List the payment providers that may send webhooks', response: providerList })
  list(
    @CurrentContext() context: RequestContext,
    @Query({ schema: pageQuery }) { limit, cursor }: z.output<typeof pageQuery>,
  ) {
    return this.pages.page({
      asking: context,
      scope: cursorScope(context.merchantId, 'providers'),
      cursor,
      limit,
      read: async (before, count) => newestFirst(await this.#all(context), before).slice(0, count),
      position: currentId,
      body: (one) => providerBody(context.merchantId, one),
    });
  }

  @Get(':provider')
  @Documented({
    price: 'get',
    summary: 'Tell which secrets of a provider are valid',
    response: provider,
    problems: ['not_found'],
  })
  async get(@CurrentContext() context: RequestContext, @ProviderName() name: string) {
    const found = (await this.#all(context)).find((one) => one.provider === name);
    if (!found) throw notFound('provider');
    return providerBody(context.merchantId, found);
  }

  @Put(':provider')
  @Documented({
    price: 'change',
    summary: 'Set what a provider signs its webhooks with',
    description:
      'It is valid at once, and the one before beside it for a while, so that either may be rolled first; five at most. The same secret again changes nothing but that. `stripe` and `adyen` are understood as they are, any other name speaks the form of POST /v1/provider_events.',
    response: provider,
    requestExample: { webhook_secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' },
    problems: ['not_found', 'invalid_transition'],
  })
  async set(
    @CurrentContext() context: RequestContext,
    @ProviderName() name: string,
    @Body({ schema: setProviderSecret }) body: z.output<typeof setProviderSecret>,
  ) {
    const secret = { text: body.webhook_secret, previousUntilMs: body.previous_valid_until };
    const { query_token: token, query_url: url } = body;
    const query = token == null ? token : { url, token };
    const set = await this.commands.execute(new SetProviderSecretCommand(context, name, secret, query, body.accounts));
    return providerBody(context.merchantId, set);
  }

  @Delete(':provider')
  @Documented({
    price: 'change',
    summary: 'Take no more webhooks of a provider',
    description: 'Its secrets are forgotten. What it has told stays.',
    status: 204,
    response: undefined,
    problems: ['not_found'],
  })
  async remove(@CurrentContext() context: RequestContext, @ProviderName() name: string): Promise<void> {
    await this.commands.execute(new DisconnectProviderCommand(context, name));
  }

  #all(context: RequestContext): Promise<ConnectedProvider[]> {
    return this.queries.execute(new ListProvidersQuery(context));
  }
}

/** Of the current secret: of each provider there is exactly one. */
function currentId({ secrets: [current] }: ConnectedProvider): bigint {
  return current?.id ?? 0n;
}

function newestFirst(all: readonly ConnectedProvider[], before: bigint | undefined): ConnectedProvider[] {
  return all
    .filter((one) => before === undefined || currentId(one) < before)
    .sort((one, other) => (currentId(one) > currentId(other) ? -1 : 1));
}
