import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { PROBLEMS, type ProblemCode } from '#kernel/problem.js';
import { PRICES } from '#limits/prices.js';
import { CONTROLLERS } from './app.module.js';
import { openApiDocument, problemsOf, routesOf } from './openapi.js';

const routes = routesOf(CONTROLLERS);
const document = JSON.parse(JSON.stringify(openApiDocument()));

/** Problems that go by: the contract has Retry-After for each. */
const SAYS_WHEN: ProblemCode[] = ['rate_limited', 'overloaded', 'database_unavailable', 'deadline_exceeded'];

/** Bodies without members: `{}` is all there is to say. */
const NO_MEMBERS = { type: 'object', properties: {}, additionalProperties: false };

type Parameter = { name: string; in: string; example?: string };
type Said = { schema: { $ref?: string }; example?: object };
type Operation = { parameters: Parameter[]; requestBody?: { content: Record<string, Said> } };

// biome-ignore lint/suspicious/noExplicitAny: a document as anybody reads it
function operationsOf({ paths }: any): [name: string, operation: Operation][] {
  return Object.entries<object>(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]): [string, Operation] => [`${method} ${path}`, operation]),
  );
}

const schemaOf = (schema: Said['schema']) =>
  schema.$ref ? document.components.schemas[schema.$ref.split('/').at(-1) ?? ''] : schema;

const parametersOf = (of: unknown) => operationsOf(of).flatMap(([, { parameters }]) => parameters);

/** Examples of ids in paths, by operation. */
function pathExamples(of: unknown): Record<string, (string | undefined)[]> {
  return Object.fromEntries(
    operationsOf(of).flatMap(([name, { parameters }]) => {
      const examples = parameters.filter((one) => one.in === 'path' && 'example' in one).map(({ example }) => example);
      return examples.length > 0 ? [[name, examples]] : [];
    }),
  );
}

describe('the OpenAPI document', () => {
  it('found the routes', () => expect(routes.length).toBeGreaterThan(15));

  it.each(routes.map((route) => [`${route.method.toUpperCase()} ${route.path}`, route] as const))(
    'documents %s',
    (_, route) => {
      expect(route.documentation, 'decorate the route with @Documented').toBeDefined();
      const operation = document.paths[route.path][route.method];
      expect(operation.summary).not.toBe('');
      const price = PRICES[route.documentation?.price ?? 'open'];
      const told = Object.entries(price).map(([part, thousandths]) => [part, thousandths / 1_000]);
      expect(operation['x-price']).toEqual({ name: route.documentation?.price, ...Object.fromEntries(told) });
      for (const code of problemsOf(route)) {
        const { content, headers } = operation.responses[String(PROBLEMS[code].status)];
        expect(content['application/problem+json'].examples[code].value.code).toBe(code);
        if (SAYS_WHEN.includes(code)) expect(headers['Retry-After'].description).not.toBe('');
        if (code === 'rate_limited') expect(Object.keys(headers)).toContain('RateLimit');
      }
      const success = Object.entries<{ content?: unknown }>(operation.responses).filter(([status]) =>
        status.startsWith('2'),
      );
      expect(success.length).toBeGreaterThan(0);
      if (!operation.responses['204']) for (const [, { content }] of success) expect(content).toBeDefined();
    },
  );

  it('shows an example that its own schema takes', () => {
    for (const { body, documentation, path } of routes) {
      if (!body || documentation?.requestExample === undefined) continue;
      expect(body.safeParse(documentation.requestExample).error, path).toBeUndefined();
    }
  });

  it('has an example for each body that can say something', () => {
    // Swagger UI would make one of the schema, with the present second in it: another request under the same key each time.
    const without = operationsOf(document).filter(([, { requestBody }]) => {
      const [said] = Object.values(requestBody?.content ?? {});
      return said && !said.example && !isDeepStrictEqual(schemaOf(said.schema), NO_MEMBERS);
    });
    expect(without.map(([name]) => name)).toEqual([]);
  });

  it('asks for one kind of authorization', () => {
    expect(Object.keys(document.components.securitySchemes)).toEqual(['key']);
  });

  it('has no example of an id that is not there, and no key that two operations share', () => {
    expect(pathExamples(openApiDocument())).toEqual({});
    const keys = parametersOf(document)
      .filter(({ name }) => name === 'Idempotency-Key')
      .map(({ example }) => example);
    expect(new Set(keys).size).toBe(keys.length);
  });

  it('shows the ids that it is told of, but none to take anything away with', () => {
    const told = { merchants: '1', accounts: '2', empty: '6', transactions: '3', pending: '4', webhook_endpoints: '5' };
    expect(pathExamples(openApiDocument(told))).toEqual({
      'get /v1/merchants/{id}': ['1'],
      'patch /v1/merchants/{id}': ['1'],
      'get /v1/merchants/{id}/payout_schedule': ['1'],
      'put /v1/merchants/{id}/payout_schedule': ['1'],
      'get /v1/merchants/{id}/limits': ['1'],
      'put /v1/merchants/{id}/limits': ['1'],
      'post /v1/merchants/{id}/api_keys': ['1'],
      'get /v1/merchants/{id}/api_keys': ['1'],
      'put /v1/merchants/{id}/fee_plan': ['1'],
      'get /v1/accounts/{id}': ['2'],
      'post /v1/accounts/{id}/close': ['6'],
      'post /v1/accounts/{id}/reopen': ['6'],
      'get /v1/accounts/{id}/balance': ['2'],
      'get /v1/accounts/{id}/entries': ['2'],
      'get /v1/transactions/{id}': ['3'],
      'post /v1/transactions/{id}/post': ['4'],
      'post /v1/transactions/{id}/void': ['4'],
      'post /v1/transactions/{id}/reverse': ['3'],
      'get /v1/webhook_endpoints/{id}': ['5'],
      'post /v1/webhook_endpoints/{id}/enable': ['5'],
      'get /v1/webhook_endpoints/{id}/deliveries': ['5'],
    });
  });

  it('refers to nothing that it lacks', () => {
    const names = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(
      ([, name]) => name as string,
    );
    expect(names.length).toBeGreaterThan(20);
    for (const name of names) expect(document.components.schemas, name).toHaveProperty(name);
    expect(JSON.stringify(document)).not.toContain('$defs');
  });

  it('names every problem code on some route, but those that none may answer', () => {
    const documented = new Set(routes.flatMap(problemsOf));
    // A method that a path lacks is no route of it.
    const unnamed: ProblemCode[] = ['method_not_allowed'];
    expect((Object.keys(PROBLEMS) as ProblemCode[]).filter((code) => !documented.has(code))).toEqual(unnamed);
  });
});
