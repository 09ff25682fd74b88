import { snowflakeTimeMs } from '#kernel/snowflake.js';
import type { Answer, Json, TestApi } from './api.js';
import { faultsOf } from './json-schema.js';

interface Operation {
  name: string;
  pattern: RegExp;
  responses: Record<string, { content?: Record<string, { schema: unknown }> }>;
}

const METHODS = new Set(['get', 'post', 'put', 'patch', 'delete']);
const SNOWFLAKE = /^[1-9][0-9]{0,18}$/;
const PLACE = /^[1-9][0-9]*-[1-9][0-9]*$/;
const MONEY = new Set([
  'amount',
  'debits',
  'credits',
  'available',
  'posted_after',
  'pending_after',
  'available_after',
  'min_available',
]);

/**
 * Holds every answer of an API to what its own /openapi.json documents for that route and status, and to the conventions of
 * the contract. An answer that breaks it throws in the test that asked.
 */
export class Contract {
  readonly #document: Json;
  readonly #operations: Operation[];
  /** `GET /v1/accounts/{id}` → the statuses that it has answered. */
  readonly seen = new Map<string, Set<number>>();
  /** Lists of which no page has held anything: of what they hold nothing has been checked. */
  readonly emptyLists = new Set<string>();
  readonly #filledLists = new Set<string>();

  private constructor(document: Json) {
    this.#document = document;
    this.#operations = Object.entries<Json>(document.paths).flatMap(([path, item]) =>
      Object.entries<Json>(item)
        .filter(([method]) => METHODS.has(method))
        .map(([method, { responses }]) => ({
          name: `${method.toUpperCase()} ${path}`,
          pattern: new RegExp(`^${method.toUpperCase()} ${path.replace(/\{\w+\}/g, '[^/]+')}$`),
          responses,
        })),
    );
  }

  /** Watches every client that the API hands out from now on. */
  static async hold(api: TestApi): Promise<Contract> {
    const { body } = await api.client().get('/openapi.json');
    const contract = new Contract(body);
    api.watch((answer) => contract.check(answer));
    return contract;
  }

  /** `GET /v1/accounts/{id}` and so on, in the order of the document. */
  get routes(): string[] {
    return this.#operations.map(({ name }) => name);
  }

  check(answer: Answer): void {
    const [path] = answer.path.split('?', 1);
    // A literal path (`/batch`) comes before one with a parameter in its place.
    const candidates = this.#operations.filter(({ pattern }) => pattern.test(`${answer.method} ${path}`));
    const operation = candidates.find(({ name }) => !name.endsWith('}')) ?? candidates[0];
    if (!operation) return;
    const statuses = this.seen.get(operation.name) ?? new Set();
    this.seen.set(operation.name, statuses.add(answer.status));
    this.#lookInto(operation.name, answer.body?.data);
    const faults = [...faultsIn(answer, operation, this.#document), ...conventionFaults(answer.body, '')];
    if (faults.length > 0)
      throw new Error(`${operation.name} ${answer.status}: ${faults.join('; ')}\n${answer.text.slice(0, 2_000)}`);
  }

  #lookInto(list: string, data: unknown): void {
    if (!Array.isArray(data)) return;
    if (data.length > 0) this.#filledLists.add(list);
    if (this.#filledLists.has(list)) this.emptyLists.delete(list);
    else this.emptyLists.add(list);
  }
}

function faultsIn(answer: Answer, operation: Operation, document: Json): string[] {
  const documented = operation.responses[answer.status];
  if (!documented) return ['the status is not documented'];
  if (!documented.content) return answer.text === '' ? [] : ['a body where none is documented'];
  const type = answer.headers.get('content-type')?.split(';')[0] ?? 'none';
  const content = documented.content[type];
  if (!content) return [`the content type ${type} is not documented`];
  if (type === 'text/csv') return (content.schema as Json).type === 'string' ? [] : ['CSV is a text'];
  if (answer.body === undefined) return ['the body is no JSON'];
  return faultsOf(answer.body, content.schema, document);
}

/** Not of ours to give: W3C's, and a provider's own. */
const OTHERS_IDS = new Set(['trace_id', 'event_id']);

/** Money and ids are strings, times have milliseconds and end in Z, and `created_at` is the id's own millisecond. */
function conventionFaults(value: Json, at: string): string[] {
  if (typeof value !== 'object' || value === null) return [];
  // An event's id is its place in the log.
  const isEvent = 'occurred_at' in value && 'version' in value;
  const faults = Object.entries<Json>(value).flatMap(([name, inner]) => {
    if (name === 'metadata') return [];
    const here = at === '' ? name : `${at}.${name}`;
    const isNullOrMatches = (form: RegExp): boolean =>
      inner === null || (typeof inner === 'string' && form.test(inner));
    const isFault =
      (MONEY.has(name) && typeof inner !== 'object' && !isNullOrMatches(/^-?(0|[1-9][0-9]*)$/)) ||
      ((name === 'id' || /_id$/.test(name)) &&
        !OTHERS_IDS.has(name) &&
        !isNullOrMatches(isEvent ? PLACE : SNOWFLAKE)) ||
      ((/_at$/.test(name) || name === 'as_of') && !isNullOrMatches(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/));
    return [
      ...(isFault ? [`${here} breaks the conventions: ${JSON.stringify(inner)}`] : []),
      ...conventionFaults(inner, here),
    ];
  });
  if (typeof value.id === 'string' && typeof value.created_at === 'string') {
    const millisecond = snowflakeTimeMs(BigInt(value.id));
    if (Date.parse(value.created_at) !== millisecond) faults.push(`${at}.created_at is not the id's millisecond`);
  }
  return faults;
}
