import { describe, expect, it } from 'vitest';
import { finishInTurns } from '#platform/turns.js';
import { slowClock } from '../../../../test/support/slow-clock.js';
import type { Entry, Transaction } from '../posting/transaction.js';
import { type GroupWrites, groupParameters, newestStates, stateParameters } from './group-parameters.js';

const totals = { postedDebits: 1n, postedCredits: 1n, pendingDebits: 0n, pendingCredits: 0n };
const entry: Entry = {
  accountId: 1n,
  accountVersion: 1n,
  direction: 'debit',
  currency: 'EUR',
  posted: 1n,
  pending: 0n,
  ...totals,
};

function writesOf(transactions: number, entries: number): GroupWrites {
  const transaction = {
    id: 1n,
    kind: 'posted',
    type: 'x',
    amount: 1n,
    currency: 'EUR',
    effectiveAtMs: 0,
    ignoredFloor: false,
    entries: Array.from({ length: entries }, () => entry),
  } as unknown as Transaction;
  const written = Array.from({ length: transactions }, () => ({ merchantId: 1n, transaction }));
  return {
    token: 1n,
    transactions: written,
    balances: [],
    states: [],
    keys: [],
    events: [],
    timers: [],
    statements: [],
  };
}

/** How often others had their turn while the parameters were made, with a clock of which each look takes so long. */
async function turnsOf(writes: GroupWrites, lookMs: number): Promise<number> {
  const clock = slowClock(lookMs);
  let count = 0;
  let next = setImmediate(function turn() {
    count += 1;
    next = setImmediate(turn);
  });
  expect(await finishInTurns(groupParameters(writes))).toHaveLength(50);
  clearImmediate(next);
  clock.restore();
  return count;
}

describe('the parameters of a group', () => {
  it('are made with others in between, column by column, where that takes long', async () => {
    expect(await turnsOf(writesOf(1_000, 2), 1)).toBeGreaterThan(40);
  });

  it('are made at once where it does not', async () => {
    expect(await turnsOf(writesOf(1_000, 2), 0.01)).toBe(0);
  });
});

describe('the states of a group', () => {
  const stateOf = (merchantId: bigint, transactionId: bigint, remaining: bigint): GroupWrites['states'][number] => ({
    merchantId,
    transactionId,
    expiresAtMs: 1_000,
    value: { status: 'partially_posted', left: [remaining, remaining], remaining, reversed: 0n },
  });

  it('are those after the last command on each transaction', () => {
    const [first, last] = [stateOf(1n, 7n, 6n), stateOf(1n, 7n, 2n)];
    expect(newestStates([first, last])).toEqual([last]);
  });

  it('are of each transaction its own', () => {
    const rows = [stateOf(1n, 7n, 6n), stateOf(1n, 8n, 2n), stateOf(2n, 7n, 3n)];
    expect(newestStates([stateOf(1n, 7n, 9n), ...rows])).toEqual(rows);
    expect(stateParameters(rows)[0]?.readInt32BE(12)).toBe(3);
  });
});
