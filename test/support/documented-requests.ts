import { openApiDocument } from '../../apps/api/src/openapi.js';
import type { Json } from './api.js';

/** A route as the OpenAPI document has it: what of it can name something that is somebody's. */
export interface DocumentedRoute {
  /** `GET /v1/accounts/{id}`. */
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly access: 'public' | 'merchant' | 'operator' | 'operator_for_merchant';
  readonly pathIds: readonly string[];
  readonly queryIds: readonly string[];
  /** Names of members, at whatever depth. */
  readonly bodyIds: readonly string[];
  readonly needsKey: boolean;
  /** What the document shows as an example; undefined where no body is needed. */
  readonly example: Json;
}

/** `event_id` is a provider's own word, and means nothing beyond the merchant's own payment. */
const NAMES_SOMETHING = /^(?!event_id$).*((^|_)id$|_code$)/;

export function documentedRoutes(): DocumentedRoute[] {
  const document: Json = openApiDocument();
  return Object.entries<Json>(document.paths).flatMap(([path, item]) =>
    Object.entries<Json>(item).map(([method, operation]) => routeOf(document, path, method, operation)),
  );
}

function routeOf(document: Json, path: string, method: string, operation: Json): DocumentedRoute {
  const { parameters = [], requestBody } = operation;
  const named = (where: string): string[] =>
    parameters.filter((one: Json) => one.in === where).map((one: Json) => one.name);
  const body = requestBody?.content['application/json'];
  const members = body ? membersOf(document, body.schema, new Set()) : [];
  return {
    name: `${method.toUpperCase()} ${path}`,
    method: method.toUpperCase(),
    path,
    access: accessOf(operation),
    // A provider's name is nobody's.
    pathIds: named('path').filter((name) => name !== 'provider'),
    queryIds: named('query').filter((name) => NAMES_SOMETHING.test(name)),
    bodyIds: [...new Set(members)].filter((name) => NAMES_SOMETHING.test(name)),
    needsKey: named('header').some((name) => name.toLowerCase() === 'idempotency-key'),
    example: body?.example ?? (requestBody?.required ? {} : undefined),
  };
}

/** An operator names whom it acts for on merchants' routes; where it must, nobody else is taken. */
function accessOf({ security, parameters = [] }: Json): DocumentedRoute['access'] {
  if (security === undefined) return 'public';
  const acting = parameters.find(({ name }: Json) => name === 'Counterfoil-Merchant');
  if (acting === undefined) return 'operator';
  return acting.required ? 'operator_for_merchant' : 'merchant';
}

/** Every member that a request may have, whatever it lies in. */
function membersOf(document: Json, schema: Json, seen: Set<Json>): string[] {
  if (typeof schema !== 'object' || schema === null || seen.has(schema)) return [];
  seen.add(schema);
  const target = typeof schema.$ref === 'string' ? document.components.schemas[schema.$ref.split('/').at(-1)] : schema;
  const inner = [...Object.values<Json>(target.properties ?? {}), ...nested(target)];
  return [...Object.keys(target.properties ?? {}), ...inner.flatMap((one) => membersOf(document, one, seen))];
}

function nested({ items, anyOf = [], oneOf = [], allOf = [] }: Json): Json[] {
  return [...(items ? [items] : []), ...anyOf, ...oneOf, ...allOf];
}
