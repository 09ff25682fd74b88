import { hash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { LedgerError } from '#kernel/problem.js';
import type { Idempotency } from '#ledger/posting.js';

const VISIBLE_ASCII = /^[\x21-\x7e]{1,255}$/;

/**
 * The request's idempotency key and what makes it "the same request": method, path and canonical JSON body,
 * where no body is `{}`. Throws
 * `idempotency_key_required` or `idempotency_key_invalid`.
 */
export function idempotencyOf(request: FastifyRequest): Idempotency {
  const key = request.headers['idempotency-key'];
  if (key === undefined || key === '') {
    throw new LedgerError(
      'idempotency_key_required',
      'This request moves money: send an Idempotency-Key header, unique to the operation.',
    );
  }
  if (typeof key !== 'string' || !VISIBLE_ASCII.test(key)) {
    throw new LedgerError(
      'idempotency_key_invalid',
      'An Idempotency-Key is 1 to 255 visible ASCII characters, without spaces.',
    );
  }
  const [path] = request.url.split('?', 1);
  return {
    key,
    requestSha256: hash('sha256', `${request.method} ${path}\n${canonicalJson(request.body ?? {})}`, 'buffer'),
  };
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
