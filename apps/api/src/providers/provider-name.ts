import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { notFound } from '#kernel/problem.js';
import { isProviderName } from '#payments/providers/providers.js';

/** A provider's name of the path. What none can be called is answered as one that is not there. */
export const ProviderName = createParamDecorator((_: unknown, host: ExecutionContext): string => {
  const { params } = host.switchToHttp().getRequest<FastifyRequest>();
  const { provider = '' } = params as { provider?: string };
  if (!isProviderName(provider)) throw notFound('provider');
  return provider;
});
