import { randomFillSync } from 'node:crypto';

// One call of the random generator serves many requests: the call, not the bytes, is what costs.
const pool = Buffer.alloc(4_096);
let poolOffset = pool.length;

/** Random bytes as hex, never all zero in practice. */
export function randomHex(bytes: number): string {
  if (poolOffset + bytes > pool.length) {
    randomFillSync(pool);
    poolOffset = 0;
  }
  const text = pool.toString('hex', poolOffset, poolOffset + bytes);
  poolOffset += bytes;
  return text;
}
