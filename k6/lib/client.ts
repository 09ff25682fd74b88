import { type Answer, type Expected, jsonOf, type Kind, kindOf } from './contract.ts';

/** A client as one should be: what came to nothing, or may have, it sends again with the same key. Without k6. */
export interface Request {
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly path: string;
  /** What metrics call it. */
  readonly name: string;
  /** API key. */
  readonly key: string;
  readonly idempotencyKey?: string;
  readonly body?: object;
}

/** What carries requests, and is told what came of each. */
export interface World {
  send(request: Request): Promise<Answer>;
  pause(ms: number): Promise<void>;
  heard(request: Request, answer: Answer, kind: Kind): void;
}

export interface Told {
  readonly kind: Kind;
  readonly answer: Answer;
}

/** Longer than any deadline of the service. */
const ATTEMPTS = 20;
const LONGEST_PAUSE_MS = 1_000;
const PAUSE_STEP_MS = 50;

export async function askOnce(world: World, request: Request, expected: Expected): Promise<Told> {
  const answer = await world.send(request);
  const kind = kindOf(answer, expected);
  world.heard(request, answer, kind);
  return { kind, answer };
}

/** Until the answer is definite; `ambiguous` or `limited` only where it never was. */
export async function ask(world: World, request: Request, expected: Expected, attempts = ATTEMPTS): Promise<Told> {
  let told = await askOnce(world, request, expected);
  for (let n = 1; (told.kind === 'ambiguous' || told.kind === 'limited') && n < attempts; n += 1) {
    await world.pause(Math.min(PAUSE_STEP_MS * n, LONGEST_PAUSE_MS));
    told = await askOnce(world, request, expected);
  }
  return told;
}

/** For what a run cannot go on without. */
export async function need<T>(world: World, request: Request, status = 200): Promise<T> {
  const { kind, answer } = await ask(world, request, { status });
  const body = jsonOf<T>(answer.body);
  if (kind !== 'done' || body === undefined)
    throw new Error(`${request.method} ${request.path} was answered ${answer.status}: ${answer.body.slice(0, 500)}`);
  return body;
}

export function get<T>(world: World, key: string, path: string): Promise<T> {
  return need<T>(world, { method: 'GET', path, key, name: nameOf('GET', path) });
}

/** `GET /accounts/{id}/balance` of a path with its ids and its query. */
export function nameOf(method: string, path: string): string {
  const route = path.split('?', 1)[0] ?? '';
  return `${method} ${route.replace(/^\/v1/, '').replace(/\/\d{5,}/g, '/{id}')}`;
}

interface Page<Item> {
  readonly data: Item[];
  readonly has_more: boolean;
  readonly next_cursor: string | null;
}

/** All of a list; `from` is the name of its cursor. */
export async function all<Item>(world: World, key: string, path: string, from = 'cursor'): Promise<Item[]> {
  const items: Item[] = [];
  for (let at = path; ; ) {
    const page = await get<Page<Item>>(world, key, at);
    items.push(...page.data);
    if (!page.has_more) return items;
    at = `${path}&${from}=${page.next_cursor}`;
  }
}
