import { z } from 'zod';
import { isoTime } from '#kernel/clock.js';
import type { UsageSum } from '#limits/usage/usage-sums.js';
import { listOf, listQuery, timestampIn, timestampOut } from '../schemas.js';

const usage = z
  .looseObject({
    hour: timestampOut.meta({
      description: 'When it began. A request counts in the hour in which its answer has gone.',
    }),
    price: z
      .string()
      .meta({ description: 'What it was charged by: docs/limits.md has the table.', examples: ['posting'] }),
    by: z
      .enum(['merchant', 'operator'])
      .meta({ description: '`operator`: who acted for the merchant, without limits.' }),
    requests: z.int().meta({ description: 'That were admitted.' }),
    units: z.int().meta({ description: 'What they came to, of 0.1 ms of CPU each.' }),
    refused: z.int().meta({ description: 'Requests that were refused as `rate_limited`, at no units.' }),
  })
  .meta({ id: 'Usage', description: 'What the merchant used in an hour, by price.' });

export const usageList = listOf(usage, 'UsageList');

export const usageQuery = z.strictObject({
  ...listQuery,
  from: timestampIn.optional().meta({ description: 'Hours that began then or later.' }),
  to: timestampIn.optional().meta({ description: 'Hours that began before then.' }),
});

export function usageBody({ hourMs, price, byOperator, requests, units, refused }: UsageSum) {
  return { hour: isoTime(hourMs), price, by: byOperator ? 'operator' : 'merchant', requests, units, refused };
}
