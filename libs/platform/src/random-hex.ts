import { randomFillSync } from 'node:crypto';

// One call of the random generator, and one that writes hex, serve many requests: the calls, not the bytes, are what costs.
const bytesAtOnce = Buffer.alloc(4_096);
let pool = '';
let poolOffset = 0;

/** Random bytes as hex, never all zero in practice. */
export function randomHex(bytes: number): string {
  const digits = bytes * 2;
  if (poolOffset + digits > pool.length) {
    pool = randomFillSync(bytesAtOnce).toString('hex');
    poolOffset = 0;
  }
  const text = pool.slice(poolOffset, poolOffset + digits);
  poolOffset += digits;
  return text;
}
