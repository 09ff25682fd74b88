import { Body, Controller, Inject, Post, Req, Res } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { type Clock, systemClock } from '#kernel/clock.js';
import type { ProviderFact } from '#payments/provider-fact.js';
import { RecordFactsCommand } from '#payments/record-facts.command.js';
import { CONFIG } from '#platform/platform.module.js';
import type { RequestContext } from '#platform/request-context.js';
import { traceIdOf } from '#platform/tracing.js';
import { inTurns } from '#platform/turns.js';
import type { Config } from '../../../config.js';
import { Documented } from '../documented.js';
import { givenIdempotencyInTurns, givenIdempotencyOf, listInTurns } from '../idempotency.js';
import { CurrentContext } from '../request.js';
import {
  batchItemOf,
  outcomeBody,
  providerEvent,
  providerEventOutcome,
  providerEventResults,
  providerEvents,
  providerFactOf,
  unreadableBody,
} from './fact-schemas.js';

const EVENT_EXAMPLE = {
  provider: 'acme',
  event_id: 'evt_1',
  payment_ref: 'pay_1',
  sequence: 1,
  type: 'captured',
  amount: '12500',
  currency: 'EUR',
  occurred_at: '2026-11-21T17:09:00.000Z',
};
const ANY_ORDER =
  'In any order, and as often as you like: `event_id` makes that each counts once, so that an Idempotency-Key is not needed, though honoured.';

@Controller('v1/provider_events')
export class ProviderEventsController {
  readonly #clock: Clock = systemClock;

  constructor(
    private readonly commands: CommandBus,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  @Post()
  @Documented({
    price: 'payment',
    summary: 'Tell what a provider says of a payment',
    description: ANY_ORDER,
    status: 202,
    response: providerEventOutcome,
    requestExample: EVENT_EXAMPLE,
  })
  async tell(
    @CurrentContext() context: RequestContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body({ schema: providerEvent }) body: z.output<typeof providerEvent>,
  ) {
    const facts = [providerFactOf(body, this.#latestMs())];
    const recorded = await this.commands.execute(new RecordFactsCommand(context, facts, givenIdempotencyOf(request)));
    if (recorded.replayed) reply.header('Idempotent-Replayed', 'true');
    return recorded.outcomes.map(outcomeBody)[0];
  }

  @Post('batch')
  @Documented({
    price: 'payment',
    summary: 'Tell up to 1,000 of them, each for itself',
    description: `${ANY_ORDER} One that is malformed is \`rejected\` in its place.`,
    status: 202,
    largeBody: true,
    response: providerEventResults,
    requestExample: { events: [EVENT_EXAMPLE] },
  })
  async tellMany(
    @CurrentContext() context: RequestContext,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @Body({ schema: providerEvents }) body: z.output<typeof providerEvents>,
  ) {
    const idempotency = await givenIdempotencyInTurns(request);
    const bounds = { latestMs: this.#latestMs(), traceId: traceIdOf(context.span) };
    const items: ReturnType<typeof batchItemOf>[] = [];
    await inTurns(body.events, (item) => void items.push(batchItemOf(item, bounds)));
    const facts = items.filter((item): item is ProviderFact => !('problem' in item));
    const { outcomes, replayed } = await this.commands.execute(new RecordFactsCommand(context, facts, idempotency));
    if (replayed) reply.header('Idempotent-Replayed', 'true');
    let next = 0;
    const results = items.map((item) =>
      'problem' in item ? unreadableBody(item) : outcomeBody(outcomes[next++] ?? none()),
    );
    return listInTurns('results', results, (result) => result);
  }

  #latestMs(): number {
    return this.#clock.now() + this.config.providerClockSkewMs;
  }
}

function none(): never {
  throw new Error('a fact without an outcome');
}
