import fc from 'fast-check';
import type { FastifyRequest } from 'fastify';
import { expect, it } from 'vitest';
import { idempotencyInTurns, idempotencyOf } from './idempotency.js';

const SEED = 20_261_127;

it('a body has one hash, made at once or in turns', async () => {
  const body = fc.dictionary(fc.string(), fc.oneof(fc.jsonValue(), fc.array(fc.jsonValue(), { maxLength: 60 })));
  await fc.assert(
    fc.asyncProperty(body, async (value) => {
      const request = { method: 'POST', url: '/v1/x?y', headers: { 'idempotency-key': 'k' }, body: value };
      expect(await idempotencyInTurns(request as unknown as FastifyRequest)).toEqual(
        idempotencyOf(request as unknown as FastifyRequest),
      );
    }),
    { seed: SEED },
  );
});
