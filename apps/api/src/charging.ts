import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ProblemCode } from '#kernel/problem.js';
import type { Charge } from '#limits/charge.js';
import type { Limits } from '#limits/limits.js';
import type { PriceName } from '#limits/prices.js';
import type { RouteAccess } from './documented.js';
import type { RequestState } from './request.js';

/** As the contract has it for lists that do not say. */
const DEFAULT_LIMIT = 100;
const MOST_ROWS = 1_000;
/** With these a request is refused as it stands. */
const OF_FORM: ReadonlySet<ProblemCode> = new Set([
  'malformed_json',
  'unsupported_media_type',
  'payload_too_large',
  'validation_failed',
  'idempotency_key_required',
  'idempotency_key_invalid',
]);
const NOTHING = { bytes: 0, rows: 0 };

/**
 * Begins to charge a request of a key, by what is known before its body is read. `isEntered`: its route will be; else it is refused
 * before. Undefined: nobody's key was asked for, or it is nobody's.
 */
export function beginCharge(
  limits: Limits,
  request: FastifyRequest,
  state: RequestState,
  isEntered: boolean,
): Charge | Promise<Charge> | undefined {
  if (state.payer === undefined) return undefined;
  const { price = 'open', isList } = request.routeOptions.config as RouteAccess;
  const announced = isEntered ? { bytes: announcedBytes(request), rows: isList ? askedRows(request) : 0 } : NOTHING;
  const asking = {
    ...state.payer,
    ...announced,
    ...routeOf(request, isEntered ? price : 'open'),
    cost: state.cost,
  };
  return limits.begin(asking, state.startedMs);
}

/**
 * Charges what a merchant's provider has signed, once that is known: with a wrong signature nobody spends a merchant's units. It goes
 * ahead of the merchant's own requests. Rejects with `rate_limited`, upon which providers send it again.
 */
export async function chargeSigned(limits: Limits, request: FastifyRequest, merchantId: bigint): Promise<void> {
  const { state } = request;
  if (!state) return;
  const { price = 'open' } = request.routeOptions.config as RouteAccess;
  const asking = {
    merchantId,
    byOperator: false,
    isAhead: true,
    ...NOTHING,
    ...routeOf(request, price),
    cost: state.cost,
  };
  // Ends with the request, as every charge does.
  state.charge = await limits.begin(asking, performance.now());
  const refusal = state.charge.refusal();
  if (refusal) throw refusal;
}

function routeOf({ method, routeOptions }: FastifyRequest, price: PriceName) {
  return { method, route: routeOptions.url ?? '', price };
}

/** What is longer than its route takes is refused before it is read. */
function announcedBytes({ headers, routeOptions }: FastifyRequest): number {
  const bytes = Number(headers['content-length'] ?? 0);
  const { streamedBody } = routeOptions.config as RouteAccess;
  return streamedBody ? bytes : Math.min(bytes, routeOptions.bodyLimit);
}

/** Counts a body as it comes, also one that was announced without its length or is never whole. */
export function countBody({ raw, routeOptions }: FastifyRequest, { cost }: RequestState): void {
  // Whoever reads that one counts it: the first to listen has it flow.
  if ((routeOptions.config as RouteAccess).streamedBody) return;
  raw.on('data', (bytes: Buffer) => cost.addBytes(bytes.length));
}

/** What is no number is refused later, whatever is charged for it. */
function askedRows(request: FastifyRequest): number {
  const { limit } = request.query as { limit?: unknown };
  const rows = Number(limit ?? DEFAULT_LIMIT);
  return rows >= 0 && rows <= MOST_ROWS ? rows : MOST_ROWS;
}

/** When it is over. */
export function endCharge({ charge, problem }: RequestState): void {
  if (problem !== undefined && OF_FORM.has(problem)) charge?.turnBack();
  charge?.end();
}

/** On every answer to a merchant: what it may have, and what it has left. */
export function tellLimit({ budget, limit }: Charge, reply: FastifyReply): void {
  if (!budget) return;
  reply.header('ratelimit-policy', budget.policy);
  reply.header('ratelimit', limit);
}
