import type { FastifyReply, FastifyRequest } from 'fastify';
import { ProblemError } from '#kernel/problem.js';
import type { HeldBytes } from './held-bytes.js';

/**
 * Counts the body of a request against its merchant's allowance, from before it is read until the answer is taken: a body is in
 * memory as bytes, as a value and, of a batch, as its answer. One without a length counts as the longest that its route takes.
 * Returns why it cannot be read now.
 */
export function holdBody(request: FastifyRequest, reply: FastifyReply, held: HeldBytes): ProblemError | undefined {
  const { 'content-length': length, 'transfer-encoding': coding } = request.headers;
  const most = request.routeOptions.bodyLimit;
  const bytes = coding === undefined ? Math.min(Number(length ?? 0), most) : most;
  if (bytes === 0) return undefined;
  const merchantId = request.state?.context?.merchantId;
  if (!held.fits(merchantId, bytes)) {
    return new ProblemError('overloaded', 'Too many bodies are being read; wait for the answers to those.', {
      retryAfterS: 1,
    });
  }
  reply.raw.once('close', held.hold(merchantId, bytes));
  return undefined;
}
