import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Charge } from '#limits/charge.js';
import type { Limits } from '#limits/limits.js';
import type { RouteAccess } from './documented.js';
import type { RequestState } from './request.js';

/** As the contract has it for lists that do not say. */
const DEFAULT_LIMIT = 100;
const MOST_ROWS = 1_000;

/** Begins to charge a request of a key, by what is known before its body is read. Undefined: nobody's key was asked for. */
export function beginCharge(
  limits: Limits,
  request: FastifyRequest,
  state: RequestState,
): Charge | Promise<Charge> | undefined {
  const { access, price, isList } = request.routeOptions.config as RouteAccess;
  if (price === undefined || access === 'public') return undefined;
  const bytes = Number(request.headers['content-length'] ?? 0);
  state.cost.addBytes(bytes);
  const asking = {
    merchantId: state.context?.merchantId,
    byOperator: state.operator !== undefined,
    method: request.method,
    route: request.routeOptions.url ?? '',
    price,
    bytes,
    rows: isList ? askedRows(request) : 0,
    cost: state.cost,
  };
  return limits.begin(asking, state.startedMs);
}

/** What is no number is refused later, whatever is charged for it. */
function askedRows(request: FastifyRequest): number {
  const { limit } = request.query as { limit?: unknown };
  const rows = Number(limit ?? DEFAULT_LIMIT);
  return rows >= 0 && rows <= MOST_ROWS ? rows : MOST_ROWS;
}

/** On every answer to a merchant: what it may have, and what it has left. */
export function tellLimit({ budget, limit }: Charge, reply: FastifyReply): void {
  if (!budget) return;
  reply.header('ratelimit-policy', budget.policy);
  reply.header('ratelimit', limit);
}
