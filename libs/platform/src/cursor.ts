import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import { invalid } from '#kernel/problem.js';

/** Half of SHA-256: 128 bits are beyond guessing online, and keep cursors short. */
const TAG_BYTES = 16;
const MAX_CURSOR_LENGTH = 1_024;

/**
 * Opaque list cursors: base64url of a tag (HMAC-SHA-256 over scope and position, cut to 128 bits) and the position. The
 * scope (tenant, route and filters, see `cursorScope`) is not in the cursor; a cursor of another list fails its tag.
 */
export class CursorCodec {
  readonly #secret: KeyObject;

  constructor(secret: string) {
    this.#secret = createSecretKey(secret, 'utf8');
  }

  /** `position` is what the next page's key comparison needs, such as an id. */
  encode(scope: string, position: string): string {
    return Buffer.concat([this.#tag(scope, position), Buffer.from(position)]).toString('base64url');
  }

  /** Throws `validation_failed` at `parameter` for anything that this list did not hand out. */
  decode(scope: string, cursor: string, parameter = 'cursor'): string {
    const bytes = cursor.length <= MAX_CURSOR_LENGTH ? Buffer.from(cursor, 'base64url') : Buffer.alloc(0);
    const position = bytes.subarray(TAG_BYTES).toString();
    // Re-encoding catches characters that the decoder skips, so that one list position has one cursor.
    const intact =
      bytes.length > TAG_BYTES &&
      timingSafeEqual(bytes.subarray(0, TAG_BYTES), this.#tag(scope, position)) &&
      bytes.toString('base64url') === cursor;
    if (!intact) throw invalid(parameter, 'is not a cursor of this list with these filters');
    return position;
  }

  #tag(scope: string, position: string): Buffer {
    return createHmac('sha256', this.#secret)
      .update(scope)
      .update('\0')
      .update(position)
      .digest()
      .subarray(0, TAG_BYTES);
  }
}

/** One string per tenant, route and filters; bigint filters are told as digits, absent ones not at all. */
export function cursorScope(tenant: bigint | 'platform', route: string, filters: Record<string, unknown> = {}): string {
  const given = Object.keys(filters)
    .filter((name) => filters[name] !== undefined)
    .sort()
    .map((name) => [name, String(filters[name])]);
  return JSON.stringify([String(tenant), route, given]);
}
