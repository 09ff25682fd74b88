import { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { UnsentAnswers } from './held-bytes.js';

const [ONE, TWO] = [1n, 2n];
let unsent: UnsentAnswers;

beforeEach(() => {
  unsent = new UnsentAnswers({ bytes: 100, merchantBytes: 60, timeoutMs: 60_000 });
});
afterEach(() => unsent.stop());

const keep = (merchantId: bigint | undefined, bytes: number) => unsent.add(new Socket(), merchantId, bytes);
const isRefused = (merchantId: bigint | undefined, bytes: number) => unsent.refusal(merchantId, bytes) !== undefined;

describe('an answer', () => {
  it('is kept up to what is allowed to its merchant, and to all of them together', () => {
    keep(ONE, 50);
    expect([isRefused(ONE, 10), isRefused(ONE, 11)]).toEqual([false, true]);
    keep(TWO, 40);
    expect([isRefused(TWO, 10), isRefused(TWO, 11)]).toEqual([false, true]);
  });

  it('is kept for who has none yet, however large it is and whatever the others hold', () => {
    expect(isRefused(ONE, 1_000)).toBe(false);
    keep(ONE, 1_000);
    expect([isRefused(ONE, 1), isRefused(TWO, 1_000)]).toEqual([true, false]);
  });

  it('makes room once it was taken, and only once', () => {
    const [first, second] = [keep(ONE, 50), keep(ONE, 10)];
    first();
    first();
    expect([unsent.bytes, isRefused(ONE, 50), isRefused(ONE, 51)]).toEqual([10, false, true]);
    second();
    expect(unsent.bytes).toBe(0);
  });

  it('of callers without a merchant shares one allowance', () => {
    keep(undefined, 60);
    expect([isRefused(undefined, 1), isRefused(ONE, 40)]).toEqual([true, false]);
  });
});
