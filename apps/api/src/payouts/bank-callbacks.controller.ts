import { Controller, Post, Req } from '@nestjs/common';
import { CommandBus } from '@nestjs/cqrs';
import type { FastifyRequest } from 'fastify';
import { BankCallbackCommand } from '#payouts/bank-callback.command.js';
import type { RequestBounds } from '#platform/request-context.js';
import { Documented } from '../documented.js';
import { CurrentBounds } from '../request.js';
import { receivedCallback } from './schemas.js';

@Controller('v1/bank/callbacks')
export class BankCallbacksController {
  constructor(private readonly commands: CommandBus) {}

  @Post()
  @Documented({
    price: 'payout',
    summary: 'Take what the bank calls back with',
    description:
      'Without an API key: the bank’s signature over the body is checked with BANK_SECRET. It is a hint and no more: the bank is asked about the payout that it names, and what it then answers counts. The same callback may come as often as it likes.',
    access: 'public',
    rawBody: true,
    response: receivedCallback,
    problems: ['unauthorized', 'not_found', 'malformed_json', 'unsupported_media_type', 'payload_too_large'],
  })
  async receive(@CurrentBounds() bounds: RequestBounds, @Req() { body, headers }: FastifyRequest) {
    const delivery = { body: Buffer.isBuffer(body) ? body : Buffer.alloc(0), headers };
    await this.commands.execute(new BankCallbackCommand(bounds, delivery));
    return { received: true };
  }
}
