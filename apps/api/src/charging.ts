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
  const asking = {
    merchantId: state.context?.merchantId,
    byOperator: state.operator !== undefined,
    method: request.method,
    route: request.routeOptions.url ?? '',
    price,
    bytes: announcedBytes(request),
    rows: isList ? askedRows(request) : 0,
    cost: state.cost,
  };
  return limits.begin(asking, state.startedMs);
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

/** On every answer to a merchant: what it may have, and what it has left. */
export function tellLimit({ budget, limit }: Charge, reply: FastifyReply): void {
  if (!budget) return;
  reply.header('ratelimit-policy', budget.policy);
  reply.header('ratelimit', limit);
}
