import { createHash } from 'node:crypto';
import { type Span, trace } from '@opentelemetry/api';
import { beforeEach, describe, expect, it } from 'vitest';
import { firstSnowflakeAt, SnowflakeRefused, snowflakeTimeMs } from '#kernel/snowflake.js';
import { CASH, FEES, MERCHANT, NEIGHBOUR, PAYABLE, Rows } from '../../../../test/support/group-rows.js';
import { START_MS } from '../../../../test/support/memory-book.js';
import { ACCOUNT_STATUS } from '../accounts/account-status.js';
import type { Decision, EntryRequest, Post } from '../posting/command.js';
import { refuse } from '../posting/entries.js';
import { costOf, type Failed, touchedBy } from './group.js';
import type { Outcome, Submission, SubmittedCommand } from './group-extension.js';
import { type Answered, extended, type GroupExtension, type GroupTurn } from './group-extension.js';
import type { TenantId } from './group-store.js';

/** Issued half a second ahead of the clock here. */
const FOREIGN_ID = firstSnowflakeAt(START_MS + 500) + 77n;
const TRACED: Span = trace.wrapSpanContext({ traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: 1 });
const TRACEPARENT = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;

let rows: Rows;
beforeEach(() => {
  rows = new Rows();
});

function entry(direction: 'debit' | 'credit', accountId: bigint, amount: bigint): EntryRequest {
  return { accountId, direction, amount, currency: 'EUR' };
}

function transfer(from: bigint, to: bigint, amount: bigint, pending = false): SubmittedCommand {
  return {
    kind: 'post',
    pending,
    type: 'transfer',
    entries: [entry('debit', from, amount), entry('credit', to, amount)],
  };
}

const fund = (amount: bigint): SubmittedCommand => transfer(CASH, PAYABLE, amount);
const spend = (amount: bigint): SubmittedCommand => transfer(PAYABLE, FEES, amount);
const close = (accountId: bigint) => extended(ACCOUNT_STATUS, { kind: 'close', accountId });
const reopen = (accountId: bigint) => extended(ACCOUNT_STATUS, { kind: 'reopen', accountId });

function withKey(key: string, body = 'the same'): Pick<Submission, 'idempotency'> {
  return { idempotency: { key, requestSha256: createHash('sha256').update(body).digest() } };
}

function decisionsOf(outcome: Outcome | Failed | undefined): readonly (Decision | Answered)[] {
  if (outcome?.kind !== 'decided') throw new Error(`the outcome is ${outcome?.kind}`);
  return outcome.decisions;
}

function transactionOf(outcome: Outcome | Failed | undefined) {
  const [decision] = decisionsOf(outcome);
  if (!decision?.accepted || !('transaction' in decision)) throw new Error('no transaction');
  return decision.transaction;
}

/** `accepted`, or the code of the refusal, of each command. */
function verdicts(outcome: Outcome | Failed | undefined): string[] {
  return decisionsOf(outcome).map((decision) => (decision.accepted ? 'accepted' : decision.code));
}

function availableOf(merchantId: bigint): bigint {
  const balance = rows.book(merchantId).balances.get(PAYABLE);
  if (!balance) throw new Error('no balance');
  return balance.postedCredits - balance.postedDebits - balance.pendingDebits;
}

describe('what a submission costs its group', () => {
  const wide: SubmittedCommand = {
    kind: 'post',
    pending: false,
    type: 'split',
    entries: [...Array(9)].map(() => entry('debit', CASH, 1n)),
  };
  const unread = refuse('validation_failed', 'It could not be read.');

  it.each([
    ['a transfer', [fund(1n)], 1],
    ['each of a batch', [fund(1n), fund(2n), spend(1n)], 3],
    ['the entries of a wide one, in twos', [wide], 5],
    ['what could not be read, all the same', [unread, unread], 2],
    ['what an extension may touch, once', [close(CASH), close(PAYABLE)], 2],
    ['both', [close(CASH), wide], 6],
  ])('%s', (_, commands, cost) => {
    expect(costOf(rows.submission(commands))).toBe(cost);
  });
});

describe('what a group touches', () => {
  it('comes once each and in one order: merchants ascending, then ids', () => {
    const accounts = (ids: bigint[]) =>
      new Map(ids.map((id) => [id, rows.book(MERCHANT).account(CASH)])) as Submission['accounts'];
    const parents = (ids: bigint[]) => new Map(ids.map((id) => [id, {}])) as unknown as Submission['parents'];
    const some = (merchantId: bigint, accountIds: bigint[], parentIds: bigint[], key: string): Submission => ({
      ...rows.submission([fund(1n)]),
      merchantId,
      accounts: accounts(accountIds),
      parents: parents(parentIds),
      ...withKey(key),
    });
    const touched = touchedBy([
      some(20n, [30n, 4n], [9n], 'b'),
      some(3n, [100n, 20n], [], 'c'),
      some(20n, [4n, 5n], [10n, 9n], 'a'),
    ]);
    const rowsOf = (pairs: [bigint, bigint][]): TenantId[] => pairs.map(([merchantId, id]) => ({ merchantId, id }));
    // As text, 100 would come before 20 and 30 before 4: another group might lock the other way round.
    expect(touched.accounts).toEqual(
      rowsOf([
        [3n, 20n],
        [3n, 100n],
        [20n, 4n],
        [20n, 5n],
        [20n, 30n],
      ]),
    );
    expect(touched.parents).toEqual(
      rowsOf([
        [20n, 9n],
        [20n, 10n],
      ]),
    );
    expect(touched.merchantIds).toEqual([3n, 20n]);
    expect(touched.keys).toEqual([
      { merchantId: 20n, key: 'b' },
      { merchantId: 3n, key: 'c' },
      { merchantId: 20n, key: 'a' },
    ]);
  });
});

describe('a group', () => {
  it('lets each command see what the ones before it did', () => {
    const { outcomes, writes } = rows.run(
      rows.submission([fund(100n)]),
      rows.submission([spend(70n)]),
      rows.submission([spend(40n)]),
      rows.submission([spend(30n)]),
    );
    expect(outcomes.flatMap(verdicts)).toEqual(['accepted', 'accepted', 'insufficient_funds', 'accepted']);
    expect(writes?.transactions.length).toBe(3);
    expect(writes?.balances.length).toBe(3);
    expect(rows.book(MERCHANT).balances.get(PAYABLE)).toMatchObject({
      version: 3n,
      postedDebits: 100n,
      postedCredits: 100n,
    });
  });

  it('keeps merchants apart, though their accounts have the same ids', () => {
    rows.run(rows.submission([fund(100n)]), rows.submission([fund(5n)], { merchantId: NEIGHBOUR }));
    const { outcomes } = rows.run(
      rows.submission([spend(6n)], { merchantId: NEIGHBOUR }),
      rows.submission([spend(100n)]),
      rows.submission([spend(5n)], { merchantId: NEIGHBOUR }),
    );
    expect(outcomes.flatMap(verdicts)).toEqual(['insufficient_funds', 'accepted', 'accepted']);
    expect([availableOf(MERCHANT), availableOf(NEIGHBOUR)]).toEqual([0n, 0n]);
  });

  it('does not see accounts that its submission did not resolve', () => {
    const { outcomes } = rows.run(rows.submission([fund(1n)]), rows.submission([fund(1n)], { accounts: new Map() }));
    expect(outcomes.flatMap(verdicts)).toEqual(['accepted', 'not_found']);
  });

  it('refuses what names an account without a balance', () => {
    const { outcomes } = rows.run(rows.submission([transfer(CASH, 99n, 1n)]));
    expect(outcomes.flatMap(verdicts)).toEqual(['not_found']);
  });

  it('carries where a hold stands from one capture to the next', () => {
    const hold = transactionOf(
      rows.run(rows.submission([fund(100n)]), rows.submission([transfer(PAYABLE, FEES, 100n, true)])).outcomes[1],
    );
    const capture = (amount: bigint): SubmittedCommand => ({
      kind: 'capture',
      parentId: hold.id,
      amount,
      final: false,
    });
    const { outcomes, writes } = rows.run(
      rows.submission([capture(60n)]),
      rows.submission([capture(60n)]),
      rows.submission([capture(40n), capture(1n)], { mode: 'independent' }),
    );
    expect(outcomes.flatMap(verdicts)).toEqual(['accepted', 'amount_exceeds_remaining', 'accepted', 'not_pending']);
    expect(writes?.states.at(-1)?.value).toMatchObject({ status: 'posted', remaining: 0n, reversed: 0n });
    expect(rows.book(MERCHANT).states.get(hold.id)?.status).toBe('posted');
    expect(rows.run(rows.submission([capture(1n)])).outcomes.flatMap(verdicts)).toEqual(['not_pending']);
  });

  it('carries what is reversed from one reversal to the next', () => {
    const posted = transactionOf(rows.run(rows.submission([fund(100n)])).outcomes[0]);
    const reverse: SubmittedCommand = { kind: 'reverse', parentId: posted.id };
    const { outcomes } = rows.run(rows.submission([reverse]), rows.submission([reverse]));
    expect(outcomes.flatMap(verdicts)).toEqual(['accepted', 'already_reversed']);
  });

  it.each([
    ['first', CASH],
    ['last', PAYABLE],
  ])(
    'has ids that ascend along each account, past one that a faster clock issued on the %s of its entries',
    (_, accountId) => {
      rows.lastOf(accountId, FOREIGN_ID);
      const { outcomes } = rows.run(rows.submission([fund(1n)]), rows.submission([fund(1n)]));
      const [first, second] = outcomes.map((outcome) => transactionOf(outcome).id) as [bigint, bigint];
      expect(first).toBeGreaterThan(FOREIGN_ID);
      expect(second).toBeGreaterThan(first);
    },
  );

  it.each(['capture', 'reverse'] as const)(
    'has an id for a %s that exceeds those of the accounts of its parent',
    (kind) => {
      const pending = kind === 'capture';
      const parent = transactionOf(rows.run(rows.submission([transfer(CASH, FEES, 5n, pending)])).outcomes[0]);
      const foreign = parent.id + (300n << 22n);
      rows.lastOf(FEES, foreign);
      const command: SubmittedCommand =
        kind === 'capture' ? { kind, parentId: parent.id, final: true } : { kind, parentId: parent.id };
      expect(transactionOf(rows.run(rows.submission([command])).outcomes[0]).id).toBeGreaterThan(foreign);
    },
  );

  it('is not decided at all when no id can be issued', () => {
    rows.lease.untilMs = 0;
    expect(() => rows.run(rows.submission([fund(1n)]))).toThrow(SnowflakeRefused);
  });

  it('of refusals without keys writes nothing', () => {
    const { outcomes, writes } = rows.run(rows.submission([spend(1n)]));
    expect(outcomes.flatMap(verdicts)).toEqual(['insufficient_funds']);
    expect(writes).toBeUndefined();
  });

  it('that closes an account writes its balance and an event, but no transaction', () => {
    const { writes } = rows.run(rows.submission([close(FEES)]));
    expect(writes?.transactions).toEqual([]);
    expect(writes?.balances).toMatchObject([
      { merchantId: MERCHANT, accountId: FEES, balance: { closed: true, version: 0n } },
    ]);
    expect(writes?.events).toMatchObject([
      { merchantId: MERCHANT, type: 'account.closed', data: '{"account_id":"3"}' },
    ]);
    expect(rows.run(rows.submission([transfer(CASH, FEES, 1n)])).outcomes.flatMap(verdicts)).toEqual([
      'account_closed',
    ]);
  });

  it('that closes or reopens an account tells so, and dates it after the account’s newest transaction', () => {
    rows.lastOf(FEES, FOREIGN_ID);
    const closed = rows.run(rows.submission([close(FEES)])).writes?.events[0];
    const later = FOREIGN_ID + (400n << 22n);
    rows.lastOf(FEES, later);
    const reopened = rows.run(rows.submission([reopen(FEES)])).writes?.events[0];
    expect([closed?.type, reopened?.type]).toEqual(['account.closed', 'account.reopened']);
    expect(closed?.occurredAtMs).toBeGreaterThanOrEqual(snowflakeTimeMs(FOREIGN_ID));
    expect(reopened?.occurredAtMs).toBeGreaterThanOrEqual(snowflakeTimeMs(later));
  });
});

describe('a command of an extension', () => {
  type Part = { amount: bigint; fails?: 'refuses' | 'throws' };
  /** Funds, and counts what it has funded from what it looked up on. */
  const counter: GroupExtension<Part, bigint, bigint> = {
    name: 'counter',
    lookUp: {
      text: '',
      values: () => [],
      known: (row) => ({ merchantId: MERCHANT, key: 'sum', value: row.sum as bigint }),
    },
    decide({ amount, fails }: Part, turn: GroupTurn<bigint, bigint>) {
      const sum = (turn.known('sum') ?? 0n) + amount;
      turn.learn('sum', sum);
      turn.post(fund(amount) as Post);
      turn.write(sum);
      if (fails === 'throws') throw new Error('thrown');
      return fails ? refuse('condition_failed', 'no') : { status: 202, response: `"${sum}"` };
    },
    write: { text: 'write', values: (sums) => [...sums] },
  };
  const count = (amount: bigint, fails?: Part['fails']) => extended(counter, { amount, ...(fails && { fails }) });

  it('sees what was looked up and what the group made of it, and answers with what is kept with its key', () => {
    rows.found.push({ sum: 10n });
    const { outcomes, writes } = rows.run(
      rows.submission([count(1n)], withKey('k')),
      rows.submission([count(2n)], withKey('l')),
      rows.submission([count(2n)], withKey('l')),
    );
    expect(writes?.statements).toEqual([{ text: 'write', values: [11n, 13n] }]);
    expect(writes?.keys).toMatchObject([
      { key: 'k', status: 202, response: '"11"', transactionId: null },
      { key: 'l', response: '"13"' },
    ]);
    expect(outcomes[2]).toEqual({ kind: 'replayed', status: 202, response: '"13"', transactionId: null });
    const ids = writes?.transactions.map(({ transaction }) => transaction.id) ?? [];
    expect(decisionsOf(outcomes[0])).toEqual([
      { accepted: true, status: 202, response: '"11"', transactionIds: ids.slice(0, 1) },
    ]);
  });

  it.each(['refuses', 'throws'] as const)('that %s leaves nothing, and takes nobody with it', (fails) => {
    const { outcomes, writes } = rows.run(
      rows.submission([count(1n)]),
      rows.submission([count(4n), count(8n, fails)], { mode: 'atomic', ...withKey('k') }),
      rows.submission([count(2n)]),
    );
    expect(outcomes.map(({ kind }) => kind)).toEqual(['decided', fails === 'throws' ? 'failed' : 'decided', 'decided']);
    expect(writes?.statements).toEqual([{ text: 'write', values: [1n, 3n] }]);
    expect(writes?.transactions).toHaveLength(2);
    expect(writes?.events).toHaveLength(2);
    expect(writes?.keys).toHaveLength(fails === 'throws' ? 0 : 1);
    expect(availableOf(MERCHANT)).toBe(3n);
  });

  it('stands in its place in an independent batch, each for itself', () => {
    const commands = [count(1n), count(8n, 'refuses'), count(2n)];
    const { writes } = rows.run(rows.submission(commands, { mode: 'independent', ...withKey('k') }));
    expect(writes?.statements).toEqual([{ text: 'write', values: [1n, 3n] }]);
    expect(JSON.parse(writes?.keys[0]?.response ?? '')).toEqual(['1', { code: 'condition_failed', detail: 'no' }, '3']);
  });

  it('knows what is of its own merchant alone', () => {
    rows.found.push({ sum: 10n });
    const { writes } = rows.run(
      rows.submission([count(1n)]),
      rows.submission([count(2n)], { merchantId: NEIGHBOUR }),
      rows.submission([count(4n)], { merchantId: NEIGHBOUR }),
      rows.submission([count(8n)]),
    );
    expect(writes?.statements).toEqual([{ text: 'write', values: [11n, 2n, 6n, 19n] }]);
  });

  it('may do nothing but tell an event, which carries the trace of its request', () => {
    const told = { type: 'webhook_endpoint.deleted', data: { endpoint_id: '1' }, occurredAtMs: 0 } as const;
    const teller: GroupExtension<string> = {
      name: 'teller',
      decide: (response: string, turn: GroupTurn) => {
        turn.emit(told);
        return { status: 200, response };
      },
    };
    const { writes } = rows.run(rows.submission([extended(teller, '{}')], { span: TRACED }));
    expect(writes?.events).toMatchObject([{ merchantId: MERCHANT, type: told.type, traceContext: TRACEPARENT }]);
    expect([writes?.balances, writes?.transactions]).toEqual([[], []]);
  });

  it('that has a row and no statement to write it commits nothing', () => {
    const { write: _without, ...mute } = counter;
    expect(() => rows.run(rows.submission([extended(mute, { amount: 1n })]))).toThrow(/counter has rows/);
  });
});

describe('an idempotency key', () => {
  it('answers a second request with the first one’s transaction, and writes nothing', () => {
    const first = transactionOf(rows.run(rows.submission([fund(100n)], withKey('k'))).outcomes[0]);
    const again = rows.run(rows.submission([fund(100n)], withKey('k')));
    expect(again.outcomes).toEqual([{ kind: 'replayed', status: 201, transactionId: first.id, response: null }]);
    expect(again.writes).toBeUndefined();
    expect(availableOf(MERCHANT)).toBe(100n);
  });

  it('answers a second request of the same group alike', () => {
    const { outcomes, writes } = rows.run(
      rows.submission([fund(100n)], withKey('k')),
      rows.submission([fund(100n)], withKey('k')),
      rows.submission([fund(7n)], withKey('k', 'another')),
    );
    const first = transactionOf(outcomes[0]);
    expect(outcomes[1]).toEqual({ kind: 'replayed', status: 201, transactionId: first.id, response: null });
    expect(outcomes[2]).toMatchObject({ kind: 'key_reused', refused: { code: 'idempotency_key_reused' } });
    expect(writes?.keys.length).toBe(1);
    expect(availableOf(MERCHANT)).toBe(100n);
  });

  it('of another request is reused, and nothing happens', () => {
    rows.run(rows.submission([fund(100n)], withKey('k')));
    const { outcomes, writes } = rows.run(rows.submission([fund(99n)], withKey('k', 'another')));
    expect(outcomes).toMatchObject([{ kind: 'key_reused', refused: { code: 'idempotency_key_reused' } }]);
    expect(writes).toBeUndefined();
  });

  it('belongs to its merchant alone', () => {
    rows.run(rows.submission([fund(100n)], withKey('k')));
    const { outcomes } = rows.run(
      rows.submission([fund(100n)], withKey('k')),
      rows.submission([fund(100n)], { merchantId: NEIGHBOUR, ...withKey('k') }),
    );
    expect(outcomes.map((outcome) => outcome.kind)).toEqual(['replayed', 'decided']);
    expect(rows.keys.size).toBe(2);
    expect([availableOf(MERCHANT), availableOf(NEIGHBOUR)]).toEqual([100n, 100n]);
  });

  it('keeps a refusal by the ledger, even when the same request would succeed by now', () => {
    const { writes } = rows.run(rows.submission([spend(5n)], withKey('k')));
    expect(writes?.transactions).toEqual([]);
    expect(writes?.balances).toEqual([]);
    rows.run(rows.submission([fund(100n)]));
    const [outcome] = rows.run(rows.submission([spend(5n)], withKey('k'))).outcomes;
    if (outcome?.kind !== 'replayed') throw new Error('not replayed');
    expect([outcome.status, outcome.transactionId]).toEqual([422, null]);
    expect(JSON.parse(outcome.response ?? '')).toEqual({
      code: 'insufficient_funds',
      detail: 'entries.0: the available balance of account payable:EUR would be -5, below its floor of 0.',
      errors: [{ path: 'entries.0', message: expect.stringContaining('would be -5') }],
    });
  });

  it('of an account’s closing is answered with the account, whatever has become of it', () => {
    const closing = (): Submission => rows.submission([close(FEES)], withKey('k'));
    expect(rows.run(closing()).writes?.keys).toMatchObject([{ merchantId: MERCHANT, key: 'k' }]);
    rows.run(rows.submission([reopen(FEES)]));
    expect(rows.run(closing()).outcomes).toEqual([
      { kind: 'replayed', status: 200, transactionId: null, response: '{}' },
    ]);
  });

  it.each([
    ['forbidden', { accepted: false, code: 'forbidden', detail: 'no', errors: undefined }],
    ['not_found', { kind: 'void', parentId: 99n }],
    ['validation_failed', { kind: 'reverse', parentId: 0n, amount: 1n }],
  ] as const)('is not burnt by %s', (code, command) => {
    const several = {
      ...fund(3n),
      entries: [entry('debit', CASH, 3n), entry('credit', FEES, 1n), entry('credit', FEES, 2n)],
    } as SubmittedCommand;
    const { id } = transactionOf(rows.run(rows.submission([several])).outcomes[0]);
    const resolved: SubmittedCommand =
      'kind' in command && command.kind === 'reverse' ? { ...command, parentId: id } : command;
    const { outcomes, writes } = rows.run(rows.submission([resolved], withKey('k')));
    expect(outcomes.flatMap(verdicts)).toEqual([code]);
    expect(writes).toBeUndefined();
    expect(rows.run(rows.submission([fund(1n)], withKey('k', 'corrected'))).outcomes.flatMap(verdicts)).toEqual([
      'accepted',
    ]);
  });

  it.each([
    [409, 'not_pending', 'void'],
    [409, 'invalid_transition', 'reverse'],
  ] as const)('keeps status %i of %s', (status, code, kind) => {
    const posted = transactionOf(rows.run(rows.submission([fund(1n)])).outcomes[0]);
    const held = transactionOf(rows.run(rows.submission([transfer(CASH, FEES, 1n, true)])).outcomes[0]);
    const parentId = kind === 'void' ? posted.id : held.id;
    const { writes } = rows.run(rows.submission([{ kind, parentId }], withKey('k')));
    expect(writes?.keys).toMatchObject([{ key: 'k', status, transactionId: null }]);
    expect(JSON.parse(writes?.keys[0]?.response ?? '').code).toBe(code);
  });
});

describe('an atomic batch', () => {
  it('is written whole, and its key keeps the ids in order', () => {
    const { outcomes, writes } = rows.run(rows.submission([fund(100n), spend(60n), spend(40n)], withKey('k')));
    expect(outcomes.flatMap(verdicts)).toEqual(['accepted', 'accepted', 'accepted']);
    const ids = writes?.transactions.map(({ transaction }) => String(transaction.id));
    expect(writes?.keys).toMatchObject([{ status: 200, transactionId: null, response: JSON.stringify(ids) }]);
  });

  it('of one command keeps a list, too', () => {
    const { writes } = rows.run(rows.submission([fund(1n)], { mode: 'atomic', ...withKey('k') }));
    expect(writes?.keys[0]?.response).toBe(`["${writes?.transactions[0]?.transaction.id}"]`);
  });

  it('that fails leaves nothing behind for those after it, and names the first command that failed', () => {
    rows.run(rows.submission([fund(100n)]));
    const { outcomes, writes } = rows.run(
      rows.submission([spend(10n)]),
      rows.submission([spend(30n), spend(60n), spend(1n), spend(9_999n)], withKey('k')),
      rows.submission([spend(90n)]),
    );
    expect(outcomes.map(verdicts)).toEqual([['accepted'], ['insufficient_funds'], ['accepted']]);
    const [refused] = decisionsOf(outcomes[1]);
    const sentence = expect.stringContaining('would be -1');
    expect(refused).toMatchObject({
      errors: [
        { path: 'transactions.2', message: sentence },
        { path: 'transactions.2.entries.0', message: sentence },
      ],
    });
    expect(writes?.transactions.length).toBe(2);
    expect(writes?.events.length).toBe(2);
    expect(rows.book(MERCHANT).balances.get(PAYABLE)).toMatchObject({ version: 3n, postedDebits: 100n });
    expect(JSON.parse(writes?.keys[0]?.response ?? '').errors[0].path).toBe('transactions.2');
  });

  it('that fails undoes what it did to holds and closed accounts', () => {
    const hold = transactionOf(rows.run(rows.submission([transfer(CASH, FEES, 10n, true)])).outcomes[0]);
    rows.book(MERCHANT).open({ id: 9n, code: 'spare:EUR', currency: 'EUR', normalSide: 'debit', minAvailable: null });
    const capture: SubmittedCommand = { kind: 'capture', parentId: hold.id, final: true };
    const { outcomes, writes } = rows.run(
      rows.submission([capture, close(9n), spend(1n)]),
      rows.submission([capture]),
      rows.submission([transfer(9n, FEES, 1n)]),
    );
    expect(outcomes.flatMap(verdicts)).toEqual(['insufficient_funds', 'accepted', 'accepted']);
    expect(writes?.states.length).toBe(1);
    expect(writes?.events.map((event) => event.type)).toEqual(['transaction.posted', 'transaction.posted']);
  });

  it('that fails names the problem once where it has no path of its own', () => {
    const posted = transactionOf(rows.run(rows.submission([fund(1n)])).outcomes[0]);
    const { outcomes } = rows.run(rows.submission([fund(1n), { kind: 'void', parentId: posted.id }]));
    const [refused] = decisionsOf(outcomes[0]);
    const message = `Transaction ${posted.id} is posted.`;
    expect(refused).toMatchObject({ detail: message, errors: [{ path: 'transactions.1', message }] });
  });

  it('that fails forgets what it did to a transaction that nothing had moved before', () => {
    const posted = transactionOf(rows.run(rows.submission([fund(5n)])).outcomes[0]);
    const reverse: SubmittedCommand = { kind: 'reverse', parentId: posted.id };
    const { outcomes } = rows.run(rows.submission([reverse, spend(1n)]), rows.submission([reverse]));
    expect(outcomes.flatMap(verdicts)).toEqual(['insufficient_funds', 'accepted']);
  });

  it('that fails in what does not burn a key does not burn it', () => {
    const { writes } = rows.run(rows.submission([fund(1n), { kind: 'void', parentId: 99n }], withKey('k')));
    expect(writes).toBeUndefined();
  });
});

describe('an independent batch', () => {
  it('goes on after a refusal; its key keeps ids and problems in order', () => {
    const commands = [fund(10n), spend(11n), { kind: 'void', parentId: 99n } as const, spend(10n)];
    const { outcomes, writes } = rows.run(rows.submission(commands, { mode: 'independent', ...withKey('k') }));
    expect(outcomes.flatMap(verdicts)).toEqual(['accepted', 'insufficient_funds', 'not_found', 'accepted']);
    expect(writes?.transactions.length).toBe(2);
    expect(writes?.keys).toMatchObject([{ status: 200, transactionId: null }]);
    const [first, second, third, fourth] = JSON.parse(writes?.keys[0]?.response ?? '');
    expect([first, fourth]).toEqual(writes?.transactions.map(({ transaction }) => String(transaction.id)));
    expect(second).toMatchObject({ code: 'insufficient_funds', errors: [{ path: 'entries.0' }] });
    expect(third).toEqual({ code: 'not_found', detail: 'There is no such transaction.' });
  });

  it('that is refused from end to end keeps its key all the same', () => {
    const { writes } = rows.run(rows.submission([spend(1n), spend(2n)], { mode: 'independent', ...withKey('k') }));
    expect(writes?.keys).toMatchObject([{ status: 200 }]);
    expect(writes?.transactions).toEqual([]);
  });
});

describe('events', () => {
  it('tell each transaction, with what every entry adds and the trace of its request', () => {
    const said = {
      externalRef: 'a "quoted" \u2028 \\ one',
      type: 'pay"out',
      metadata: '{"a \\"b":7}',
      ignoreFloor: true,
    };
    const { outcomes, writes } = rows.run(
      rows.submission([{ ...fund(100n), ...said } as SubmittedCommand], { span: TRACED }),
    );
    const { id } = transactionOf(outcomes[0]);
    const [event] = writes?.events ?? [];
    expect(event).toMatchObject({
      merchantId: MERCHANT,
      type: 'transaction.posted',
      version: 2,
      occurredAtMs: snowflakeTimeMs(id),
      traceContext: TRACEPARENT,
    });
    expect(JSON.parse(event?.data ?? '')).toEqual({
      transaction_id: String(id),
      kind: 'posted',
      type: said.type,
      amount: '100',
      currency: 'EUR',
      parent_id: null,
      external_ref: said.externalRef,
      effective_at: new Date(START_MS).toISOString(),
      ignored_floor: true,
      metadata: { 'a "b': 7 },
      entries: [
        { account_id: '1', account_version: '1', direction: 'debit', currency: 'EUR', posted: '100', pending: '0' },
        { account_id: '2', account_version: '1', direction: 'credit', currency: 'EUR', posted: '100', pending: '0' },
      ],
    });
  });

  it('have a type for whatever becomes of a hold', () => {
    const hold = transactionOf(rows.run(rows.submission([transfer(CASH, FEES, 10n, true)])).outcomes[0]);
    const due: SubmittedCommand = { ...transfer(CASH, FEES, 5n, true), expiresAtMs: START_MS + 1 } as SubmittedCommand;
    const expired = transactionOf(rows.run(rows.submission([due])).outcomes[0]);
    rows.clock.nowMs += 1;
    const { writes } = rows.run(
      rows.submission([{ kind: 'capture', parentId: hold.id, amount: 4n, final: false }]),
      rows.submission([{ kind: 'void', parentId: hold.id }]),
      rows.submission([{ kind: 'expire', parentId: expired.id }]),
    );
    expect(writes?.events.map((event) => event.type)).toEqual([
      'transaction.posted',
      'transaction.voided',
      'transaction.expired',
    ]);
    expect(JSON.parse(writes?.events[1]?.data ?? '')).toMatchObject({ parent_id: String(hold.id), amount: '6' });
  });

  it('and stored refusals carry no trace where there is none', () => {
    const { writes } = rows.run(rows.submission([fund(1n)]), rows.submission([spend(2n)], withKey('k')));
    expect(writes?.events[0]?.traceContext).toBeUndefined();
    expect(JSON.parse(writes?.keys[0]?.response ?? '')).not.toHaveProperty('trace_id');
    const again = rows.run(rows.submission([spend(2n)], { span: TRACED, ...withKey('k2') }));
    expect(JSON.parse(again.writes?.keys[0]?.response ?? '').trace_id).toBe('a'.repeat(32));
  });
});

describe('others may have their turn', () => {
  const payout = (first: EntryRequest): SubmittedCommand => ({
    kind: 'post',
    pending: false,
    type: 'payout',
    entries: [first, ...Array.from({ length: 50 }, () => entry('credit', PAYABLE, 1n))],
  });
  const payouts = Array.from({ length: 50 }, () => payout(entry('debit', CASH, 50n)));

  it('after each command of a group', () => {
    const { outcomes, writes } = rows.run(rows.submission(payouts));
    expect([decisionsOf(outcomes[0]).length, writes?.transactions.length]).toEqual([50, 50]);
    expect(rows.book(MERCHANT).balances.get(PAYABLE)).toMatchObject({ postedCredits: 2_500n, version: 2_500n });
    expect(rows.turns).toBe(50);
  });

  it('after each that is refused', () => {
    const unbalanced = Array.from({ length: 50 }, () => payout(entry('debit', CASH, 1n)));
    const { outcomes } = rows.run(rows.submission(unbalanced, { mode: 'independent' }));
    expect(new Set(outcomes.flatMap(verdicts))).toEqual(new Set(['unbalanced_entries']));
    expect(rows.turns).toBe(50);
  });

  it('in the midst of an atomic batch, of which nothing is left when a later command fails', () => {
    const { outcomes, writes } = rows.run(rows.submission([...payouts, spend(3_000n)]), rows.submission([spend(1n)]));
    expect(outcomes.flatMap(verdicts)).toEqual(['insufficient_funds', 'insufficient_funds']);
    expect([writes, rows.turns]).toEqual([undefined, 51]);
  });
});
