import { applyDecorators, HttpCode, SetMetadata } from '@nestjs/common';
import type { z } from 'zod';
import type { ProblemCode } from '#kernel/problem.js';

/** What the contract says about a route beyond the schemas that validate its `@Body({schema})` and `@Query({schema})`. */
export interface RouteDocumentation {
  summary: string;
  description?: string;
  /** Status of success, which is also what the route answers; default 200. */
  status?: number;
  /** Shape of success, with an `id` in its meta; undefined: no body. */
  response: z.ZodType | undefined;
  /** An example of a request body, as sent. */
  requestExample?: unknown;
  responseExample?: unknown;
  /** Beyond those that every route may answer (see `problemsOf` in openapi.ts). */
  problems?: readonly ProblemCode[];
  /** Whether `Idempotency-Key` is required. */
  idempotent?: boolean;
  /** Other statuses of success with the same shape, such as 200 for a dry run. */
  alsoStatus?: readonly number[];
}

export const DOCUMENTATION = 'counterfoil:documentation';

/** Documents a route and sets its status of success. A test fails for each route that lacks it. */
export function Documented(documentation: RouteDocumentation): MethodDecorator {
  return applyDecorators(HttpCode(documentation.status ?? 200), SetMetadata(DOCUMENTATION, documentation));
}
