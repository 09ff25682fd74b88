import { RequestMethod } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { z } from 'zod';
import { PROBLEMS, type ProblemCode, problemDocument } from '#kernel/problem.js';
import { inUnits, PRICES } from '#limits/prices.js';
import { randomHex } from '#platform/random-hex.js';
import { CONTROLLERS } from './app.module.js';
import {
  BODY_ARGUMENT,
  DOCUMENTATION,
  QUERY_ARGUMENT,
  ROUTE_ARGUMENTS,
  type RouteDocumentation,
} from './documented.js';
import { type ExampleIds, exampleIdOf } from './example-ids.js';
import { problem } from './schemas.js';

const JSON_TYPE = 'application/json';
const STREAM_TYPE = 'text/event-stream';
const CSV_TYPE = 'text/csv';
const PROBLEM_TYPE = 'application/problem+json';
const PROVIDER_NAME = '^[a-z0-9][a-z0-9_-]{0,63}$';
const EXAMPLE_TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736';

/** What a route may answer besides what it documents itself. */
const ALWAYS: readonly ProblemCode[] = ['internal', 'overloaded', 'database_unavailable', 'deadline_exceeded'];
const WITH_KEY: readonly ProblemCode[] = ['unauthorized', 'validation_failed', 'rate_limited'];
const WITH_BODY: readonly ProblemCode[] = [
  'malformed_json',
  'unsupported_media_type',
  'payload_too_large',
  'validation_failed',
];
const WITH_IDEMPOTENCY: readonly ProblemCode[] = [
  'idempotency_key_invalid',
  'idempotency_key_reused',
  'idempotency_in_flight',
];

export interface Route {
  name: string;
  method: string;
  /** OpenAPI's form: `/v1/accounts/{id}`. */
  path: string;
  documentation: RouteDocumentation | undefined;
  body: z.ZodType | undefined;
  query: z.ZodObject | undefined;
}

type Json = Record<string, unknown>;
type Controller = new (...parts: never[]) => object;

/** Every route of the controllers, documented or not. */
export function routesOf(controllers: readonly Controller[]): Route[] {
  return controllers.flatMap((controller) => {
    const prefixes: string[] = [Reflect.getMetadata(PATH_METADATA, controller) ?? ''].flat();
    return prefixes.flatMap((prefix, index) => routesUnder(controller, prefix, index === 0 ? '' : `_${index + 1}`));
  });
}

/** `suffix`: what tells the names of the same handlers under several prefixes apart. */
function routesUnder(controller: Controller, prefix: string, suffix: string): Route[] {
  return Object.getOwnPropertyNames(controller.prototype).flatMap((name) => {
    const handler: unknown = Object.getOwnPropertyDescriptor(controller.prototype, name)?.value;
    if (typeof handler !== 'function') return [];
    const method: RequestMethod | undefined = Reflect.getMetadata(METHOD_METADATA, handler);
    if (method === undefined) return [];
    const parts = `${prefix}/${Reflect.getMetadata(PATH_METADATA, handler) ?? ''}`
      .split('/')
      .filter((part) => part !== '');
    const schemas: Record<string, { schema?: z.ZodType }> =
      Reflect.getMetadata(ROUTE_ARGUMENTS, controller, name) ?? {};
    const schemaOf = (kind: string) => Object.entries(schemas).find(([key]) => key.startsWith(kind))?.[1].schema;
    return {
      name: `${controller.name.replace(/Controller$/, '')}.${name}${suffix}`,
      method: RequestMethod[method].toLowerCase(),
      path: `/${parts.map((part) => part.replace(/^:(.+)$/, '{$1}')).join('/')}`,
      documentation: Reflect.getMetadata(DOCUMENTATION, handler),
      body: schemaOf(BODY_ARGUMENT),
      query: schemaOf(QUERY_ARGUMENT) as z.ZodObject | undefined,
    };
  });
}

/** Every POST honours an Idempotency-Key; where money moves it is required. A provider's webhook has identities of its own. */
function isIdempotent({ method, documentation }: Route): boolean {
  return method === 'post' && !documentation?.rawBody;
}

/** The codes that a route may answer, in the order of the contract. */
export function problemsOf(route: Route): ProblemCode[] {
  const { access = 'merchant', idempotent = false, rawBody = false, problems = [] } = route.documentation ?? {};
  const codes = new Set<ProblemCode>([...ALWAYS, ...problems]);
  const add = (more: readonly ProblemCode[]) => {
    for (const code of more) codes.add(code);
  };
  if (access !== 'public') add(WITH_KEY);
  if (access === 'operator' || access === 'operator_for_merchant') codes.add('forbidden');
  if (access === 'merchant' || access === 'operator_for_merchant') codes.add('not_found');
  if (rawBody) codes.add('rate_limited');
  if (route.body) add(WITH_BODY);
  if (idempotent) codes.add('idempotency_key_required');
  if (isIdempotent(route)) add(WITH_IDEMPOTENCY);
  return (Object.keys(PROBLEMS) as ProblemCode[]).filter((code) => codes.has(code));
}

/** The OpenAPI 3.1 document, from the schemas that validate. */
export function openApiDocument(ids: ExampleIds = {}): OpenAPIObject {
  const components = new Components();
  const paths: Record<string, Json> = {};
  for (const route of routesOf(CONTROLLERS)) {
    if (!route.documentation) continue;
    paths[route.path] ??= {};
    (paths[route.path] as Json)[route.method] = operationOf(route, route.documentation, { components, ids });
  }
  components.add(problem, 'output');
  return {
    openapi: '3.1.0',
    info: {
      title: 'Counterfoil',
      version: '0.1.0',
      description: 'A multi-tenant payments ledger. Money is a count of minor units, as decimal strings in answers.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    servers: [{ url: '/' }],
    paths,
    components: {
      schemas: components.schemas,
      securitySchemes: {
        key: {
          type: 'http',
          scheme: 'bearer',
          description:
            "A merchant's key (`cfm_…`) for the merchant's own routes, or an operator's (`cfo_…`) for the platform's, and for a merchant's with the header `Counterfoil-Merchant`. Some of a merchant's routes take an operator's alone. A key of the other kind is told so.",
        },
      },
    },
  } as unknown as OpenAPIObject;
}

/** `/openapi.json` and Swagger UI at `/docs`. Returns a function that puts ids which exist here into the paths. */
export function serveOpenApi(app: NestFastifyApplication): (ids: ExampleIds) => void {
  let document = openApiDocument();
  SwaggerModule.setup('docs', app, document, {
    jsonDocumentUrl: 'openapi.json',
    raw: ['json'],
    customSiteTitle: document.info.title,
    patchDocumentOnRequest: () => document,
  });
  return (ids) => {
    document = openApiDocument(ids);
  };
}

/** What an operation is written with. */
interface Writing {
  readonly components: Components;
  readonly ids: ExampleIds;
}

function operationOf(route: Route, documentation: RouteDocumentation, writing: Writing): Json {
  const { components } = writing;
  const { access = 'merchant', summary, description } = documentation;
  const [tag] = route.name.split('.');
  return {
    operationId: route.name.replace('.', '_'),
    tags: [tag],
    summary,
    ...(description && { description }),
    'x-price': { name: documentation.price, ...inUnits(PRICES[documentation.price]) },
    ...(access !== 'public' && {
      security: [{ key: [] }],
    }),
    parameters: parametersOf(route, documentation, writing),
    ...(documentation.streamedBody && {
      requestBody: streamed(documentation.streamedBody, documentation),
    }),
    ...(route.body && {
      requestBody: {
        required: !route.body.safeParse(undefined).success,
        content: {
          [JSON_TYPE]: {
            schema: components.add(route.body, 'input'),
            ...(documentation.requestExample !== undefined && { example: documentation.requestExample }),
          },
        },
      },
    }),
    responses: {
      ...successOf(route, documentation, components),
      ...problemResponses(problemsOf(route)),
      431: HEADERS_TOO_LARGE,
    },
  };
}

/** A body that is the file itself, or a form with it. The example is of the first type. */
function streamed(types: readonly string[], { requestExample: example, bodyIsOptional }: RouteDocumentation): Json {
  const file = { type: 'string', format: 'binary' };
  const form = { type: 'object', properties: { file }, required: ['file'] };
  const schemaOf = (type: string) => (type.startsWith('multipart/') ? form : file);
  const contentOf = (type: string, place: number) => ({ schema: schemaOf(type), ...(place === 0 && { example }) });
  return {
    required: !bodyIsOptional,
    content: Object.fromEntries(types.map((type, place) => [type, contentOf(type, place)])),
  };
}

function parametersOf(
  route: Route,
  { access = 'merchant', idempotent, stream }: RouteDocumentation,
  { components, ids }: Writing,
): Json[] {
  // An id that is not there would be sent, and found nowhere.
  const exampleId = exampleIdOf(ids, route);
  const path = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string', pattern: name === 'provider' ? PROVIDER_NAME : '^[1-9][0-9]{0,18}$' },
    ...(exampleId !== undefined && { example: exampleId }),
  }));
  const query = Object.entries(route.query?.shape ?? {}).map(([name, schema]) => {
    const { description, ...inline } = components.add(schema as z.ZodType, 'input');
    return {
      name,
      in: 'query',
      required: !(schema as z.ZodType).safeParse(undefined).success,
      ...(description !== undefined && { description }),
      schema: inline,
    };
  });
  const headers: Json[] = [];
  if (isIdempotent(route)) {
    headers.push({
      name: 'Idempotency-Key',
      in: 'header',
      required: idempotent ?? false,
      description:
        'Unique to the operation. The same key and request give the first answer again, with `Idempotent-Replayed: true` and without its secrets.',
      schema: { type: 'string', pattern: '^[\\x21-\\x7e]{1,255}$' },
      // Of each operation and process its own: one that others have used as well would be refused.
      example: `${route.name.replace('.', '-').toLowerCase()}-${randomHex(4)}`,
    });
  }
  if (stream !== undefined) {
    headers.push({
      name: 'Last-Event-ID',
      in: 'header',
      required: false,
      description: 'The `id` of the last event of an earlier stream. Comes before `after`.',
      schema: { type: 'string' },
    });
  }
  if (access === 'merchant' || access === 'operator_for_merchant') {
    headers.push({
      name: 'Counterfoil-Merchant',
      in: 'header',
      required: access === 'operator_for_merchant',
      description: 'The merchant that an operator acts for.',
      schema: { type: 'string', pattern: '^[1-9][0-9]{0,18}$' },
    });
  }
  return [...path, ...query, ...headers];
}

function successOf(route: Route, documentation: RouteDocumentation, components: Components): Json {
  const { status = 200, alsoStatus = [], response, responseExample, stream, csv } = documentation;
  const answer = {
    description: documentation.summary,
    ...(isIdempotent(route) && {
      headers: {
        'Idempotent-Replayed': {
          schema: { type: 'string', const: 'true' },
          description: 'On the repeated answer of an earlier request.',
        },
      },
    }),
    ...(response && {
      content: {
        [JSON_TYPE]: {
          schema: components.add(response, 'output'),
          ...(responseExample !== undefined && { example: responseExample }),
        },
        ...(stream !== undefined && { [STREAM_TYPE]: { schema: { type: 'string', description: stream } } }),
        ...(csv !== undefined && { [CSV_TYPE]: { schema: { type: 'string', description: csv } } }),
      },
    }),
  };
  return Object.fromEntries([status, ...alsoStatus].map((code) => [String(code), answer]));
}

const RETRY_AFTER = {
  schema: { type: 'integer', minimum: 1 },
  description: 'Whole seconds after which the same request, with the same Idempotency-Key, is right to send again.',
};
const limitHeader = (description: string) => ({ schema: { type: 'string' }, description });

/** By status. RateLimit fields are on every answer to a merchant's key; here they say which limit it was. */
const PROBLEM_HEADERS: Record<number, Json> = {
  429: {
    'Retry-After': RETRY_AFTER,
    'RateLimit-Policy': limitHeader('The limits of the merchant, as draft-ietf-httpapi-ratelimit-headers has them.'),
    RateLimit: limitHeader('What is left of them. Absent where no key of a merchant is known yet.'),
  },
  503: { 'Retry-After': RETRY_AFTER },
  504: { 'Retry-After': RETRY_AFTER },
};

/** From the parser of HTTP, before there is a request: its problem has the code of what cannot be read. */
const HEADERS_TOO_LARGE: Json = {
  description: 'The path, the query and the headers are together larger than 16 KiB.',
  content: { [PROBLEM_TYPE]: { schema: { $ref: '#/components/schemas/Problem' } } },
};

/** One response per status, with an example for each of its codes. */
function problemResponses(codes: readonly ProblemCode[]): Json {
  const byStatus = Map.groupBy(codes, (code) => PROBLEMS[code].status);
  return Object.fromEntries(
    [...byStatus].map(([status, ofStatus]) => [
      String(status),
      {
        description: ofStatus.map((code) => `\`${code}\`: ${PROBLEMS[code].title}.`).join(' '),
        ...(status in PROBLEM_HEADERS && { headers: PROBLEM_HEADERS[status] }),
        content: {
          [PROBLEM_TYPE]: {
            schema: {
              allOf: [
                { $ref: '#/components/schemas/Problem' },
                { properties: { code: { enum: ofStatus }, status: { const: status } } },
              ],
            },
            examples: Object.fromEntries(ofStatus.map((code) => [code, { value: exampleOf(code) }])),
          },
        },
      },
    ]),
  );
}

function exampleOf(code: ProblemCode): Json {
  const errors =
    code === 'validation_failed' ? [{ path: 'entries.0.amount', message: 'must be at least 1' }] : undefined;
  const detail = errors ? 'entries.0.amount: must be at least 1' : `${PROBLEMS[code].title}.`;
  return { ...problemDocument({ code, detail, trace_id: EXAMPLE_TRACE_ID, ...(errors && { errors }) }) };
}

/** Gathers the schemas that have an id under `components.schemas` and refers to them. */
class Components {
  readonly schemas: Record<string, Json> = {};

  /** The schema, as a reference when it has an id. */
  add(schema: z.ZodType, io: 'input' | 'output'): Json {
    const { $schema: _, $defs, id: _id, ...json } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Json;
    for (const [id, definition] of Object.entries(($defs ?? {}) as Record<string, Json>)) {
      this.#keep(id, relocate(definition) as Json);
    }
    return relocate(json) as Json;
  }

  #keep(id: string, json: Json): void {
    const { id: _, ...definition } = json;
    const known = this.schemas[id];
    if (known && JSON.stringify(known) !== JSON.stringify(definition))
      throw new Error(`two different schemas have the id ${id}`);
    this.schemas[id] = definition;
  }
}

/** `#/$defs/X` → `#/components/schemas/X`, anywhere inside. */
function relocate(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(relocate);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      key === '$ref' && typeof inner === 'string'
        ? inner.replace('#/$defs/', '#/components/schemas/')
        : relocate(inner),
    ]),
  );
}
