import { expect } from 'vitest';
import { type CheckResult, verify } from '#platform/verify.js';
import { checksOf, ROOMS } from '../../apps/rooms.js';
import type { TestDatabase } from './database.js';

/** Every book of the database is right. Returns how many transactions there are. */
export async function expectVerified(on: TestDatabase): Promise<bigint> {
  const results = await verify(on.runtimeUrl, await checksOf(ROOMS));
  expect(offendersOf(results)).toEqual({});
  return results.find(({ name }) => name.startsWith('I1'))?.counted ?? 0n;
}

/** The checks that found something, with what they found. */
export function offendersOf(results: readonly CheckResult[]): Record<string, string[]> {
  return Object.fromEntries(
    results.flatMap(({ name, offenders }) => (offenders.length > 0 ? [[name, offenders]] : [])),
  );
}
