import { hash } from 'node:crypto';

/** 16 bytes as 32 hexadecimal digits: half of a SHA-256 is more than enough, and PostgreSQL compares it as a uuid. */
export function identityOf(parts: readonly string[]): string {
  return hash('sha256', parts.join('\0'), 'hex').slice(0, 32);
}
