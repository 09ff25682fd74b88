import { expect, test } from 'vitest';
import { Duty } from './duty.js';
import type { Logger } from './logging.js';

/** What a duty with these rounds logs: `warn` or `error` for each that fails. */
async function levels(rounds: readonly ('fails' | 'works')[]): Promise<string[]> {
  const logged: string[] = [];
  const logger = { warn: () => logged.push('warn'), error: () => logged.push('error') } as unknown as Logger;
  const ended = Promise.withResolvers<void>();
  let next = 0;
  const round = async (): Promise<void> => {
    const how = rounds[next++];
    if (how === undefined) ended.resolve();
    if (how === 'fails') throw new Error('not now');
  };
  const duty = new Duty({ name: 'tried', intervalMs: 1, round, logger }).start();
  await ended.promise;
  await duty.stop();
  return logged;
}

test('a round that a later one makes good is a warning', async () => {
  expect(await levels(['fails', 'works', 'fails', 'fails', 'works', 'fails'])).toEqual(Array(4).fill('warn'));
});

test('a round comes sooner than its interval when the one before says so', async () => {
  const logger = { warn: () => undefined, error: () => undefined } as unknown as Logger;
  const ended = Promise.withResolvers<void>();
  let rounds = 0;
  const round = async (): Promise<void> => {
    rounds += 1;
    if (rounds === 3) ended.resolve();
  };
  // Without the first of them the next round would come in an hour.
  const nextInMs = () => (rounds < 3 ? 1 : undefined);
  const duty = new Duty({ name: 'tried', intervalMs: 3_600_000, nextInMs, round, logger }).start();
  await ended.promise;
  await duty.stop();
  expect(rounds).toBe(3);
});

test('a failure that persists is an error', async () => {
  expect(await levels(['fails', 'fails', 'fails', 'fails'])).toEqual(['warn', 'warn', 'error', 'error']);
});
