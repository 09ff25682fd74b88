import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Span } from '@opentelemetry/api';
import type { FastifyRequest } from 'fastify';
import type { ProblemCode } from '#kernel/problem.js';
import { notFound } from '#kernel/problem.js';
import { parseSnowflake } from '#kernel/snowflake.js';
import type { Charge } from '#limits/charge.js';
import type { Deadline } from '#platform/deadline.js';
import type { RequestBounds, RequestContext } from '#platform/request-context.js';
import type { Operator } from '#tenancy/operator.js';
import type { RequestEnd } from './request-end.js';

/** Whom a request is charged to. */
export interface Payer {
  /** Undefined: the platform. */
  readonly merchantId: bigint | undefined;
  /** Operators are counted, and have no limits. */
  readonly byOperator: boolean;
}

/** What the hooks keep about a request from its arrival to its last byte. */
export interface RequestState extends RequestBounds {
  readonly startedMs: number;
  /** Begins once it is known whether the caller's own trace is to be believed: before the route is entered. */
  span: Span;
  readonly end: RequestEnd;
  readonly deadline: Deadline;
  /** Set once the caller is known and acts for a merchant. */
  context: RequestContext | undefined;
  /** The operator who asks, be it for itself or for a merchant. */
  operator: Operator | undefined;
  /** Whose key it is. Set as soon as that is known, also where the caller is then refused. */
  payer: Payer | undefined;
  /** Whether the caller's key is still valid, for requests that last. Set once it was found to be. */
  isStillAdmitted: (() => Promise<boolean>) | undefined;
  /** What it is charged. Set once it is known whose it is; what needs no key is charged to nobody. */
  charge: Charge | undefined;
  /** What it was refused with, for the log. */
  problem: ProblemCode | undefined;
}

declare module 'fastify' {
  interface FastifyRequest {
    state: RequestState | null;
  }
}

function requestOf(host: ExecutionContext): FastifyRequest {
  return host.switchToHttp().getRequest<FastifyRequest>();
}

/** The request's tenant, deadline and span. */
export const CurrentContext = createParamDecorator((_: unknown, host: ExecutionContext): RequestContext => {
  const context = requestOf(host).state?.context;
  if (!context) throw new Error('a route without a merchant asks for one: is its access right?');
  return context;
});

/** The deadline and span of a request of the platform's own. */
export const CurrentBounds = createParamDecorator((_: unknown, host: ExecutionContext): RequestBounds => {
  const { state } = requestOf(host);
  if (!state) throw new Error('the request was not announced to the onRequest hook');
  return state;
});

/** Who asks, on a route that takes operators' keys alone. */
export const CurrentOperator = createParamDecorator((_: unknown, host: ExecutionContext): Operator => {
  const operator = requestOf(host).state?.operator;
  if (!operator) throw new Error('a route without an operator asks for one: is its access right?');
  return operator;
});

/** A Snowflake of the path. What no id can be is answered as an unknown one: `There is no such <what>.` */
export function PathId(what: string, parameter = 'id'): ParameterDecorator {
  const attribute = `counterfoil.${what.toLowerCase().replace(' ', '_')}_id`;
  return createParamDecorator((_: unknown, host: ExecutionContext): bigint => {
    const { params, state } = requestOf(host);
    const id = parseSnowflake((params as Record<string, string>)[parameter] ?? '');
    if (id === undefined) throw notFound(what);
    if (state?.span.isRecording()) state.span.setAttribute(attribute, [String(id)]);
    return id;
  })();
}
