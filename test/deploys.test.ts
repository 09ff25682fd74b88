import { expect, test } from 'vitest';
import { DELAY_MS, type Ending, judgeDeploys } from './histories/deploys.js';
import type { Sent } from './histories/http.js';

const API = 'http://127.0.0.1:4000';
const STOPPED: Ending = { name: 'api-1', url: API, signal: 'SIGTERM', from: 1_000, to: 3_000 };
const KILLED: Ending = { ...STOPPED, signal: 'SIGKILL' };
const broken = (from: number, to: number): Sent => ({ url: `${API}/v1`, from, to, outcome: 'broken', error: 'reset' });
const found = (sent: Sent, ...endings: Ending[]): number => judgeDeploys([sent], endings).offences.length;

test('what an API breaks off that was told to stop is an offence, unless it was sent after its delay', () => {
  expect(found(broken(500, 1_200), STOPPED)).toBe(1);
  expect(found(broken(1_000 + DELAY_MS - 1, 2_900), STOPPED)).toBe(1);
  expect(found(broken(1_000 + DELAY_MS, 2_900), STOPPED)).toBe(0);
});

test('what an API breaks off that lives is an offence, and one that is killed may break everything off', () => {
  expect(found(broken(500, 900), STOPPED)).toBe(1);
  expect(found(broken(500, 1_200), KILLED)).toBe(0);
  expect(found(broken(500, 900), KILLED)).toBe(1);
  expect(found(broken(500, 900))).toBe(1);
  expect(found(broken(500, 1_200), { ...KILLED, url: 'http://127.0.0.1:4001' })).toBe(1);
});

test('the API that has the port of one that ended answers for itself', () => {
  expect(found(broken(3_100, 3_200), STOPPED)).toBe(1);
  expect(found(broken(4_000, 4_500), KILLED, { ...KILLED, from: 4_200, to: 4_300 })).toBe(0);
  // Whoever had it later is told of first.
  expect(found(broken(500, 1_200), { ...STOPPED, from: 8_000, to: 9_000 }, KILLED)).toBe(0);
});

test('what its client gave up says nothing; what an API answers while it stops is counted', () => {
  expect(found({ ...broken(500, 1_200), outcome: 'given up' }, STOPPED)).toBe(0);
  const answered = (from: number, to: number): Sent => ({ url: `${API}/v1`, from, to, outcome: 'answered' });
  const sent = [answered(500, 900), answered(500, 1_200), answered(1_100, 1_300), answered(3_100, 3_200)];
  expect(judgeDeploys(sent, [STOPPED])).toEqual({ answered: 2, offences: [] });
  expect(judgeDeploys(sent, [KILLED]).answered).toBe(0);
});
