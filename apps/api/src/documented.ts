import { applyDecorators, HttpCode, SetMetadata } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import { z } from 'zod';
import type { ProblemCode } from '#kernel/problem.js';
import type { PriceName } from '#limits/prices.js';
import { SchemaPipe } from './schema.pipe.js';

/**
 * Whose key a route takes. `merchant`: that merchant's, or an operator's who acts for it. `operator_for_merchant`: an
 * operator's alone, who names the merchant that it acts for.
 */
export type Access = 'merchant' | 'operator' | 'operator_for_merchant' | 'public';

/** What the contract says about a route beyond the schemas that validate its `@Body({schema})` and `@Query({schema})`. */
export interface RouteDocumentation {
  summary: string;
  /** What a request of it is charged by: libs/limits. */
  price: PriceName;
  description?: string;
  /** Default `merchant`. Held by the `onRequest` hook, before the body is read. */
  access?: Access;
  /** Whether bodies may be as large as BATCH_BODY_LIMIT_BYTES. */
  largeBody?: boolean;
  /** Whether the body comes as the bytes that were sent, up to PROVIDER_WEBHOOK_BYTES: what is signed are bytes. */
  rawBody?: boolean;
  /** Media types of a body that is neither held nor read before the route is: any number of bytes, by whichever deadline the route has. */
  streamedBody?: readonly string[];
  /** Whether such a body may be left out. */
  bodyIsOptional?: boolean;
  /** Status of success, which is also what the route answers; default 200. */
  status?: number;
  /** Shape of success, with an `id` in its meta; undefined: no body. */
  response: z.ZodType | undefined;
  /** An example of a request body, as sent. */
  requestExample?: unknown;
  responseExample?: unknown;
  /** Beyond those that every route may answer (see openapi.ts). */
  problems?: readonly ProblemCode[];
  /** Whether `Idempotency-Key` is required. */
  idempotent?: boolean;
  /** What the same list is as `text/event-stream`, for those who accept that; resumed with `Last-Event-ID`. */
  stream?: string;
  /** What the same is as `text/csv`. */
  csv?: string;
  /** Other statuses of success with the same shape, such as 200 for a dry run. */
  alsoStatus?: readonly number[];
}

/** What the hooks know of a route, as `request.routeOptions.config`. */
export interface RouteAccess {
  price?: PriceName;
  /** Whether `?limit=` says how many rows the answer may have. */
  isList?: boolean;
  access?: Access;
  largeBody?: boolean;
  rawBody?: boolean;
  streamedBody?: readonly string[] | undefined;
  takesQuery?: boolean;
}

export const DOCUMENTATION = 'counterfoil:documentation';
/** Nest keeps a handler's parameters under this name: `<type>:<index>` → `{index, data, schema}`. */
export const ROUTE_ARGUMENTS = '__routeArguments__';
export const QUERY_ARGUMENT = '4:';
export const BODY_ARGUMENT = '3:';

const SCHEMA_PIPE = new SchemaPipe();

/** Nest's own record of a decorated parameter. */
interface RouteArgument {
  schema?: unknown;
  pipes: unknown[];
}

/**
 * Documents a route, sets its access and its status of success, and has parameters with a schema validated. A test fails for
 * each route that lacks it.
 */
export function Documented(documentation: RouteDocumentation): MethodDecorator {
  return (target, key, descriptor) => {
    // Parameters are decorated before their method, so that their metadata is there.
    const parameters: Record<string, RouteArgument> =
      Reflect.getMetadata(ROUTE_ARGUMENTS, target.constructor, key) ?? {};
    // Not a global pipe: that costs each parameter of each request, those without a schema too, four promises.
    for (const { schema, pipes } of Object.values(parameters)) if (schema) pipes.push(SCHEMA_PIPE);
    const query = Object.entries(parameters).find(([name]) => name.startsWith(QUERY_ARGUMENT))?.[1];
    const access: RouteAccess = {
      price: documentation.price,
      isList: query?.schema instanceof z.ZodObject && 'limit' in query.schema.shape,
      access: documentation.access ?? 'merchant',
      largeBody: documentation.largeBody ?? false,
      rawBody: documentation.rawBody ?? false,
      streamedBody: documentation.streamedBody,
      takesQuery: query !== undefined,
    };
    applyDecorators(
      HttpCode(documentation.status ?? 200),
      SetMetadata(DOCUMENTATION, documentation),
      RouteConfig(access),
    )(target, key, descriptor);
  };
}
