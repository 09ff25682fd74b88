import { createHash, hash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ProblemError, problemDocument } from '#kernel/problem.js';
import type { Refused } from '#ledger/posting/command.js';
import type { Answer, Answering, Idempotency } from '#platform/idempotency.js';
import { inTurns } from '#platform/turns.js';
import { type JsonText, jsonList } from './json-text.js';

const VISIBLE_ASCII = /^[\x21-\x7e]{1,255}$/;

/**
 * The request's Idempotency-Key, if it has one, and what makes it "the same request": method, path and canonical JSON body;
 * no body is `{}`. Throws `idempotency_key_invalid`.
 */
export function givenIdempotencyOf(request: FastifyRequest): Idempotency | undefined {
  const key = keyOf(request);
  if (key === undefined) return undefined;
  return { key, requestSha256: hash('sha256', `${headOf(request)}${canonicalJson(request.body ?? {})}`, 'buffer') };
}

/** The same where money moves. Throws `idempotency_key_required`, too. */
export function idempotencyOf(request: FastifyRequest): Idempotency {
  requireKey(request);
  return givenIdempotencyOf(request) as Idempotency;
}

/** The same for a body with a long list: others have their turn while it is hashed. */
export async function idempotencyInTurns(request: FastifyRequest): Promise<Idempotency> {
  requireKey(request);
  return (await givenIdempotencyInTurns(request)) as Idempotency;
}

/** The same where no key is required. */
export async function givenIdempotencyInTurns(request: FastifyRequest): Promise<Idempotency | undefined> {
  const key = keyOf(request);
  if (key === undefined) return undefined;
  const digest = createHash('sha256').update(headOf(request));
  const body = request.body as Record<string, unknown>;
  const names = Object.keys(body).sort();
  for (const [index, name] of names.entries()) {
    const value = body[name];
    digest.update(`${index === 0 ? '{' : ','}${JSON.stringify(name)}:`);
    if (!Array.isArray(value)) digest.update(canonicalJson(value));
    else {
      await inTurns(value, (item, at) => void digest.update(`${at === 0 ? '[' : ','}${canonicalJson(item)}`));
      digest.update(value.length === 0 ? '[]' : ']');
    }
  }
  return { key, requestSha256: digest.update(names.length === 0 ? '{}' : '}').digest() };
}

/** The same for a body that is still to come: what makes it the same request is its query and the digest of what it brings. */
export function streamedIdempotency(request: FastifyRequest): {
  key: string | undefined;
  digestOf: (bodySha256: Buffer) => Buffer;
} {
  const head = `${headOf(request)}${canonicalJson(request.query)}\n`;
  const digestOf = (bodySha256: Buffer) => createHash('sha256').update(head).update(bodySha256).digest();
  return { key: keyOf(request), digestOf };
}

/** And for such a route where nothing is to come. */
export function emptyBodyIdempotencyOf(request: FastifyRequest): Idempotency | undefined {
  const { key, digestOf } = streamedIdempotency(request);
  return key === undefined ? undefined : { key, requestSha256: digestOf(createHash('sha256').digest()) };
}

function keyOf(request: FastifyRequest): string | undefined {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key === 'string' && VISIBLE_ASCII.test(key)) return key;
  throw new ProblemError(
    'idempotency_key_invalid',
    'An Idempotency-Key is 1 to 255 visible ASCII characters, without spaces.',
  );
}

function headOf(request: FastifyRequest): string {
  return `${request.method} ${request.url.split('?', 1)[0]}\n`;
}

/** An empty one is none where one is required. */
function requireKey(request: FastifyRequest): void {
  if (request.headers['idempotency-key']) return;
  throw new ProblemError(
    'idempotency_key_required',
    'This request moves money: send an Idempotency-Key header, unique to the operation.',
  );
}

/** How a POST that moves no money is answered, and what is kept of that with its key. */
export function answering<T>(
  request: FastifyRequest,
  status: number,
  bodyOf: (result: T) => { body: object; kept?: object },
): Answering<T> {
  return { idempotency: givenIdempotencyOf(request), status, bodyOf };
}

/** Sends what was decided, or kept from an earlier request. */
export function send(reply: FastifyReply, { status, body, replayed }: Answer): object {
  if (replayed) reply.header('Idempotent-Replayed', 'true');
  if (status >= 400) reply.header('content-type', 'application/problem+json');
  reply.status(status);
  return body;
}

/** `{"<name>": [<body of each item>]}`, written a few items at a time: an answer may have many megabytes. */
export async function listInTurns<T>(
  name: string,
  items: readonly T[],
  bodyOf: (item: T) => object,
): Promise<JsonText> {
  const texts: string[] = [];
  await inTurns(items, (item) => void texts.push(JSON.stringify(bodyOf(item))));
  return jsonList(name, texts);
}

/** Sends a refusal as it was first told. */
export function refuse(reply: FastifyReply, refusal: Refused): object {
  const body = problemDocument(refusal);
  return send(reply, { status: body.status, body, replayed: false });
}

/** JSON with sorted keys and no white space. `value` came out of JSON.parse, so it has no cycles and bounded depth. */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const record = value as Record<string, unknown>;
  const members = Object.keys(record)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(record[key])}`);
  return `{${members.join(',')}}`;
}
