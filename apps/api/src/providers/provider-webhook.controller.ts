import { Controller, Param, Post, Req } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import type { FastifyRequest } from 'fastify';
import { parseSnowflake } from '#kernel/snowflake.js';
import { Limits } from '#limits/limits.js';
import { ReceiveWebhookCommand } from '#payments/providers/receive-webhook.command.js';
import type { RequestBounds } from '#platform/request-context.js';
import { chargeSigned } from '../charging.js';
import { Documented } from '../documented.js';
import { CurrentBounds } from '../request.js';
import { receivedWebhook } from './schemas.js';

@Controller('v1/providers/:provider/merchants/:merchant_id')
export class ProviderWebhookController {
  constructor(
    private readonly commands: CommandBus,
    private readonly limits: Limits,
  ) {}

  @Post('webhook')
  @Documented({
    price: 'webhook',
    summary: 'Take what a payment provider sends',
    description:
      'Without an API key: the provider’s own signature over the body is checked with the secret of PUT /v1/providers/{provider}. Answered once it is kept; the same body may come as often as it likes. Charged to the merchant, ahead of its own requests: while it owes units, the answer is `rate_limited`, and the provider sends it again. Whatever is wrong with a signature, and for whom nothing is expected, the answer is the same `unauthorized`.',
    access: 'public',
    rawBody: true,
    response: receivedWebhook,
    problems: ['unauthorized', 'malformed_json', 'unsupported_media_type', 'payload_too_large'],
  })
  async receive(
    @CurrentBounds() bounds: RequestBounds,
    @Req() request: FastifyRequest,
    @Param('provider') provider: string,
    @Param('merchant_id') merchant: string,
  ) {
    const to = { provider, merchantId: parseSnowflake(merchant) };
    const { body, headers } = request;
    const delivery = { body: Buffer.isBuffer(body) ? body : Buffer.alloc(0), headers };
    const admit = (merchantId: bigint) => chargeSigned(this.limits, request, merchantId);
    const { applied } = await this.commands.execute(new ReceiveWebhookCommand(bounds, to, delivery, admit));
    // What Adyen looks for in an answer, and nobody else.
    const accepted = provider === 'adyen' ? { notificationResponse: '[accepted]' } : {};
    return { received: true, applied, ...accepted };
  }
}
