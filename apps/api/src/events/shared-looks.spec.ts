import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { SharedLooks } from './shared-looks.js';

it('shares a look at one place with those who look there in the same turn, and with nobody else', async () => {
  const looks = new SharedLooks<number>();
  let reads = 0;
  const read = async () => {
    reads += 1;
    return reads;
  };
  expect(await Promise.all([looks.look('a', read), looks.look('b', read), looks.look('a', read)])).toEqual([1, 2, 1]);
  // Those who were woken together come by way of a few promises.
  expect(await looks.look('b', read)).toBe(2);
  await setImmediate();
  expect(await looks.look('a', read)).toBe(3);
});

it('tells all who share a look what it failed of, and looks again for the next', async () => {
  const looks = new SharedLooks<number>();
  const failing = () => Promise.reject(new Error('the database has gone'));
  const both = [looks.look('a', failing), looks.look('a', failing)];
  for (const one of both) await expect(one).rejects.toThrow('the database has gone');
  await setImmediate();
  expect(await looks.look('a', async () => 1)).toBe(1);
});
