import { describe, expect, it } from 'vitest';
import { Deadline } from '#platform/deadline.js';
import { peerAt, strangersOf } from '../../../test/support/strangers.js';

const HERE = peerAt('192.0.2.1');
const THERE = peerAt('192.0.2.2');
const SOON = () => Deadline.after(20_000);

function clockOf() {
  const clock = { nowMs: 1_000, now: () => 0, monotonic: () => clock.nowMs };
  return clock;
}

function refusalOf(work: () => unknown): unknown {
  try {
    work();
    return undefined;
  } catch (error) {
    const { code, retryAfterS, message } = error as { code: string; retryAfterS: number; message: string };
    return { code, retryAfterS, message };
  }
}

/** Look-ups that are answered when asked to be; `order` has them as they began. */
function lookups(strangers: ReturnType<typeof strangersOf>) {
  const order: string[] = [];
  const answers: (() => void)[] = [];
  const begin = (name: string, peer = HERE, deadline = SOON()) =>
    strangers.lookUp(peer, deadline, () => {
      order.push(name);
      return new Promise<string>((resolve) => answers.push(() => resolve(name)));
    });
  return { order, begin, answerNext: () => answers.shift()?.() };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('tries of strangers', () => {
  it('are refused once so many of their address have failed, and told when to come again', () => {
    const clock = clockOf();
    const strangers = strangersOf({ failuresPerSecond: 2, failuresBurst: 3 }, clock);
    for (let n = 0; n < 3; n += 1) strangers.begin(HERE).end(false);
    expect(refusalOf(() => strangers.begin(HERE))).toEqual({
      code: 'rate_limited',
      retryAfterS: 1,
      message: 'Too many keys and signatures of this address were not valid.',
    });
    expect(refusalOf(() => strangers.begin(THERE))).toBeUndefined();
    clock.nowMs += 500;
    expect(refusalOf(() => strangers.begin(HERE))).toBeUndefined();
    expect(refusalOf(() => strangers.begin(HERE))).toMatchObject({ code: 'rate_limited' });
    expect(strangers.counts).toEqual({ valid: 0, notValid: 3, refused: { address: 2, all: 0, waiting: 0 } });
  });

  it('count from their beginning, so that a thousand at once are a thousand', () => {
    const strangers = strangersOf({ failuresPerSecond: 1, failuresBurst: 5 }, clockOf());
    const begun = Array.from({ length: 1_000 }, () => refusalOf(() => strangers.begin(HERE)) === undefined);
    expect(begun.filter(Boolean)).toHaveLength(5);
  });

  it('count for nothing that were valid', () => {
    const strangers = strangersOf({ failuresPerSecond: 1, failuresBurst: 1, failuresInAllPerSecond: 1 }, clockOf());
    for (let n = 0; n < 100; n += 1) strangers.begin(HERE).end(true);
    expect(strangers.counts).toMatchObject({ valid: 100, notValid: 0, refused: { address: 0, all: 0 } });
  });

  it('that were valid count for nothing among those of all, whoever has failed before', () => {
    const strangers = strangersOf({ failuresPerSecond: 1, failuresBurst: 100, failuresInAllPerSecond: 1 }, clockOf());
    strangers.begin(THERE).end(false);
    for (let n = 0; n < 100; n += 1) strangers.begin(HERE).end(true);
    expect(refusalOf(() => strangers.begin(THERE))).toBeUndefined();
  });

  it('of all addresses are bounded: then those go on that have not failed lately', () => {
    const strangers = strangersOf({ failuresPerSecond: 1, failuresBurst: 100, failuresInAllPerSecond: 2 }, clockOf());
    for (let n = 0; n < 10; n += 1) strangers.begin(HERE).end(false);
    expect(refusalOf(() => strangers.begin(HERE))).toMatchObject({
      code: 'rate_limited',
      message: 'Too many keys and signatures of all addresses were not valid.',
    });
    expect(refusalOf(() => strangers.begin(THERE))).toBeUndefined();
    expect(refusalOf(() => strangers.begin(THERE))).toMatchObject({ code: 'rate_limited' });
  });

  it('are one address’s in a whole network of IPv6', () => {
    const strangers = strangersOf({ failuresPerSecond: 1, failuresBurst: 1 }, clockOf());
    strangers.begin(peerAt('2001:db8::1')).end(false);
    expect(refusalOf(() => strangers.begin(peerAt('2001:db8::ffff:1')))).toMatchObject({ code: 'rate_limited' });
    expect(refusalOf(() => strangers.begin(peerAt('2001:db8:0:1::1')))).toBeUndefined();
  });
});

describe('look-ups of strangers', () => {
  it('are so many at once, and go by address in turn', async () => {
    const strangers = strangersOf({ lookups: 2 });
    const { order, begin, answerNext } = lookups(strangers);
    const flood = Array.from({ length: 20 }, (_, n) => begin(`flood ${n}`));
    const other = begin('other', THERE);
    await settled();
    expect(strangers.lookingUp).toBe(2);
    answerNext();
    answerNext();
    await settled();
    expect(order).toHaveLength(4);
    expect(order).toContain('other');
    while (order.length < 21) {
      answerNext();
      await settled();
    }
    answerNext();
    answerNext();
    await expect(Promise.all([...flood, other])).resolves.toHaveLength(21);
    expect(strangers.lookingUp).toBe(0);
  });

  it('that are too many of an address are refused, of nobody else', async () => {
    const strangers = strangersOf({ lookups: 1, lookupsWaiting: 2, lookupsWaitingInAll: 3 });
    const { begin, answerNext } = lookups(strangers);
    const begun = ['in hand', 'waits', 'waits too'].map((name) => begin(name));
    await expect(begin('one too many')).rejects.toMatchObject({ code: 'rate_limited', retryAfterS: 1 });
    begun.push(begin('elsewhere', THERE));
    await expect(begin('in all', peerAt('192.0.2.3'))).rejects.toMatchObject({ code: 'overloaded', retryAfterS: 1 });
    expect(strangers.counts.refused.waiting).toBe(2);
    for (const _ of begun) {
      await settled();
      answerNext();
    }
    await Promise.all(begun);
  });

  it('wait no longer than their deadline, and leave no place taken', async () => {
    const strangers = strangersOf({ lookups: 1, lookupsWaiting: 1 });
    const { order, begin, answerNext } = lookups(strangers);
    const first = begin('first');
    await expect(begin('late', HERE, Deadline.after(1))).rejects.toMatchObject({ code: 'deadline_exceeded' });
    const next = begin('next');
    answerNext();
    await first;
    await settled();
    answerNext();
    await next;
    expect(order).toEqual(['first', 'next']);
    expect(strangers.lookingUp).toBe(0);
  });

  it('give their place back when they fail', async () => {
    const strangers = strangersOf({ lookups: 1 });
    await expect(strangers.lookUp(HERE, SOON(), () => Promise.reject(new Error('gone')))).rejects.toThrow('gone');
    expect(strangers.lookingUp).toBe(0);
  });
});
