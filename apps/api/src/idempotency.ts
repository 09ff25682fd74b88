import { hash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { LedgerError, problemDocument } from '#kernel/problem.js';
import type { Refusal } from '#ledger/submission.js';
import type { Answer, Answering, Idempotency } from '#platform/idempotency.js';

const VISIBLE_ASCII = /^[\x21-\x7e]{1,255}$/;

/**
 * The request's Idempotency-Key, if it has one, and what makes it "the same request": method, path and canonical JSON body;
 * no body is `{}`. Throws `idempotency_key_invalid`.
 */
export function givenIdempotencyOf(request: FastifyRequest): Idempotency | undefined {
  const key = request.headers['idempotency-key'];
  if (key === undefined || key === '') return undefined;
  if (typeof key !== 'string' || !VISIBLE_ASCII.test(key)) {
    throw new LedgerError(
      'idempotency_key_invalid',
      'An Idempotency-Key is 1 to 255 visible ASCII characters, without spaces.',
    );
  }
  const [path] = request.url.split('?', 1);
  const digest = hash('sha256', `${request.method} ${path}\n${canonicalJson(request.body ?? {})}`, 'buffer');
  return { key, requestSha256: digest };
}

/** The same where money moves. Throws `idempotency_key_required`, too. */
export function idempotencyOf(request: FastifyRequest): Idempotency {
  const idempotency = givenIdempotencyOf(request);
  if (idempotency) return idempotency;
  throw new LedgerError(
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

/** Sends a refusal as it was first told. */
export function refuse(reply: FastifyReply, refusal: Refusal): object {
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
